//! The dialect of Anthropic's Messages API.

use std::{borrow::Cow, mem};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderName;
use longshore_policy::parameters::{LEAST_THINKING, has_thinking_budget};
use longshore_protocol::call::{
    Answer, Call, CallError, CallParams, ChatMessage, Content, ErrorClass, FinishReason,
    ImageSource, InlineData, Part, ReasoningEffort, Role, Tool, ToolCall, ToolChoice, Usage,
};
use serde_json::{Value, json};

use super::{
    dialect::{
        Dialect, Said, answer_with, billed_error, instructions_and_turns, joined_texts,
        present_fields, refused_answer, string_at, tokens_at, unusable_answer,
    },
    tool_calls::tool_call,
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
        let params = &call.params;
        let (system, turns) = instructions_and_turns(call);
        let limit = params.max_tokens.unwrap_or(call.default_max_tokens);
        // The API has no setting for JSON without a schema: the prompt alone must ask for it.
        let format = params
            .json_schema()
            .map(|schema| json!({"type": "json_schema", "schema": schema}));
        let thinking = Thinking::of(call, limit);
        let output = present_fields([("format", format), ("effort", thinking.effort)]);
        let tools: Vec<Value> = params.tools.iter().map(tool).collect();
        let body = present_fields([
            ("model", Some(json!(call.model))),
            ("max_tokens", Some(limit.into())),
            ("messages", Some(messages(&turns))),
            ("system", (!system.is_empty()).then(|| system.into())),
            ("temperature", params.temperature.map(Value::from)),
            ("top_p", params.top_p.map(Value::from)),
            (
                "stop_sequences",
                (!params.stop.is_empty()).then(|| json!(params.stop)),
            ),
            ("output_config", (!output.is_empty()).then(|| output.into())),
            ("thinking", thinking.mode),
            ("tools", (!tools.is_empty()).then(|| tools.into())),
            ("tool_choice", tool_choice(params)),
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
        let said = Said {
            output,
            tool_calls: parts.iter().filter_map(called).collect(),
            logprobs: None,
        };
        answer_with(&body, ("/model", "/id"), said, finish, usage)
    }
}

/// The turns. Results of tools that follow each other belong into one turn.
fn messages(turns: &[(Role, &ChatMessage)]) -> Value {
    let mut messages: Vec<Value> = Vec::with_capacity(turns.len());
    let mut results: Vec<Value> = Vec::new();
    for (role, message) in turns {
        if *role == Role::Tool {
            results.push(json!({
                "type": "tool_result",
                "tool_use_id": message.tool_call_id,
                "content": message.text(),
            }));
            continue;
        }
        if !results.is_empty() {
            messages.push(json!({"role": "user", "content": mem::take(&mut results)}));
        }
        messages.push(json!({"role": role, "content": content(message)}));
    }
    if !results.is_empty() {
        messages.push(json!({"role": "user", "content": results}));
    }
    messages.into()
}

fn content(message: &ChatMessage) -> Value {
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut blocks: Vec<Value> = match &message.content {
        Content::Text(only) if message.tool_calls.is_empty() => return json!(only),
        // A block of text must not be empty.
        Content::Text(only) if only.trim().is_empty() => Vec::new(),
        Content::Text(only) => vec![text(only)],
        Content::Parts(parts) => parts.iter().map(block).collect(),
    };
    blocks.extend(message.tool_calls.iter().map(|call| {
        json!({"type": "tool_use", "id": call.id, "name": call.function.name, "input": call.arguments()})
    }));
    blocks.into()
}

fn block(part: &Part) -> Value {
    let inline = |data: &InlineData| json!({"type": "base64", "media_type": data.media_type, "data": data.base64});
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image { source, .. } => {
            let source = match source {
                ImageSource::Url(url) => json!({"type": "url", "url": url}),
                ImageSource::Inline(data) => inline(data),
            };
            json!({"type": "image", "source": source})
        }
        Part::File { data, filename } => {
            let source = match text_of(data) {
                Some(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
                None => inline(data),
            };
            let title = filename.as_ref().map(|name| json!(name));
            let block = present_fields([
                ("type", Some("document".into())),
                ("source", Some(source)),
                ("title", title),
            ]);
            block.into()
        }
        // Routing sends no sound here.
        Part::Audio { .. } => json!({"type": "text", "text": ""}),
    }
}

/// The text of a file of text, which the API does not take in base64.
fn text_of(data: &InlineData) -> Option<String> {
    let is_text = data.media_type == "text/plain";
    let bytes = is_text
        .then(|| BASE64_STANDARD.decode(&data.base64))?
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn tool(tool: &Tool) -> Value {
    let schema = tool.parameters.clone();
    let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    Value::Object(present_fields([
        ("name", Some(json!(tool.name))),
        (
            "description",
            tool.description.as_ref().map(|text| json!(text)),
        ),
        ("input_schema", Some(schema)),
        ("strict", tool.strict.map(Value::from)),
    ]))
}

fn tool_choice(params: &CallParams) -> Option<Value> {
    let alone = params.parallel_tool_calls.map(|parallel| json!(!parallel));
    let (kind, name) = match &params.tool_choice {
        None if alone.is_none() => return None,
        // Where none is called, none are called at once.
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Auto) | None => ("auto", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Function(name)) => ("tool", Some(json!(name))),
    };
    let choice = present_fields([
        ("type", Some(kind.into())),
        ("name", name),
        ("disable_parallel_tool_use", alone),
    ]);
    Some(choice.into())
}

/// The call of a tool in a part of an answer.
fn called(part: &Value) -> Option<ToolCall> {
    if string_at(part, "/type") != Some("tool_use") {
        return None;
    }
    let name = string_at(part, "/name")?;
    Some(tool_call(string_at(part, "/id"), name, part.get("input")))
}

/// The form in which a model takes the amount of thinking.
#[derive(Default)]
struct Thinking {
    mode: Option<Value>,
    effort: Option<Value>,
}

impl Thinking {
    /// Within `limit`, which includes the tokens of thinking.
    fn of(call: &Call, limit: u32) -> Self {
        let (budget, effort) = match call.params.reasoning_effort {
            None | Some(ReasoningEffort::None) => return Self::default(),
            Some(ReasoningEffort::Minimal | ReasoningEffort::Low) => (LEAST_THINKING, "low"),
            Some(ReasoningEffort::Medium) => (8_192, "medium"),
            Some(ReasoningEffort::High) => (16_384, "high"),
            Some(ReasoningEffort::XHigh) => (32_768, "high"),
        };
        if has_thinking_budget(&call.model) {
            let budget = budget.min(limit / 2).max(LEAST_THINKING);
            return Self {
                mode: Some(json!({"type": "enabled", "budget_tokens": budget})),
                effort: None,
            };
        }
        Self {
            mode: Some(json!({"type": "adaptive"})),
            effort: Some(json!(effort)),
        }
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
        ..Usage::default()
    }
}
