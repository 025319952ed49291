//! The dialect of OpenAI's Chat Completions, which most other providers share.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use http::{HeaderName, header};
use longshore_policy::catalog::Service;
use longshore_protocol::{
    call::{Answer, Call, CallError, ChatMessage, FinishReason, Usage},
    money::Usd,
};
use serde_json::{Value, json};

use super::{
    classify,
    dialect::{
        Classification, Dialect, Said, answer_with, joined_texts, present_fields, refused_answer,
        sampling_fields, string_at, tokens_at, unusable_answer,
    },
    quirks::{self, OpenAiQuirks as _},
    tool_calls::{keep_thoughts, listed_calls, return_thoughts},
};

/// The dialect of OpenAI and of compatible services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenAi(pub(crate) Service);

impl Dialect for OpenAi {
    fn path(&self, _model: &str) -> Cow<'static, str> {
        "/chat/completions".into()
    }

    fn key_header(&self) -> (HeaderName, &'static str) {
        (header::AUTHORIZATION, "Bearer ")
    }

    fn encode(&self, call: &Call) -> Value {
        let params = &call.params;
        let system = call.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages = system.chain(call.messages.iter().map(|message| self.message(message)));
        let tools = self.0.tools(params);
        let choice = tools.as_ref().and(params.tool_choice.as_ref());
        let (effort_name, effort) = self.0.reasoning(params.reasoning_effort);
        let mut body = sampling_fields(params);
        body.extend(present_fields([
            ("model", Some(json!(call.model))),
            ("messages", Some(messages.collect())),
            (self.0.answer_limit(), params.max_tokens.map(Value::from)),
            ("response_format", params.response_format.clone()),
            ("logprobs", params.logprobs.map(Value::from)),
            ("top_logprobs", params.top_logprobs.map(Value::from)),
            (effort_name, effort),
            ("tools", tools),
            ("tool_choice", choice.map(|choice| json!(choice))),
            (
                "parallel_tool_calls",
                params.parallel_tool_calls.map(Value::from),
            ),
        ]));
        body.into()
    }

    fn decode(&self, mut body: Value) -> Result<Answer, CallError> {
        quirks::check_minimax(&body)?;
        let usage = body
            .get("usage")
            .map(|usage| self.usage(usage))
            .unwrap_or_default();
        let Some(mut choice) = body.pointer_mut("/choices/0").map(Value::take) else {
            return unusable_answer("the answer has no choices", usage);
        };
        // OpenRouter: the provider behind it failed during the answer.
        if classify::is_error(&choice) {
            return Err(classify::classify_in_band(self, &choice, usage));
        }
        if let Some(refusal) = string_at(&choice, "/message/refusal") {
            return refused_answer(refusal, usage);
        }
        let finish = match string_at(&choice, "/finish_reason").unwrap_or_default() {
            filter @ "content_filter" => return refused_answer(filter, usage),
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "tool_calls" | "function_call" => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        };
        let output = match choice.pointer_mut("/message/content").map(Value::take) {
            Some(Value::String(whole)) => whole,
            Some(Value::Array(parts)) => joined_texts(&parts),
            _ => String::new(),
        };
        let mut tool_calls = listed_calls(choice.pointer("/message/tool_calls"));
        let thoughts = string_at(&choice, "/message/reasoning_content");
        if let Some(thoughts) = thoughts.filter(|_| self.0.wants_thoughts_back()) {
            keep_thoughts(&mut tool_calls, thoughts);
        }
        let said = Said {
            output,
            tool_calls,
            logprobs: choice.get_mut("logprobs").map(Value::take),
        };
        answer_with(&body, ("/model", "/id"), said, finish, usage)
    }

    fn reported_cost(&self, body: &[u8]) -> Option<Usd> {
        self.0.reported_cost(body)
    }

    fn classify(&self, status: u16, error: &Value, now: DateTime<Utc>) -> Option<Classification> {
        quirks::classify_zhipu(error, now)
            .or_else(|| quirks::classify_google(status, error, now))
            .or_else(|| quirks::classify_open_router(error, now))
    }
}

impl OpenAi {
    /// A message. OpenAI itself does not know what others add to calls of tools.
    fn message(self, message: &ChatMessage) -> Value {
        if message.tool_calls.is_empty() {
            return json!(message);
        }
        let mut message = message.clone();
        if self.0.wants_thoughts_back() {
            return_thoughts(&mut message);
        }
        if self.0 == Service::OpenAi {
            for call in &mut message.tool_calls {
                call.extra.clear();
            }
        }
        json!(message)
    }

    fn usage(self, usage: &Value) -> Usage {
        let [total, prompt, completion] = ["/total_tokens", "/prompt_tokens", "/completion_tokens"]
            .map(|at| tokens_at(usage, at));
        let cached = quirks::cached_tokens(usage);
        let cache_write = tokens_at(usage, "/prompt_tokens_details/cache_write_tokens");
        let reasoning = tokens_at(usage, "/completion_tokens_details/reasoning_tokens");
        let input = prompt.saturating_sub(cached + cache_write);
        let audio = tokens_at(usage, "/prompt_tokens_details/audio_tokens");
        let excludes_thinking = self
            .0
            .excludes_thinking(total, prompt, completion, reasoning);
        Usage {
            input,
            cached,
            cache_write,
            output: completion.saturating_sub(if excludes_thinking { 0 } else { reasoning }),
            reasoning,
            // How much of it was cached is not said.
            audio: audio.min(input),
            ..Usage::default()
        }
    }
}
