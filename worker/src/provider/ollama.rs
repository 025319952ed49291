//! The dialect of Ollama's chat API.

use std::borrow::Cow;

use http::{HeaderName, header};
use longshore_protocol::call::{Answer, Call, CallError, FinishReason, Usage};
use serde_json::{Value, json};

use super::dialect::{
    Dialect, answer_with, json_schema, present_fields, string_at, tokens_at, unusable_answer,
};

/// The dialect of Ollama.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ollama;

impl Dialect for Ollama {
    fn path(&self, _model: &str) -> Cow<'static, str> {
        "/api/chat".into()
    }

    fn key_header(&self) -> (HeaderName, &'static str) {
        (header::AUTHORIZATION, "Bearer ")
    }

    fn encode(&self, call: &Call) -> Value {
        let system = call.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages = system.chain(call.messages.iter().map(|message| json!(message)));
        let form = call.response_format.as_ref();
        let format = match form.and_then(|form| string_at(form, "/type")) {
            Some("json_schema") => json_schema(call).cloned(),
            Some("json_object") => Some("json".into()),
            _ => None,
        };
        let options = present_fields([
            ("num_predict", call.max_tokens.map(Value::from)),
            ("temperature", call.temperature.map(Value::from)),
        ]);
        let body = present_fields([
            ("model", Some(json!(call.model))),
            ("messages", Some(messages.collect())),
            ("stream", Some(false.into())),
            ("format", format),
            ("options", (!options.is_empty()).then(|| options.into())),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        // A cached prompt may have no count.
        let usage = Usage {
            input: tokens_at(&body, "/prompt_eval_count"),
            output: tokens_at(&body, "/eval_count"),
            ..Usage::default()
        };
        if body.get("message").is_none() {
            return unusable_answer("the answer has no message", usage);
        }
        let tools = body.pointer("/message/tool_calls");
        let finish = match string_at(&body, "/done_reason").unwrap_or_default() {
            _ if tools.is_some() => FinishReason::ToolCalls,
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        let output = string_at(&body, "/message/content").unwrap_or_default();
        answer_with(&body, ("/model", "/id"), output.to_owned(), finish, usage)
    }
}
