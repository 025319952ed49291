//! The dialect of Ollama's chat API.

use std::borrow::Cow;

use http::{HeaderName, header};
use longshore_protocol::call::{
    Answer, Call, CallError, ChatMessage, FinishReason, ImageSource, Part, ReasoningEffort,
    ToolChoice, Usage,
};
use serde_json::{Value, json};

use super::{
    dialect::{
        Dialect, Said, answer_with, present_fields, sampling_fields, string_at, tokens_at,
        unusable_answer,
    },
    tool_calls::listed_calls,
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
        let params = &call.params;
        let system = call.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages = system.chain(call.messages.iter().map(message));
        let format = match params.format_type() {
            Some("json_schema") => params.json_schema().cloned(),
            Some("json_object") => Some("json".into()),
            _ => None,
        };
        let mut options = sampling_fields(params);
        options.extend(present_fields([(
            "num_predict",
            params.max_tokens.map(Value::from),
        )]));
        // The API has no choice of tools: without them, none is called.
        let tools = (params.tool_choice != Some(ToolChoice::None) && !params.tools.is_empty())
            .then(|| json!(params.tools));
        let body = present_fields([
            ("model", Some(json!(call.model))),
            ("messages", Some(messages.collect())),
            ("stream", Some(false.into())),
            ("format", format),
            ("options", (!options.is_empty()).then(|| options.into())),
            ("logprobs", params.logprobs.map(Value::from)),
            ("top_logprobs", params.top_logprobs.map(Value::from)),
            ("think", params.reasoning_effort.map(think)),
            ("tools", tools),
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
        let tool_calls = listed_calls(body.pointer("/message/tool_calls"));
        let finish = match string_at(&body, "/done_reason").unwrap_or_default() {
            _ if !tool_calls.is_empty() => FinishReason::ToolCalls,
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        let output = string_at(&body, "/message/content").unwrap_or_default();
        let said = Said {
            output: output.to_owned(),
            tool_calls,
            logprobs: body.get("logprobs").cloned(),
        };
        answer_with(&body, ("/model", "/id"), said, finish, usage)
    }
}

/// A message: its text, beside its images, and the arguments of calls as objects.
fn message(message: &ChatMessage) -> Value {
    let images = message.parts().iter().filter_map(|part| match part {
        Part::Image {
            source: ImageSource::Inline(data),
            ..
        } => Some(json!(data.base64)),
        _ => None,
    });
    let images: Vec<Value> = images.collect();
    let calls: Vec<Value> = message
        .tool_calls
        .iter()
        .map(|call| json!({"id": call.id, "function": {"name": call.function.name, "arguments": call.arguments()}}))
        .collect();
    let id = message.tool_call_id.as_ref();
    let mut members = present_fields([
        ("role", Some(json!(message.role))),
        ("content", Some(json!(message.text()))),
        ("images", (!images.is_empty()).then(|| images.into())),
        ("tool_calls", (!calls.is_empty()).then(|| calls.into())),
        ("tool_call_id", id.map(|id| json!(id))),
    ]);
    for (name, value) in &message.extra {
        members.entry(name).or_insert_with(|| value.clone());
    }
    members.into()
}

fn think(effort: ReasoningEffort) -> Value {
    match effort {
        ReasoningEffort::None => json!(false),
        ReasoningEffort::Minimal | ReasoningEffort::Low => json!("low"),
        ReasoningEffort::Medium => json!("medium"),
        ReasoningEffort::High | ReasoningEffort::XHigh => json!("high"),
    }
}
