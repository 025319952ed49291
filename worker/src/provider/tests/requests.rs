//! Encoding requests.

use longshore_policy::catalog::Service;
use longshore_protocol::call::{Call, Role};
use serde_json::json;

use super::{call, message};
use crate::provider::{
    anthropic::Anthropic, dialect::Dialect, dialect::path_segment, gemini::Gemini, ollama::Ollama,
    openai::OpenAi,
};

fn full() -> Call {
    let format = json!({"type": "json_schema", "json_schema": {
        "name": "out", "strict": true, "schema": {"type": "object"}}});
    let mut call = call();
    call.system = Some("Be brief.".to_owned());
    call.messages = vec![
        message(Role::System, "Be polite."),
        message(Role::User, "Hi"),
        message(Role::Assistant, "Hello"),
        message(Role::User, "Bye"),
    ];
    call.messages[1].extra.insert("name".into(), json!("ann"));
    call.params.max_tokens = Some(100);
    call.params.temperature = Some(0.5);
    call.params.response_format = Some(format);
    call
}

#[test]
fn openai_gets_all_fields_unchanged() {
    let call = full();
    let expected = json!({
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be polite."},
            {"role": "user", "content": "Hi", "name": "ann"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
        ],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "response_format": call.params.response_format,
    });
    assert_eq!(OpenAi(Service::OpenAi).encode(&call), expected);
    let others = OpenAi(Service::Other).encode(&call);
    assert_eq!(others["max_tokens"], 100);
    assert!(others.get("max_completion_tokens").is_none());
}

#[test]
fn thoughts_return_to_the_services_that_want_them() {
    let answer = json!({"choices": [{"finish_reason": "tool_calls", "message": {
        "content": null, "reasoning_content": "The city is needed.", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}]});
    for (service, wants) in [
        (Service::DeepSeek, true),
        (Service::Moonshot, true),
        (Service::OpenAi, false),
        (Service::Other, false),
    ] {
        let dialect = OpenAi(service);
        let mut said = message(Role::Assistant, "");
        said.tool_calls = dialect.decode(answer.clone()).unwrap().tool_calls;
        let kept = json!(said.tool_calls);
        let thoughts = "/0/extra_content/reasoning_content";
        assert_eq!(kept.pointer(thoughts).is_some(), wants, "{service:?}");
        assert!(kept.pointer("/1/extra_content").is_none());

        let mut call = call();
        call.messages = vec![said];
        let request = dialect.encode(&call);
        let sent = &request["messages"][0];
        let returned = wants.then(|| json!("The city is needed."));
        assert_eq!(sent.get("reasoning_content"), returned.as_ref());
        assert!(sent.pointer("/tool_calls/0/extra_content").is_none());
    }
}

#[test]
fn anthropic_gets_separate_instructions_and_always_a_token_limit() {
    let mut call = full();
    let expected = json!({
        "model": "some-model",
        "system": "Be brief.\n\nBe polite.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
        ],
        "max_tokens": 100,
        "temperature": 0.5,
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    });
    assert_eq!(Anthropic.encode(&call), expected);
    call.params.max_tokens = None;
    call.params.response_format = Some(json!({"type": "json_object"}));
    let body = Anthropic.encode(&call);
    assert_eq!(body["max_tokens"], 4096);
    assert!(body.get("output_config").is_none());
}

#[test]
fn gemini_has_its_own_field_names() {
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe polite."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello"}]},
            {"role": "user", "parts": [{"text": "Bye"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
    });
    assert_eq!(Gemini.encode(&full()), expected);
}

#[test]
fn ollama_gets_options_and_a_format() {
    let mut call = full();
    let expected = json!({
        "model": "some-model",
        "messages": OpenAi(Service::Other).encode(&call)["messages"],
        "stream": false,
        "format": {"type": "object"},
        "options": {"num_predict": 100, "temperature": 0.5},
    });
    assert_eq!(Ollama.encode(&call), expected);
    call.params.response_format = Some(json!({"type": "json_object"}));
    assert_eq!(Ollama.encode(&call)["format"], "json");
}

#[test]
fn a_short_call_makes_a_short_request() {
    let user = json!([{"role": "user", "content": super::PROMPT}]);
    assert_eq!(
        OpenAi(Service::OpenAi).encode(&call()),
        json!({"model": "some-model", "messages": user})
    );
    assert_eq!(
        Gemini.encode(&call()),
        json!({"contents": [{"role": "user", "parts": [{"text": super::PROMPT}]}]})
    );
}

#[test]
fn instructions_alone_become_the_users_turn() {
    let mut call = call();
    call.messages = vec![message(Role::System, "Tell a joke.")];
    let turn = json!([{"role": "user", "content": "Tell a joke."}]);
    let body = Anthropic.encode(&call);
    assert_eq!(body["messages"], turn);
    assert!(body.get("system").is_none());
    assert_eq!(
        Gemini.encode(&call)["contents"][0]["parts"][0]["text"],
        "Tell a joke."
    );
}

#[test]
fn a_model_name_stays_one_segment_of_the_path() {
    assert_eq!(
        Gemini.path("models/gemini-2.5-flash"),
        "/v1beta/models/gemini-2.5-flash:generateContent"
    );
    for name in [
        "../../x",
        "a/b",
        "a?key=1",
        "a#b",
        "a:b",
        "@evil.com/",
        "ä b",
        "%2e%2e",
    ] {
        let url = super::provider(Gemini, "https://host.example/prefix/").url(name);
        assert_eq!(url.host_str(), Some("host.example"), "{name}");
        assert_eq!(url.query(), None, "{name}");
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        assert_eq!(segments.len(), 4, "{url}");
        assert_eq!(segments[..3], ["prefix", "v1beta", "models"], "{url}");
        assert_eq!(
            segments[3],
            format!("{}:generateContent", path_segment(name))
        );
    }
}
