//! The dialect of Google's `generateContent`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use http::HeaderName;
use longshore_protocol::call::{Answer, Call, CallError, FinishReason, Role, Usage};
use serde_json::{Value, json};

use super::{
    dialect::{
        Classification, Dialect, answer_with, instructions_and_turns, joined_texts, json_schema,
        path_segment, present_fields, refused_answer, string_at, tokens_at, unusable_answer,
    },
    quirks,
};

const JSON_MIME_TYPE: &str = "application/json";

/// The dialect of Gemini.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemini;

impl Dialect for Gemini {
    fn path(&self, model: &str) -> Cow<'static, str> {
        let model = path_segment(model.strip_prefix("models/").unwrap_or(model));
        format!("/v1beta/models/{model}:generateContent").into()
    }

    fn key_header(&self) -> (HeaderName, &'static str) {
        (HeaderName::from_static("x-goog-api-key"), "")
    }

    fn encode(&self, call: &Call) -> Value {
        let (system, turns) = instructions_and_turns(call);
        let turn = |(role, text): &(Role, &str)| {
            let model = *role == Role::Assistant;
            json!({"role": if model { "model" } else { "user" }, "parts": [{"text": text}]})
        };
        let form = call.response_format.as_ref();
        let form = form.and_then(|form| string_at(form, "/type"));
        let is_json = matches!(form, Some("json_schema" | "json_object"));
        let config = present_fields([
            ("maxOutputTokens", call.max_tokens.map(Value::from)),
            ("temperature", call.temperature.map(Value::from)),
            ("responseMimeType", is_json.then(|| JSON_MIME_TYPE.into())),
            ("responseJsonSchema", json_schema(call).cloned()),
        ]);
        let config = (!config.is_empty()).then(|| config.into());
        let system = (!system.is_empty()).then(|| json!({"parts": [{"text": system}]}));
        let body = present_fields([
            ("contents", Some(turns.iter().map(turn).collect())),
            ("systemInstruction", system),
            ("generationConfig", config),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        let usage = body.get("usageMetadata").map(usage).unwrap_or_default();
        if let Some(reason) = string_at(&body, "/promptFeedback/blockReason") {
            return refused_answer(format!("prompt blocked: {reason}"), usage);
        }
        let Some(candidate) = body.pointer("/candidates/0") else {
            return unusable_answer("the answer has no candidates", usage);
        };
        let parts = candidate.pointer("/content/parts");
        let parts = || parts.and_then(Value::as_array).into_iter().flatten();
        let finish = match string_at(candidate, "/finishReason").unwrap_or_default() {
            reason if quirks::GEMINI_REFUSALS.contains(&reason) => {
                return refused_answer(reason, usage);
            }
            // The reason is STOP for a tool call, too.
            _ if parts().any(|part| part.get("functionCall").is_some()) => FinishReason::ToolCalls,
            "STOP" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        let thought = |part: &&Value| part.get("thought").and_then(Value::as_bool) == Some(true);
        let output = joined_texts(parts().filter(|part| !thought(part)));
        let names = ("/modelVersion", "/responseId");
        answer_with(&body, names, output, finish, usage)
    }

    fn classify(&self, status: u16, error: &Value, now: DateTime<Utc>) -> Option<Classification> {
        quirks::classify_google(status, error, now)
    }
}

fn usage(usage: &Value) -> Usage {
    let cached = tokens_at(usage, "/cachedContentTokenCount");
    let prompt = tokens_at(usage, "/promptTokenCount").saturating_sub(cached);
    Usage {
        input: prompt + tokens_at(usage, "/toolUsePromptTokenCount"),
        cached,
        output: tokens_at(usage, "/candidatesTokenCount"),
        reasoning: tokens_at(usage, "/thoughtsTokenCount"),
        ..Usage::default()
    }
}
