//! The dialect of Anthropic's Messages API.

use std::borrow::Cow;

use http::HeaderName;
use longshore_protocol::call::{Answer, Call, CallError, ErrorClass, FinishReason, Role, Usage};
use serde_json::{Value, json};

use super::dialect::{
    Dialect, answer_with, billed_error, instructions_and_turns, joined_texts, json_schema,
    present_fields, refused_answer, string_at, tokens_at, unusable_answer,
};

/// The dialect of Anthropic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anthropic;

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
        // The API has no setting for JSON without a schema: the prompt alone must ask for it.
        let format = |schema| json!({"format": {"type": "json_schema", "schema": schema}});
        let body = present_fields([
            ("model", Some(json!(call.model))),
            (
                "max_tokens",
                Some(call.max_tokens.unwrap_or(call.default_max_tokens).into()),
            ),
            ("messages", Some(turns.iter().map(turn).collect())),
            ("system", (!system.is_empty()).then(|| system.into())),
            ("temperature", call.temperature.map(Value::from)),
            ("output_config", json_schema(call).map(format)),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        let usage = body.get("usage").map(usage).unwrap_or_default();
        let Some(parts) = body.get("content").and_then(Value::as_array) else {
            return unusable_answer("the answer has no content", usage);
        };
        // Only text parts have the field `text`; thinking and tool calls have others.
        let output = joined_texts(parts);
        let finish = match string_at(&body, "/stop_reason").unwrap_or_default() {
            "refusal" => {
                let category =
                    string_at(&body, "/stop_details/category").unwrap_or("no category given");
                return refused_answer(category, usage);
            }
            "model_context_window_exceeded" if output.is_empty() => {
                let message = "the prompt fills the model's context window";
                return Err(billed_error(ErrorClass::ContextTooLong, message, usage));
            }
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        };
        answer_with(&body, ("/model", "/id"), output, finish, usage)
    }
}

/// The usage; no field includes another.
pub(super) fn usage(usage: &Value) -> Usage {
    let reasoning = tokens_at(usage, "/output_tokens_details/thinking_tokens");
    let written = tokens_at(usage, "/cache_creation_input_tokens");
    let five_minutes = tokens_at(usage, "/cache_creation/ephemeral_5m_input_tokens");
    let hour = tokens_at(usage, "/cache_creation/ephemeral_1h_input_tokens");
    Usage {
        input: tokens_at(usage, "/input_tokens"),
        cached: tokens_at(usage, "/cache_read_input_tokens"),
        // Older responses have only the sum.
        cache_write: written.saturating_sub(hour).max(five_minutes),
        cache_write_1h: hour,
        output: tokens_at(usage, "/output_tokens").saturating_sub(reasoning),
        reasoning,
    }
}
