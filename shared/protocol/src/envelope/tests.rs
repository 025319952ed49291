mod golden;
mod hashes;
mod params;
mod properties;

use std::time::Duration;

use chrono::{TimeZone, Utc};
use serde_json::{Value, json};

use super::{
    Concurrency, Envelope, Limit, Malformed, MalformedCode, MessageLimits, NotBefore, Parsed,
    RawMessage, Retry, Unique, parse,
};
use crate::{
    call::{CallParams, ChatMessage, Role},
    money::Usd,
    reply::ReplyTo,
};

fn flat(fields: &[(&str, &str)]) -> RawMessage {
    RawMessage {
        fields: fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
    }
}

fn job(json: &str) -> RawMessage {
    flat(&[("job", json)])
}

fn read(message: &RawMessage) -> Result<Parsed, Malformed> {
    parse(message, &MessageLimits::default())
}

fn envelope(message: &RawMessage) -> Envelope {
    read(message).unwrap().envelope
}

fn hash_of(message: &RawMessage) -> String {
    read(message).unwrap().hash.unwrap().as_str().to_owned()
}

/// The error of a job with a prompt and these members.
fn wrong(members: &str) -> (MalformedCode, Option<String>, String) {
    let error = read(&job(&format!(r#"{{"prompt":"p",{members}}}"#)))
        .map(|parsed| panic!("{members} was accepted: {parsed:?}"))
        .unwrap_err();
    let words = error.to_string();
    (error.code, error.field, words)
}

#[test]
fn a_prompt_is_enough() {
    let expected = Envelope {
        id: None,
        task_type: "code_generation".to_owned(),
        messages: vec![ChatMessage::new(Role::User, "hello")],
        system: None,
        platform: None,
        model: None,
        routing: super::RoutingInputs::default(),
        params: CallParams::default(),
        not_before: None,
        start_by: None,
        deadline: None,
        timeout: Duration::from_mins(5),
        retry: None,
        fallback: true,
        max_cost: None,
        unique: None,
        concurrency: None,
        chain_id: None,
        parent_id: None,
        tenant: None,
        metadata: None,
        reply: None,
        keep_result: false,
        spawn: false,
        traceparent: None,
        recipe: None,
    };
    assert_eq!(envelope(&flat(&[("prompt", "hello")])), expected);
    assert_eq!(envelope(&job(r#"{"prompt":"hello"}"#)), expected);
    let nulls = r#"{"prompt":"hello","messages":null,"v":null,"id":null,"type":null,"retry":null,
        "fallback":null,"reply":null,"timeout":null,"metadata":null}"#;
    assert_eq!(envelope(&job(nulls)), expected);
}

#[test]
fn every_field_is_read() {
    let full = envelope(&job(&json!({
        "v": 1.0, "id": "order/1", "type": "my/type:v2", "system": "s", "platform": "p",
        "messages": [{"role": "assistant", "content": "a\0b", "name": null}],
        "model": "m", "risk": "r", "area": "a", "complexity": "c", "max_tokens": 1e2,
        "temperature": 0.5, "response_format": {"type": "text"}, "delay": "1.5", "start_by": 60,
        "deadline": 1_796_115_600_000_u64, "timeout": 0.25, "fallback": false, "reply": true, "keep_result": true,
        "retry": {"max_retries": 2, "max_delay": "30"}, "max_cost_usd": "0.10",
        "unique_key": "u", "concurrency_key": "k", "concurrency_limit": 3, "chain_id": "ch",
        "parent_id": "pa", "tenant": "Köln", "metadata": {"a": [1, null]},
        "traceparent": "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "x": [[]],
    })
    .to_string()));
    assert_eq!(full.id.unwrap().as_str(), "order/1");
    assert_eq!(full.task_type, "my/type:v2");
    assert_eq!(full.messages[0].text(), "a\0b");
    assert_eq!(full.messages[0].role, Role::Assistant);
    assert_eq!(
        Value::Object(full.messages[0].extra.clone()),
        json!({"name": null})
    );
    assert_eq!(
        (full.params.max_tokens, full.params.temperature),
        (Some(100), Some(0.5))
    );
    assert_eq!(full.params.response_format, Some(json!({"type": "text"})));
    assert_eq!(
        full.not_before,
        Some(NotBefore::Delay(Duration::from_millis(1500)))
    );
    assert_eq!(full.start_by, Some(Limit::After(Duration::from_mins(1))));
    let noon = Utc.with_ymd_and_hms(2026, 12, 1, 9, 0, 0).unwrap();
    assert_eq!(full.deadline, Some(Limit::At(noon)));
    assert_eq!(full.timeout, Duration::from_millis(250));
    assert_eq!(
        (full.fallback, &full.reply, full.keep_result),
        (false, &Some(ReplyTo::Anyone), true)
    );
    let retry = Retry::Custom {
        max_retries: Some(2),
        base_delay: None,
        max_delay: Some(Duration::from_secs(30)),
    };
    assert_eq!(full.retry, Some(retry));
    assert_eq!(full.max_cost, Some("0.1".parse::<Usd>().unwrap()));
    let (key, ttl) = ("u".to_owned(), Duration::from_hours(1));
    assert_eq!(full.unique, Some(Unique { key, ttl }));
    let (key, limit) = ("k".to_owned(), 3.try_into().unwrap());
    assert_eq!(full.concurrency, Some(Concurrency { key, limit }));
    assert_eq!(full.tenant.as_deref(), Some("Köln"));
    assert_eq!(
        full.metadata.map(Value::Object),
        Some(json!({"a": [1, null]}))
    );
    assert!(full.traceparent.unwrap().ends_with("-more"));
}

#[test]
fn each_mistake_has_its_code_and_names_its_field() {
    use MalformedCode as C;
    let long = "x".repeat(201);
    let metadata = format!(r#""metadata":{{"a":"{}"}}"#, "x".repeat(65536));
    for (members, code, field) in [
        (r#""type":1"#, C::WrongType, "type"),
        (r#""type":"a b""#, C::BadValue, "type"),
        (r#""id":"1-2""#, C::ReservedId, "id"),
        (r#""id":"bulk:1-2""#, C::ReservedId, "id"),
        (r#""id":"a b""#, C::BadValue, "id"),
        (r#""id":"""#, C::BadValue, "id"),
        (&format!(r#""tenant":"{long}""#), C::BadValue, "tenant"),
        (r#""unique_key":"a\u0000b""#, C::BadValue, "unique_key"),
        (r#""risk":"""#, C::BadValue, "risk"),
        (r#""max_tokens":1.5"#, C::WrongType, "max_tokens"),
        (r#""max_tokens":"5""#, C::WrongType, "max_tokens"),
        (r#""max_tokens":1e999"#, C::OutOfRange, "max_tokens"),
        (r#""max_tokens":-1"#, C::OutOfRange, "max_tokens"),
        (r#""temperature":2.01"#, C::OutOfRange, "temperature"),
        (r#""temperature":1e999"#, C::OutOfRange, "temperature"),
        (r#""timeout":1e-12"#, C::OutOfRange, "timeout"),
        (r#""timeout":"inf""#, C::BadValue, "timeout"),
        (r#""timeout":"1e3""#, C::BadValue, "timeout"),
        (r#""timeout":" 1""#, C::BadValue, "timeout"),
        (r#""timeout":"""#, C::BadValue, "timeout"),
        (r#""delay":"-1""#, C::OutOfRange, "delay"),
        (r#""delay":1,"run_at":1796115600000"#, C::BadValue, "run_at"),
        (r#""run_at":5"#, C::BadValue, "run_at"),
        (r#""run_at":"99999999999""#, C::BadValue, "run_at"),
        (r#""run_at":1e300"#, C::OutOfRange, "run_at"),
        (r#""run_at":"2026-12-01 09:00:00Z""#, C::BadValue, "run_at"),
        (r#""run_at":"2026-12-41T09:00:00Z""#, C::BadValue, "run_at"),
        (r#""deadline":31536001"#, C::OutOfRange, "deadline"),
        (r#""deadline":99999999999"#, C::OutOfRange, "deadline"),
        (r#""deadline":"-5""#, C::OutOfRange, "deadline"),
        (r#""start_by":[]"#, C::WrongType, "start_by"),
        (r#""response_format":[]"#, C::WrongType, "response_format"),
        (r#""max_cost_usd":1"#, C::WrongType, "max_cost_usd"),
        (r#""max_cost_usd":"1e3""#, C::BadValue, "max_cost_usd"),
        (r#""max_cost_usd":"-1""#, C::OutOfRange, "max_cost_usd"),
        (
            r#""max_cost_usd":"0.00000000000000000000000000001""#,
            C::BadValue,
            "max_cost_usd",
        ),
        (r#""unique_for":5"#, C::BadValue, "unique_for"),
        (
            r#""unique_key":"k","unique_for":0"#,
            C::OutOfRange,
            "unique_for",
        ),
        (r#""concurrency_limit":5"#, C::BadValue, "concurrency_limit"),
        (r#""retry":"a b""#, C::BadValue, "retry"),
        (r#""retry":{"retries":1}"#, C::BadValue, "retry"),
        (r#""retry":{"max_retries":"1"}"#, C::WrongType, "retry"),
        (r#""retry":[]"#, C::WrongType, "retry"),
        (r#""fallback":1"#, C::WrongType, "fallback"),
        (&metadata, C::OutOfRange, "metadata"),
        (
            r#""traceparent":"00-00000000000000000000000000000000-00f067aa0ba902b7-01""#,
            C::BadValue,
            "traceparent",
        ),
        (
            r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x""#,
            C::BadValue,
            "traceparent",
        ),
        (
            r#""traceparent":"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01""#,
            C::BadValue,
            "traceparent",
        ),
        (
            r#""messages":[{"role":"user","content":""}]"#,
            C::BadValue,
            "messages",
        ),
        (r#""messages":[]"#, C::NoPrompt, "messages"),
        (
            r#""messages":[{"role":"tool","content":""}]"#,
            C::BadValue,
            "messages",
        ),
        (r#""messages":[{"role":"user"}]"#, C::BadValue, "messages"),
        (r#""_x":1"#, C::ReservedField, "_x"),
        (r#""chain":{}"#, C::Unsupported, "chain"),
        (r#""prompt":"q""#, C::DuplicateField, "prompt"),
        (r#""x":1,"x":2"#, C::DuplicateField, "x"),
        (r#""v":0"#, C::OutOfRange, "v"),
        (r#""v":-1e999"#, C::OutOfRange, "v"),
        (r#""v":1.5"#, C::WrongType, "v"),
    ] {
        let (got, at, words) = wrong(members);
        assert_eq!(
            (got, at.as_deref()),
            (code, Some(field)),
            "{members}: {words}"
        );
        assert!(words.starts_with(&format!("field `{field}`: ")), "{words}");
        assert!(words.len() < 400, "{words}");
    }
}

#[test]
fn words_say_what_would_be_right() {
    for (members, words) in [
        (
            r#""timeout":"soon""#,
            r#"field `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon""#,
        ),
        (
            r#""max_tokens":[1,2]"#,
            "field `max_tokens`: expected a whole number from 1 to 10000000, but got [1,2]",
        ),
        (
            r#""retry":{"base_delay":-1}"#,
            "field `retry`: `base_delay`: expected seconds, a number from 0 to 31536000, but got -1",
        ),
        (
            r#""messages":[{"role":"user","content":"secret"},{"role":"user","content":["secret"]}]"#,
            "field `messages`: message 2: part 1: expected an object, but got text",
        ),
        (
            r#""_x":1"#,
            "field `_x`: names that begin with `_` are reserved for the server",
        ),
    ] {
        assert_eq!(wrong(members).2, words);
    }
}

#[test]
fn messages_that_are_wrong_as_a_whole() {
    use MalformedCode as C;
    let deep = format!(
        r#"{{"prompt":"p","x":{}{}}}"#,
        "[".repeat(64),
        "]".repeat(64)
    );
    let bytes = |name: &[u8], value: &[u8]| RawMessage {
        fields: vec![(name.to_vec(), value.to_vec())],
    };
    for (message, code, field) in [
        (flat(&[]), C::NoPrompt, Some("prompt")),
        (flat(&[("prompt", "")]), C::NoPrompt, Some("prompt")),
        (job(""), C::NotJson, None),
        (job("hello"), C::NotJson, None),
        (job("{} {}"), C::NotJson, None),
        (job("\u{feff}{}"), C::NotJson, None),
        (job(r#"{"prompt":"\ud800"}"#), C::NotJson, None),
        (job("[]"), C::NotAnObject, None),
        (job("null"), C::NotAnObject, None),
        (job(&deep), C::TooDeep, None),
        (job(&"[".repeat(1_000_000)), C::TooDeep, None),
        (
            flat(&[("messages", &"[".repeat(64))]),
            C::TooDeep,
            Some("messages"),
        ),
        (job(&"x".repeat(1024 * 1024)), C::TooLarge, None),
        (flat(&[("job", "{}"), ("prompt", "p")]), C::BothForms, None),
        (flat(&[("job", "{}"), ("v", "1")]), C::BothForms, None),
        (
            flat(&[("job", "{}"), ("_x", "p")]),
            C::ReservedField,
            Some("_x"),
        ),
        (
            flat(&[("job", "{}"), ("job", "{}")]),
            C::DuplicateField,
            Some("job"),
        ),
        (
            flat(&[("prompt", "p"), ("prompt", "p")]),
            C::DuplicateField,
            Some("prompt"),
        ),
        (flat(&[("chain", "{}")]), C::Unsupported, Some("chain")),
        (
            flat(&[("prompt", "p"), ("_a", "")]),
            C::ReservedField,
            Some("_a"),
        ),
        (
            flat(&[("prompt", "p"), ("reply", "yes")]),
            C::BadValue,
            Some("reply"),
        ),
        (
            flat(&[("prompt", "p"), ("max_tokens", "many")]),
            C::BadValue,
            Some("max_tokens"),
        ),
        (
            flat(&[("prompt", "p"), ("metadata", "{")]),
            C::BadValue,
            Some("metadata"),
        ),
        (
            flat(&[("prompt", "p"), ("metadata", "[]")]),
            C::WrongType,
            Some("metadata"),
        ),
        (
            bytes(b"job", b"{\"prompt\":\"\xff\"}"),
            C::NotUtf8,
            Some("job"),
        ),
        (bytes(b"prompt", b"\xff"), C::NotUtf8, Some("prompt")),
        (bytes(b"\xff", b"x"), C::NotUtf8, Some("\u{fffd}")),
    ] {
        let error = read(&message).unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (code, field),
            "{error}"
        );
    }
}

#[test]
fn a_newer_version_is_told_before_anything_else_is_judged() {
    for (message, version) in [
        (job(r#"{"v":2}"#), 2),
        (
            job(r#"{"v":3,"prompt":5,"_x":1,"chain":1,"y":1,"y":2,"job":1}"#),
            3,
        ),
        (job(r#"{"v":1e30}"#), u64::MAX),
        (
            flat(&[("_x", ""), ("chain", "1"), ("v", "2"), ("v", "1")]),
            2,
        ),
        (flat(&[("job", "5"), ("prompt", "p"), ("v", "7")]), 7),
        (flat(&[("job", r#"{"v":2}"#), ("more", "p")]), 2),
        (
            RawMessage {
                fields: vec![(vec![0xff], vec![]), (b"v".to_vec(), b"2".to_vec())],
            },
            2,
        ),
    ] {
        let error = read(&message).unwrap_err();
        assert_eq!(error.code, MalformedCode::UnsupportedVersion, "{error}");
        assert_eq!(error.version, Some(version));
    }
}

#[test]
fn text_may_hold_what_keys_may_not() {
    let parsed = envelope(&job(r#"{"prompt":"a\u0000\nb","system":"\u0000"}"#));
    assert_eq!(parsed.messages[0].text(), "a\0\nb");
    let parsed = envelope(&flat(&[("prompt", r#"{"prompt":"not this"}"#)]));
    assert_eq!(parsed.messages[0].text(), r#"{"prompt":"not this"}"#);
}
