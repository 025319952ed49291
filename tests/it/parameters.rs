//! The parameters of a call, on the wire: what a job asks for is in the provider's request, or somebody says why not.

use std::fmt::Write as _;

use longshore_protocol::{call::FinishReason, outcome::Outcome, state::JobState};
use longshore_simulator::Dialect;
use longshore_tests::stack::{Options, Stack, expect_success};
use serde_json::{Value, json};

use crate::simulated::outcome;

/// The platforms of the tests: name, dialect, model, its capabilities, and the prices that the simulator bills.
const PLATFORMS: [(&str, Dialect, &str, &str, &str, &str, &str); 3] = [
    (
        "o",
        Dialect::Openai,
        "gpt-4o-mini",
        "code, tools, vision",
        "0.15",
        "0.6",
        "0.075",
    ),
    (
        "a",
        Dialect::Anthropic,
        "claude-haiku-4-5",
        "code, tools, vision",
        "1",
        "5",
        "0.1",
    ),
    (
        "g",
        Dialect::Gemini,
        "gemini-2.5-flash",
        "code, tools, vision",
        "0.3",
        "2.5",
        "0.03",
    ),
];

/// A stack with some of the platforms, the cheapest first.
async fn stack_of(names: &[&str]) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut yaml = String::from("retry: {base_delay: 10ms, max_delay: 20ms}\nproviders:\n");
    let mut models = String::from("models:\n");
    for (name, dialect, model, can, input, output, cached) in PLATFORMS {
        if !names.contains(&name) {
            continue;
        }
        let url = stack.simulator.base_url(name, dialect);
        writeln!(
            yaml,
            "  {name}: {{dialect: {}, base_url: \"{url}\", api_key: simulated, default_model: {model}}}",
            dialect.as_str()
        )
        .unwrap();
        writeln!(
            models,
            "  - {{provider: {name}, model: {model}, tier: standard, capabilities: [{can}], context_window: 128000, \
             max_output_tokens: 16384, input_per_million: \"{input}\", output_per_million: \"{output}\", \
             cached_per_million: \"{cached}\"}}"
        )
        .unwrap();
    }
    stack.config_yaml(&(yaml + &models)).unwrap();
    stack
}

/// The newest request that the simulator kept.
fn request(stack: &Stack) -> Value {
    stack.simulator.requests().pop().unwrap().body
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "The weather of a city",
        "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"const": "Oslo"}}}}}])
}

fn completed(outcome: &Outcome) {
    assert_eq!(outcome.state, JobState::Completed, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_called_and_their_results_sent_back_on_every_dialect() {
    let stack = stack_of(&["o", "a", "g"]).await;
    let _worker = stack.worker().unwrap();
    for (platform, definition) in [
        ("o", "/tools/0/function/parameters/required/0"),
        ("a", "/tools/0/input_schema/required/0"),
        (
            "g",
            "/tools/0/functionDeclarations/0/parametersJsonSchema/required/0",
        ),
    ] {
        let question = json!({"role": "user", "content": "[[keep]] Weather in Oslo?"});
        let mut job = json!({"messages": [question], "platform": platform, "fallback": false, "tools": tools(),
            "tool_choice": "required"});
        let asked = outcome(&stack, &job).await;
        completed(&asked);
        assert_eq!(
            asked.finish_reason,
            Some(FinishReason::ToolCalls),
            "{platform}"
        );
        assert_eq!(asked.output.as_deref(), Some(""));
        let [call] = asked.tool_calls.as_slice() else {
            panic!("{asked:?}");
        };
        assert_eq!(call.function.name, "weather");
        assert_eq!(call.function.arguments, r#"{"city":"Oslo"}"#);
        assert_eq!(request(&stack).pointer(definition), Some(&json!("city")));

        job["messages"] = json!([
            question,
            {"role": "assistant", "content": null, "tool_calls": asked.tool_calls},
            {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
        ]);
        let answered = outcome(&stack, &job).await;
        completed(&answered);
        assert!(answered.tool_calls.is_empty());
        assert!(answered.output.unwrap().contains("simulated answer"));
        let sent = request(&stack);
        let (result, expected) = match platform {
            "o" => (
                "/messages/2",
                json!({"role": "tool", "tool_call_id": call.id, "content": "Sunny."}),
            ),
            "a" => (
                "/messages/2/content",
                json!([{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}]),
            ),
            _ => (
                "/contents/2/parts/0/functionResponse",
                json!({"name": "weather", "response": {"result": "Sunny."}}),
            ),
        };
        assert_eq!(sent.pointer(result), Some(&expected), "{sent}");
        if platform == "g" {
            let signature = sent.pointer("/contents/1/parts/0/thoughtSignature");
            assert_eq!(signature, Some(&json!("c2ltdWxhdGVk")), "{sent}");
        }
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_sent_and_cost_what_was_reserved_at_most() {
    let stack = stack_of(&["o", "a", "g"]).await;
    let _worker = stack.worker().unwrap();
    let data = "A".repeat(200_000);
    let url = format!("data:image/png;base64,{data}");
    for (platform, place) in [
        ("o", "/messages/0/content/1/image_url/url"),
        ("a", "/messages/0/content/1/source/data"),
        ("g", "/contents/0/parts/1/inlineData/data"),
    ] {
        // 200 KB of text would be too long for the window, and an image may have this many tokens.
        let job = json!({"platform": platform, "fallback": false, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "[[keep]] [[tokens=9000,10]] What is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]}]});
        completed(&outcome(&stack, &job).await);
        let sent = request(&stack);
        let sent = sent.pointer(place).and_then(Value::as_str).unwrap();
        assert!(sent.ends_with(&data), "{platform}");
    }
    let books = stack.books().await.unwrap();
    books.balance();
    for attempt in &books.ledger {
        assert!(
            attempt.reserved_usd >= attempt.cost_usd.unwrap(),
            "{attempt:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_parameters_and_options_reach_the_provider() {
    let stack = stack_of(&["o", "g"]).await;
    let _worker = stack.worker().unwrap();
    let job = |platform: &str| {
        json!({"prompt": "[[keep]] x", "platform": platform, "fallback": false, "top_p": 0.5, "seed": 7,
            "stop": ["END", "###"], "frequency_penalty": 0.25, "presence_penalty": -0.25, "logprobs": true,
            "top_logprobs": 2, "provider_options": {"o": {"logit_bias": {"50256": -100}},
            "g": {"generationConfig": {"topK": 40}}}})
    };
    let answered = outcome(&stack, &job("o")).await;
    completed(&answered);
    assert_eq!(answered.warnings, Vec::<String>::new());
    assert_eq!(answered.logprobs.unwrap()["content"][0]["token"], "You");
    let sent = request(&stack);
    assert_eq!(
        sent,
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "[[keep]] x"}], "top_p": 0.5,
            "seed": 7, "stop": ["END", "###"], "frequency_penalty": 0.25, "presence_penalty": -0.25,
            "logprobs": true, "top_logprobs": 2, "logit_bias": {"50256": -100}})
    );
    completed(&outcome(&stack, &job("g")).await);
    assert_eq!(
        request(&stack)["generationConfig"],
        json!({"topP": 0.5, "seed": 7, "stopSequences": ["END", "###"], "frequencyPenalty": 0.25,
            "presencePenalty": -0.25, "responseLogprobs": true, "logprobs": 2, "topK": 40})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_does_not_take_a_parameter_is_passed_over() {
    let stack = stack_of(&["a", "g"]).await;
    let _worker = stack.worker().unwrap();
    let job = json!({"prompt": "x", "platform": "a", "frequency_penalty": 0.5});
    let answered = outcome(&stack, &job).await;
    completed(&answered);
    assert_eq!(answered.platform.as_deref(), Some("g"));
    stack.write("task.json", &job.to_string()).unwrap();
    let task = stack.dir().join("task.json");
    let ran = stack
        .longshore(&["route", "--explain", task.to_str().unwrap()])
        .await
        .unwrap();
    let explained = expect_success(ran);
    let reason = "without a/claude-haiku-4-5: it does not take `frequency_penalty`: platform a has no such parameter";
    assert!(explained.contains(reason), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_nobody_takes_ends_the_job_with_its_name() {
    let stack = stack_of(&["a"]).await;
    let _worker = stack.worker().unwrap();
    let audio = json!([{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]}]);
    for (job, name) in [
        (
            json!({"prompt": "x", "presence_penalty": 0.5}),
            "`presence_penalty`",
        ),
        (json!({"prompt": "x", "temperature": 1.5}), "`temperature`"),
        (json!({"messages": audio}), "`input_audio`"),
    ] {
        let refused = outcome(&stack, &job).await;
        assert_eq!(refused.state, JobState::Discarded, "{refused:?}");
        assert_eq!(refused.error_class.as_deref(), Some("bad_request"));
        let error = refused.error.unwrap();
        assert!(
            error.contains("a/claude-haiku-4-5: it ") && error.contains(name),
            "{error}"
        );
    }
    assert!(stack.simulator.invoice().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_and_unknown_fields_are_left_out_with_a_warning() {
    let stack = stack_of(&["a"]).await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let job = json!({"prompt": "[[keep]] x", "seed": 7, "temprature": 0.5, "x-team": "docs",
        "provider_options": {"antropic": {"top_k": 3}}});
    let ids = stack.enqueue(&[job.to_string()]).await.unwrap();
    let id = ids.first().unwrap();
    let answered = stack.outcome(id).await.unwrap();
    completed(&answered);
    let warnings = [
        "unknown field `temprature`: did you mean `temperature`?",
        "unknown field `x-team`",
        "`seed` was left out: platform a has no such parameter",
        "`provider_options.antropic` has no effect: no platform has this name",
    ];
    assert_eq!(answered.warnings, warnings);
    let sent = request(&stack);
    assert!(
        sent.get("seed").is_none() && sent.get("temprature").is_none(),
        "{sent}"
    );
    stack.recorded().await.unwrap();
    let shown = expect_success(
        stack
            .longshore(&["jobs", "show", id.as_str()])
            .await
            .unwrap(),
    );
    for warning in warnings {
        assert!(shown.contains(warning), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_platform_than_the_preferred_one_comes_with_a_warning() {
    let stack = stack_of(&["o"]).await;
    let _worker = stack.worker().unwrap();
    let submit = ["submit", "-p", "x", "--platform", "ollama"];
    let ran = stack.longshore(&submit).await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warning = "Warning: platform `ollama` is off: ";
    assert!(ran.stdout.contains("Platform: o\n"), "{ran:?}");
    assert!(ran.stdout.contains(warning), "{ran:?}");
    assert!(ran.stdout.contains("; called `o` instead"), "{ran:?}");
    let alone = [&submit[..], &["--no-fallback"]].concat();
    let refused = stack.longshore(&alone).await.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(stack.books().await.unwrap().invoice.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_chain_sends_its_parameters() {
    let stack = stack_of(&["o"]).await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let chain = json!({"id": "c", "reply": true, "steps": [
        {"name": "first", "prompt": "[[echo=Oslo]]"},
        {"name": "second", "needs": ["first"], "top_p": 0.5, "stop": "END", "tools": tools(), "messages": [
            {"role": "user", "content": [{"type": "text", "text": "[[keep]] Weather in {{ steps.first.output }}?"}]}]},
    ]});
    stack.xadd(&[("chain", &chain.to_string())]).await.unwrap();
    let second = longshore_protocol::id::JobId::parse("c/second").unwrap();
    completed(&stack.outcome(&second).await.unwrap());
    let sent = request(&stack);
    assert_eq!(
        (&sent["top_p"], &sent["stop"]),
        (&json!(0.5), &json!(["END"]))
    );
    assert_eq!(sent["tools"], tools());
    let text = sent.pointer("/messages/0/content/0/text");
    assert_eq!(text, Some(&json!("[[keep]] Weather in Oslo?")));
}
