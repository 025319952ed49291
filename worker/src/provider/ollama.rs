//! Ollama's own chat.

use std::borrow::Cow;

use http::{HeaderName, header};
use longshore_protocol::call::{Answer, Call, CallError, FinishReason, Usage};
use serde_json::{Value, json};

use super::{Dialect, answer, count, fields, schema, text, unusable};

/// The dialect of Ollama.
#[derive(Debug, Clone, Copy)]
pub struct Ollama;

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
        let format = match form.and_then(|form| text(form, "/type")) {
            Some("json_schema") => schema(call).cloned(),
            Some("json_object") => Some("json".into()),
            _ => None,
        };
        let options = fields([
            ("num_predict", call.max_tokens.map(Value::from)),
            ("temperature", call.temperature.map(Value::from)),
        ]);
        let body = fields([
            ("model", Some(json!(call.model))),
            ("messages", Some(messages.collect())),
            ("stream", Some(false.into())),
            ("format", format),
            ("options", (!options.is_empty()).then(|| options.into())),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        // Of a prompt that is still in its memory there may be no count.
        let usage = Usage {
            input: count(&body, "/prompt_eval_count"),
            output: count(&body, "/eval_count"),
            ..Usage::default()
        };
        if body.get("message").is_none() {
            return unusable("the answer has no message", usage);
        }
        let tools = body.pointer("/message/tool_calls");
        let finish = match text(&body, "/done_reason").unwrap_or_default() {
            _ if tools.is_some() => FinishReason::ToolCalls,
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        let output = text(&body, "/message/content").unwrap_or_default();
        answer(&body, ("/model", "/id"), output.to_owned(), finish, usage)
    }
}
