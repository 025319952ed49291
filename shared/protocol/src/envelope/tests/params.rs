//! The parameters of a call, the parts of messages, and unknown fields.

use serde_json::{Value, json};

use super::{super::FIELDS, MalformedCode as C, envelope, flat, hash_of, job, read, wrong};
use crate::call::{Part, ReasoningEffort, Role, ToolChoice};
use crate::envelope::RawMessage;

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "weather", "description": "Tells it",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": true}})
}

#[test]
fn every_parameter_is_read_and_written_as_it_came() {
    let members = json!({
        "max_tokens": 10, "temperature": 0.5, "response_format": {"type": "text"}, "top_p": 0.25, "seed": -7,
        "stop": ["a", "b"], "frequency_penalty": -2.0, "presence_penalty": 2.0, "logprobs": true, "top_logprobs": 3,
        "reasoning_effort": "high", "tools": [weather()], "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": false, "provider_options": {"openai": {"user": "u"}},
    });
    let mut message = members.clone();
    message["prompt"] = json!("p");
    let parsed = read(&job(&message.to_string())).unwrap();
    assert!(parsed.unknown.is_empty());
    let params = &parsed.envelope.params;
    assert_eq!(params.reasoning_effort, Some(ReasoningEffort::High));
    assert_eq!(
        params.tool_choice,
        Some(ToolChoice::Function("weather".to_owned()))
    );
    let written: serde_json::Map<String, Value> = params
        .values()
        .into_iter()
        .map(|(parameter, value)| (parameter.as_str().to_owned(), value))
        .collect();
    assert_eq!(Value::Object(written), members);
    let texts: Vec<(String, String)> = message
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (
                name.clone(),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        })
        .collect();
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    assert_eq!(envelope(&flat(&texts)), parsed.envelope);
}

#[test]
fn stop_is_one_text_or_a_list() {
    for message in [
        flat(&[("prompt", "p"), ("stop", "END")]),
        flat(&[("prompt", "p"), ("stop", r#"["END"]"#)]),
        job(r#"{"prompt":"p","stop":"END"}"#),
        job(r#"{"prompt":"p","stop":["END"]}"#),
    ] {
        assert_eq!(envelope(&message).params.stop, ["END"]);
    }
}

#[test]
fn each_mistake_in_a_parameter_names_it() {
    let twice = format!(r#""tools":[{0},{0}]"#, weather());
    let with_tool = |members: &str| format!(r#""tools":[{}],{members}"#, weather());
    for (members, code, field) in [
        (r#""top_p":1.1"#, C::OutOfRange, "top_p"),
        (r#""seed":0.5"#, C::WrongType, "seed"),
        (r#""seed":1e300"#, C::OutOfRange, "seed"),
        (r#""stop":[]"#, C::BadValue, "stop"),
        (r#""stop":"""#, C::BadValue, "stop"),
        (r#""stop":["1","2","3","4","5"]"#, C::BadValue, "stop"),
        (r#""stop":[1]"#, C::WrongType, "stop"),
        (
            r#""frequency_penalty":2.5"#,
            C::OutOfRange,
            "frequency_penalty",
        ),
        (
            r#""presence_penalty":"1""#,
            C::WrongType,
            "presence_penalty",
        ),
        (r#""logprobs":1"#, C::WrongType, "logprobs"),
        (r#""top_logprobs":2"#, C::BadValue, "top_logprobs"),
        (
            r#""logprobs":true,"top_logprobs":21"#,
            C::OutOfRange,
            "top_logprobs",
        ),
        (
            r#""reasoning_effort":"huge""#,
            C::BadValue,
            "reasoning_effort",
        ),
        (r#""tools":{}"#, C::WrongType, "tools"),
        (r#""tools":[]"#, C::OutOfRange, "tools"),
        (r#""tools":[{"type":"web_search"}]"#, C::BadValue, "tools"),
        (r#""tools":["read_file"]"#, C::BadValue, "tools"),
        (
            r#""tools":[{"type":"function","function":{"name":"a b"}}]"#,
            C::BadValue,
            "tools",
        ),
        (
            r#""tools":[{"type":"function","function":{"name":"a","x":1}}]"#,
            C::BadValue,
            "tools",
        ),
        (&twice, C::BadValue, "tools"),
        (r#""tool_choice":"auto""#, C::BadValue, "tool_choice"),
        (
            &with_tool(r#""tool_choice":"any""#),
            C::BadValue,
            "tool_choice",
        ),
        (
            &with_tool(r#""tool_choice":{"type":"function","function":{"name":"other"}}"#),
            C::BadValue,
            "tool_choice",
        ),
        (
            r#""parallel_tool_calls":true"#,
            C::BadValue,
            "parallel_tool_calls",
        ),
        (
            r#""provider_options":{"openai":{"model":"x"}}"#,
            C::BadValue,
            "provider_options",
        ),
    ] {
        let (got, in_field, words) = wrong(members);
        assert_eq!(
            (got, in_field.as_deref()),
            (code, Some(field)),
            "{members}: {words}"
        );
    }
}

fn conversation(messages: &Value) -> Result<crate::envelope::Envelope, String> {
    let message = job(&json!({"messages": messages}).to_string());
    read(&message)
        .map(|parsed| parsed.envelope)
        .map_err(|error| error.to_string())
}

#[test]
fn messages_have_parts_calls_of_tools_and_results() {
    let call =
        json!({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    let messages = json!([
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny", "name": "weather"},
    ]);
    let read = conversation(&messages).unwrap();
    assert_eq!(json!(read.messages), messages);
    assert_eq!(read.messages[1].text(), "What is this?");
    assert!(matches!(read.messages[1].parts()[3], Part::File { .. }));
    assert_eq!(read.messages[3].role, Role::Tool);
    let without_content =
        json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]);
    assert!(conversation(&without_content).unwrap().messages[1].has_no_content());
}

#[test]
fn each_mistake_in_a_message_says_where_it_is() {
    let user = |part: Value| json!([{"role": "user", "content": [part]}]);
    let image = |url: &str| user(json!({"type": "image_url", "image_url": {"url": url}}));
    for (messages, expected) in [
        (
            user(json!({"type": "video"})),
            "message 1: part 1: expected `type` to be text, image_url",
        ),
        (
            image("file:///etc/passwd"),
            "message 1: part 1: expected `url` to begin with https://",
        ),
        (
            image("data:text/html;base64,AAAA"),
            "message 1: part 1: expected `url` to be data:image/",
        ),
        (
            image("data:image/png;base64,***"),
            "message 1: part 1: expected `url` to be data:image/",
        ),
        (
            user(json!({"type": "file", "file": {"file_id": "file-1"}})),
            "message 1: part 1: `file_id` names a file in the platform's account",
        ),
        (
            user(json!({"type": "text", "text": "x", "cache_control": {}})),
            "message 1: part 1: expected type and text, but got `cache_control`",
        ),
        (
            json!([{"role": "user", "content": []}]),
            "message 1: expected `content` to have at least one part",
        ),
        (
            json!([{"role": "system", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]),
            "message 1: part 1: expected only text in a message of the role system",
        ),
        (
            json!([{"role": "tool", "tool_call_id": "c9", "content": "x"}]),
            "message 1: expected `tool_call_id` to be the id of an earlier call",
        ),
        (
            json!([{"role": "tool", "content": "x"}]),
            "message 1: expected `tool_call_id`, but there is none",
        ),
        (
            json!([{"role": "assistant", "content": null, "tool_calls": [{"id": "c"}]}]),
            "message 1: expected `tool_calls` to be a list of",
        ),
    ] {
        let error = conversation(&messages).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_misspelt_prompt_is_named() {
    let error = |message: RawMessage| read(&message).unwrap_err().to_string();
    assert_eq!(
        error(job(r#"{"promt":"p","top_p":1}"#)),
        "field `prompt`: expected `prompt`, or `messages`, but got `promt`; did you mean `prompt`?"
    );
    assert!(error(flat(&[("message", "p")])).ends_with("did you mean `messages`?"));
    assert!(error(flat(&[("text", "p")])).ends_with("but got neither"));
}

#[test]
fn unknown_fields_are_named() {
    let parsed = read(&job(
        r#"{"prompt":"p","temprature":0.5,"x-team":1,"tenant":"t"}"#,
    ))
    .unwrap();
    assert_eq!(parsed.unknown, ["temprature", "x-team"]);
    let parsed = read(&flat(&[("prompt", "p"), ("topp", "1")])).unwrap();
    assert_eq!(parsed.unknown, ["topp"]);
    // The list of names is that of the parser.
    let nulls: serde_json::Map<String, Value> = FIELDS
        .iter()
        .map(|name| ((*name).to_owned(), Value::Null))
        .collect();
    let mut message = Value::Object(nulls);
    message["prompt"] = json!("p");
    assert!(read(&job(&message.to_string())).unwrap().unknown.is_empty());
}

#[test]
fn a_parameter_hashes_as_it_did_when_it_was_unknown() {
    // The digests are those of the version before these parameters.
    for (message, digest) in [
        (
            r#"{"id":"a","prompt":"p","top_p":0.5,"seed":7,"x":1,"stop":"END"}"#,
            "4ad89bf07bd70d17cfa587883142de0e6d4daa3983691ac9afa8f67cf1e96e4a",
        ),
        (
            r#"{"id":"a","messages":[{"role":"user","content":"p"},{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
            "c221bf94bba72a7706fdf286225f455be3126f459a46ca287bf9724ce57b1b00",
        ),
    ] {
        assert_eq!(hash_of(&job(message)), digest, "{message}");
    }
    let flat = flat(&[
        ("id", "a"),
        ("prompt", "p"),
        ("top_p", "0.5"),
        ("stop", "END"),
        ("seed", "7.0"),
    ]);
    let json = job(r#"{"id":"a","prompt":"p","top_p":5e-1,"stop":["END"],"seed":7}"#);
    assert_eq!(hash_of(&flat), hash_of(&json));
}
