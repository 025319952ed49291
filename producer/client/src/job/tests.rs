use insta::assert_snapshot;
use longshore_protocol::call::{Role, ToolCall};

use super::*;

#[test]
fn every_setter_sets_its_field() {
    let at = DateTime::parse_from_rfc3339("2026-12-01T09:00:00Z")
        .unwrap()
        .to_utc();
    let Value::Object(metadata) = json!({"asset": 1}) else {
        panic!()
    };
    let Value::Object(options) = json!({"openai": {"user": "u"}}) else {
        panic!()
    };
    let job = Job::prompt("Hello")
        .id("inv-42")
        .task_type("research")
        .system("Be brief.")
        .platform("gemini")
        .model("gemini-2.5-flash")
        .risk("low")
        .area("law")
        .complexity("high")
        .max_tokens(200)
        .temperature(0.5)
        .response_format(json!({"type": "json_object"}))
        .top_p(0.5)
        .seed(7)
        .stop(["END"])
        .frequency_penalty(0.5)
        .presence_penalty(-0.5)
        .logprobs(2)
        .reasoning_effort(ReasoningEffort::Low)
        .tools([json!({"type": "function", "function": {"name": "f"}})])
        .tool_choice(&ToolChoice::Function("f".to_owned()))
        .parallel_tool_calls(false)
        .provider_options(options)
        .run_at(at)
        .start_by(Limit::After(Duration::from_mins(1)))
        .deadline(Limit::At(at))
        .timeout(Duration::from_millis(1500))
        .retry(Retry::Custom {
            max_retries: Some(2),
            base_delay: None,
            max_delay: Some(Duration::from_secs(5)),
        })
        .fallback(false)
        .max_cost("0.05".parse().unwrap())
        .unique("daily", Duration::from_secs(10))
        .concurrency("crawl", 3)
        .chain_id("c1")
        .parent_id("p1")
        .tenant("acme")
        .metadata(metadata)
        .reply(true)
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_snapshot!(job.to_json(), @r#"{"area":"law","chain_id":"c1","complexity":"high","concurrency_key":"crawl","concurrency_limit":3,"deadline":"2026-12-01T09:00:00Z","fallback":false,"frequency_penalty":0.5,"id":"inv-42","logprobs":true,"max_cost_usd":"0.05","max_tokens":200,"metadata":{"asset":1},"model":"gemini-2.5-flash","parallel_tool_calls":false,"parent_id":"p1","platform":"gemini","presence_penalty":-0.5,"prompt":"Hello","provider_options":{"openai":{"user":"u"}},"reasoning_effort":"low","reply":true,"response_format":{"type":"json_object"},"retry":{"base_delay":null,"max_delay":5,"max_retries":2},"risk":"low","run_at":"2026-12-01T09:00:00Z","seed":7,"start_by":60,"stop":["END"],"system":"Be brief.","temperature":0.5,"tenant":"acme","timeout":1.5,"tool_choice":{"function":{"name":"f"},"type":"function"},"tools":[{"function":{"name":"f"},"type":"function"}],"top_logprobs":2,"top_p":0.5,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","type":"research","unique_for":10,"unique_key":"daily"}"#);

    let envelope = job.check(&MessageLimits::default()).unwrap();
    assert_eq!(envelope.id.unwrap().as_str(), "inv-42");
    assert_eq!(envelope.timeout, Duration::from_millis(1500));
    assert_eq!(envelope.deadline, Some(Limit::At(at)));
    assert_eq!(envelope.max_cost.unwrap().to_string(), "0.05");
    assert!(envelope.reply.is_some() && !envelope.fallback);
}

#[test]
fn a_conversation_may_have_parts_and_results_of_tools() {
    let mut asked = ChatMessage::new(Role::Assistant, "");
    asked.tool_calls.push(ToolCall::new("c1", "f", "{}"));
    let mut result = ChatMessage::new(Role::Tool, "sunny");
    result.tool_call_id = Some("c1".to_owned());
    let messages = [ChatMessage::new(Role::User, "Weather?"), asked, result];
    let job = Job::conversation(&messages);
    assert_eq!(
        job.check(&MessageLimits::default()).unwrap().messages,
        messages
    );
}

#[test]
fn messages_replace_the_prompt() {
    let job = Job::messages([
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Who are you?"),
    ]);
    assert_eq!(
        job.check(&MessageLimits::default()).unwrap().messages.len(),
        3
    );
}

#[test]
fn numbers_keep_all_their_digits() {
    let text = r#"{"metadata":{"n":12345678901234567890123},"price":0.10,"prompt":"x"}"#;
    let job = Job::from_json(text, &MessageLimits::default()).unwrap();
    assert_eq!(job.to_json(), text);
}

#[test]
fn a_duplicate_field_is_rejected() {
    let wrong =
        Job::from_json(r#"{"prompt":"a","prompt":"b"}"#, &MessageLimits::default()).unwrap_err();
    assert_eq!(wrong.code, MalformedCode::DuplicateField);
}

#[test]
fn a_temperature_that_is_not_a_number_is_rejected() {
    let wrong = Job::prompt("x")
        .temperature(f64::NAN)
        .check(&MessageLimits::default())
        .unwrap_err();
    assert_eq!(wrong.field.as_deref(), Some("temperature"));
}
