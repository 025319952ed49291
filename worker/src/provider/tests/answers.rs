//! Decoding answers.

use longshore_policy::catalog::Service;
use longshore_protocol::call::{
    Answer, CallCost, CallError, ErrorClass, FinishReason, Remedy, Usage,
};
use serde_json::{Value, json};

use crate::provider::{
    anthropic::Anthropic, dialect::Dialect, gemini::Gemini, ollama::Ollama, openai::OpenAi,
};

fn decode(dialect: &dyn Dialect, body: Value) -> Result<Answer, CallError> {
    dialect.decode(body)
}

fn openai_answer(usage: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-6-sol-2026", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": " Oslo\n", "refusal": null}}],
        "usage": usage})
}

#[test]
fn openai_usage_is_read_in_all_its_formats() {
    let cases = [
        (
            "OpenAI",
            json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 30}}),
            Usage {
                input: 30,
                cached: 64,
                cache_write: 6,
                output: 20,
                reasoning: 30,
                ..Usage::default()
            },
        ),
        (
            "OpenAI, with sound",
            json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 80},
                "completion_tokens_details": {"audio_tokens": 0}}),
            Usage {
                input: 90,
                cached: 10,
                output: 50,
                audio: 80,
                ..Usage::default()
            },
        ),
        (
            "more sound than prompt",
            json!({"prompt_tokens": 100, "completion_tokens": 50,
                "prompt_tokens_details": {"audio_tokens": 101}}),
            Usage {
                input: 100,
                output: 50,
                audio: 100,
                ..Usage::default()
            },
        ),
        (
            "xAI",
            json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 180,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 30}}),
            Usage {
                input: 96,
                cached: 4,
                output: 50,
                reasoning: 30,
                ..Usage::default()
            },
        ),
        (
            "DeepSeek",
            json!({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
                "prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40}),
            Usage {
                input: 40,
                cached: 60,
                output: 5,
                ..Usage::default()
            },
        ),
        (
            "Moonshot",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cached_tokens": 7}),
            Usage {
                input: 3,
                cached: 7,
                output: 5,
                ..Usage::default()
            },
        ),
        (
            "vLLM",
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": null}),
            Usage {
                input: 10,
                output: 5,
                ..Usage::default()
            },
        ),
        (
            "nonsense",
            json!({"prompt_tokens": 1, "completion_tokens": "x", "prompt_tokens_details": {"cached_tokens": 9},
                "total_tokens": -1, "completion_tokens_details": {"reasoning_tokens": u64::MAX}}),
            Usage {
                cached: 9,
                reasoning: u64::from(u32::MAX),
                ..Usage::default()
            },
        ),
        ("none", Value::Null, Usage::default()),
    ];
    for (name, usage, expected) in cases {
        let answer = decode(&OpenAi(Service::OpenAi), openai_answer(&usage)).unwrap();
        assert_eq!(answer.usage, expected, "{name}");
        assert_eq!(answer.output, " Oslo\n");
        assert_eq!(answer.model.as_deref(), Some("gpt-6-sol-2026"));
        assert_eq!(answer.response_id.as_deref(), Some("chatcmpl-1"));
        assert_eq!(answer.finish_reason, FinishReason::Stop);
    }
}

#[test]
fn openai_answers_with_parts_refusals_and_errors() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let known = CallCost::Known(Usage {
        input: 3,
        output: 2,
        ..Usage::default()
    });
    let body = |choice: Value| json!({"choices": [choice], "usage": usage});
    let parts = body(json!({"finish_reason": "length", "message": {"content":
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}));
    let answer = decode(&OpenAi(Service::Other), parts).unwrap();
    assert_eq!(
        (answer.output.as_str(), answer.finish_reason),
        ("ab", FinishReason::Length)
    );

    let failures = [
        (
            body(
                json!({"finish_reason": "stop", "message": {"content": null, "refusal": "I cannot"}}),
            ),
            ErrorClass::Refused,
        ),
        (
            body(json!({"finish_reason": "content_filter", "message": {"content": "par"}})),
            ErrorClass::Refused,
        ),
        (
            body(json!({"finish_reason": "stop", "message": {"content": ""}})),
            ErrorClass::BadOutput,
        ),
        (
            body(
                json!({"finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [{}]}}),
            ),
            ErrorClass::BadOutput,
        ),
        (body(json!(null)), ErrorClass::BadOutput),
        (
            json!({"choices": [], "usage": usage}),
            ErrorClass::BadOutput,
        ),
        (
            body(
                json!({"finish_reason": "error", "message": {"content": "par"},
            "error": {"code": 502, "message": "Upstream failed"}}),
            ),
            ErrorClass::Overloaded,
        ),
    ];
    for (body, class) in failures {
        let error = decode(&OpenAi(Service::OpenAi), body.clone()).unwrap_err();
        assert_eq!((error.class, error.spend), (class, known), "{body}");
    }
    let nothing = decode(&OpenAi(Service::OpenAi), json!({})).unwrap_err();
    assert_eq!(
        (nothing.class, nothing.spend),
        (ErrorClass::BadOutput, CallCost::Unknown)
    );
}

#[test]
fn minimax_errors_with_status_200_are_detected() {
    let cases = [
        (1002, ErrorClass::RateLimited, CallCost::Nothing),
        (1004, ErrorClass::Auth, CallCost::Nothing),
        (1008, ErrorClass::QuotaExhausted, CallCost::Nothing),
        (1001, ErrorClass::Timeout, CallCost::Unknown),
        (1000, ErrorClass::Overloaded, CallCost::Unknown),
        (2013, ErrorClass::BadRequest, CallCost::Nothing),
    ];
    for (code, class, spend) in cases {
        let body = json!({"base_resp": {"status_code": code, "status_msg": "so it is"}});
        let error = decode(&OpenAi(Service::Other), body).unwrap_err();
        assert_eq!(
            (error.class, error.spend, error.message.as_str()),
            (class, spend, "so it is")
        );
        // Another platform may accept what this one rejects.
        if class == ErrorClass::BadRequest {
            assert_eq!(error.remedy, Remedy::OtherPlatform);
        }
    }
    let mut fine = openai_answer(&Value::Null);
    fine["base_resp"] = json!({"status_code": 0, "status_msg": ""});
    assert!(decode(&OpenAi(Service::Other), fine).is_ok());
}

fn anthropic_answer(stop: &str, content: &Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": stop, "stop_details": {"category": "bio"},
        "usage": {"input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}})
}

#[test]
fn anthropic_answers_are_decoded() {
    let usage = Usage {
        input: 10,
        cached: 5,
        cache_write: 20,
        cache_write_1h: 10,
        output: 5,
        reasoning: 4,
        ..Usage::default()
    };
    let text = json!([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Os"}, {"type": "text", "text": "lo"}]);
    let good = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("pause_turn", FinishReason::Other),
    ];
    for (stop, finish) in good {
        let answer = decode(&Anthropic, anthropic_answer(stop, &text)).unwrap();
        assert_eq!(
            (answer.output.as_str(), answer.finish_reason, answer.usage),
            ("Oslo", finish, usage)
        );
        assert_eq!(answer.response_id.as_deref(), Some("msg_1"));
    }
    let bad = [
        ("refusal", json!([]), ErrorClass::Refused),
        (
            "model_context_window_exceeded",
            json!([]),
            ErrorClass::ContextTooLong,
        ),
        ("end_turn", json!([]), ErrorClass::BadOutput),
    ];
    for (stop, content, class) in bad {
        let error = decode(&Anthropic, anthropic_answer(stop, &content)).unwrap_err();
        assert_eq!(
            (error.class, error.spend),
            (class, CallCost::Known(usage)),
            "{stop}"
        );
    }
    let mut old = anthropic_answer("end_turn", &text);
    old["usage"] = json!({"input_tokens": 1, "cache_creation_input_tokens": 7, "output_tokens": 2});
    let usage = decode(&Anthropic, old).unwrap().usage;
    assert_eq!(
        usage,
        Usage {
            input: 1,
            cache_write: 7,
            output: 2,
            ..Usage::default()
        }
    );
    assert!(decode(&Anthropic, json!({"usage": null})).is_err());
}

#[test]
fn gemini_counts_sound_by_modality() {
    let mut answer = gemini_answer("STOP", &json!([{"text": "Oslo"}]));
    for (details, audio, cached_audio) in [
        (
            json!({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 15}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}]}),
            7,
            8,
        ),
        (
            json!({"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}]}),
            12,
            0,
        ),
        (
            json!({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}]}),
            0,
            0,
        ),
        (json!({"promptTokensDetails": null}), 0, 0),
    ] {
        for (name, value) in details.as_object().unwrap() {
            answer["usageMetadata"][name] = value.clone();
        }
        let usage = decode(&Gemini, answer.clone()).unwrap().usage;
        assert_eq!(
            (usage.audio, usage.cached_audio),
            (audio, cached_audio),
            "{details}"
        );
        assert_eq!((usage.input, usage.cached), (14, 8));
        answer["usageMetadata"]["cacheTokensDetails"] = json!(null);
    }
}

fn gemini_answer(finish: &str, parts: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
        "modelVersion": "gemini-x", "responseId": "r1",
        "usageMetadata": {"promptTokenCount": 20, "cachedContentTokenCount": 8, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 7, "toolUsePromptTokenCount": 2, "totalTokenCount": 32}})
}

#[test]
fn gemini_answers_are_decoded() {
    let usage = Usage {
        input: 14,
        cached: 8,
        output: 3,
        reasoning: 7,
        ..Usage::default()
    };
    let text =
        json!([{"text": "hm", "thought": true}, {"text": "Os"}, {"text": "lo", "thought": false}]);
    let call = json!([{"text": "Oslo"}, {"functionCall": {"name": "f", "args": {}}}]);
    let good = [
        ("STOP", &text, FinishReason::Stop),
        ("MAX_TOKENS", &text, FinishReason::Length),
        ("LANGUAGE", &text, FinishReason::Other),
        ("STOP", &call, FinishReason::ToolCalls),
    ];
    for (stop, parts, finish) in good {
        let answer = decode(&Gemini, gemini_answer(stop, parts)).unwrap();
        assert_eq!(
            (answer.output.as_str(), answer.finish_reason, answer.usage),
            ("Oslo", finish, usage)
        );
        assert_eq!(answer.model.as_deref(), Some("gemini-x"));
    }
    let mut blocked = gemini_answer("STOP", &text);
    blocked["candidates"] = json!([]);
    let none = blocked.clone();
    blocked["promptFeedback"] = json!({"blockReason": "SAFETY"});
    let bad = [
        (gemini_answer("SAFETY", &text), ErrorClass::Refused),
        (
            gemini_answer("PROHIBITED_CONTENT", &Value::Null),
            ErrorClass::Refused,
        ),
        (blocked, ErrorClass::Refused),
        (none, ErrorClass::BadOutput),
        (
            gemini_answer("MAX_TOKENS", &Value::Null),
            ErrorClass::BadOutput,
        ),
        (
            gemini_answer("MALFORMED_FUNCTION_CALL", &json!([])),
            ErrorClass::BadOutput,
        ),
    ];
    for (body, class) in bad {
        let error = decode(&Gemini, body.clone()).unwrap_err();
        assert_eq!(
            (error.class, error.spend),
            (class, CallCost::Known(usage)),
            "{body}"
        );
    }
}

#[test]
fn only_xai_excludes_thinking_from_the_completion() {
    let without_sum = json!({"prompt_tokens": 10, "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 3}});
    for (service, output) in [(Service::Xai, 5), (Service::Other, 2)] {
        let answer = decode(&OpenAi(service), openai_answer(&without_sum)).unwrap();
        let decoded = (answer.usage.output, answer.usage.reasoning);
        assert_eq!(decoded, (output, 3), "{service:?}");
    }
}

#[test]
fn services_are_identified_by_name_or_address() {
    let cases = [
        ("openai", "api.openai.com", Service::OpenAi),
        ("openai", "gateway.internal", Service::Other),
        ("grok-eu", "api.x.ai", Service::Xai),
        ("xai", "127.0.0.1", Service::Xai),
        ("openrouter", "127.0.0.1", Service::OpenRouter),
        ("mine", "openrouter.ai", Service::OpenRouter),
        ("deepseek", "127.0.0.1", Service::DeepSeek),
        ("mine", "api.deepseek.com", Service::DeepSeek),
        ("vllm", "127.0.0.1", Service::Other),
    ];
    for (name, host, service) in cases {
        assert_eq!(
            Service::identify(name, Some(host)),
            service,
            "{name} {host}"
        );
    }
}

#[test]
fn only_services_that_report_costs_have_a_reported_cost() {
    let body = br#"{"usage": {"cost": 0.00014, "cost_in_usd_ticks": 37756000}}"#;
    let cost = |dialect: &dyn Dialect| dialect.reported_cost(body).map(|usd| usd.to_string());
    let reported = |usd: &str| Some(usd.to_owned());
    assert_eq!(cost(&OpenAi(Service::OpenRouter)), reported("0.00014"));
    assert_eq!(cost(&OpenAi(Service::Xai)), reported("0.0037756"));
    assert_eq!(cost(&OpenAi(Service::Other)), None);
    assert_eq!(cost(&Anthropic), None);
}

#[test]
fn ollama_answers_are_decoded() {
    let body = |done: &str, content: &str| {
        json!({"model": "llama3.2", "created_at": "2026-11-21T10:00:00Z", "done": true, "done_reason": done,
            "message": {"role": "assistant", "content": content}, "total_duration": 4_883_583_458_u64,
            "prompt_eval_count": 26, "eval_count": 298})
    };
    let usage = Usage {
        input: 26,
        output: 298,
        ..Usage::default()
    };
    for (done, finish) in [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("load", FinishReason::Other),
    ] {
        let answer = decode(&Ollama, body(done, "Oslo")).unwrap();
        assert_eq!(
            (answer.output.as_str(), answer.finish_reason, answer.usage),
            ("Oslo", finish, usage)
        );
        assert_eq!(answer.model.as_deref(), Some("llama3.2"));
    }
    let mut cached = body("stop", "Oslo");
    cached.as_object_mut().unwrap().remove("prompt_eval_count");
    assert_eq!(decode(&Ollama, cached).unwrap().usage.input, 0);
    let error = decode(&Ollama, body("length", "")).unwrap_err();
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::BadOutput, CallCost::Known(usage))
    );
    assert!(decode(&Ollama, json!({"done": true})).is_err());
}
