//! Anthropic's Messages.

use std::borrow::Cow;

use http::HeaderName;
use longshore_protocol::call::{Answer, Call, CallError, ErrorClass, FinishReason, Role, Usage};
use serde_json::{Value, json};

use super::{
    Dialect, answer, count, failed, fields, instructions_and_turns, refused, schema, text, texts,
    unusable,
};

/// The dialect of Anthropic.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self, _model: &str) -> Cow<'static, str> {
        "/v1/messages".into()
    }

    fn key_header(&self) -> (HeaderName, &'static str) {
        (HeaderName::from_static("x-api-key"), "")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn encode(&self, call: &Call) -> Value {
        let (system, turns) = instructions_and_turns(call);
        let turn = |(role, text): &(Role, &str)| json!({"role": role, "content": text});
        // There is no form for JSON without a schema: there the prompt alone must ask for it.
        let format = |schema| json!({"format": {"type": "json_schema", "schema": schema}});
        let body = fields([
            ("model", Some(json!(call.model))),
            (
                "max_tokens",
                Some(call.max_tokens.unwrap_or(call.default_max_tokens).into()),
            ),
            ("messages", Some(turns.iter().map(turn).collect())),
            ("system", (!system.is_empty()).then(|| system.into())),
            ("temperature", call.temperature.map(Value::from)),
            ("output_config", schema(call).map(format)),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        let usage = body.get("usage").map(usage).unwrap_or_default();
        let Some(parts) = body.get("content").and_then(Value::as_array) else {
            return unusable("the answer has no content", usage);
        };
        // Only text has `text`: thinking and tool calls have other fields.
        let output = texts(parts);
        let finish = match text(&body, "/stop_reason").unwrap_or_default() {
            "refusal" => {
                let category = text(&body, "/stop_details/category").unwrap_or("no category given");
                return refused(category, usage);
            }
            "model_context_window_exceeded" if output.is_empty() => {
                let said = "the prompt fills the model's window";
                return Err(failed(ErrorClass::ContextTooLong, said, usage));
            }
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        };
        answer(&body, ("/model", "/id"), output, finish, usage)
    }
}

/// What was used; no field includes another.
pub(super) fn usage(usage: &Value) -> Usage {
    let reasoning = count(usage, "/output_tokens_details/thinking_tokens");
    let written = count(usage, "/cache_creation_input_tokens");
    let five_minutes = count(usage, "/cache_creation/ephemeral_5m_input_tokens");
    let hour = count(usage, "/cache_creation/ephemeral_1h_input_tokens");
    Usage {
        input: count(usage, "/input_tokens"),
        cached: count(usage, "/cache_read_input_tokens"),
        // Older answers have only the sum.
        cache_write: written.saturating_sub(hour).max(five_minutes),
        cache_write_1h: hour,
        output: count(usage, "/output_tokens").saturating_sub(reasoning),
        reasoning,
    }
}
