//! Google's `generateContent`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use http::HeaderName;
use longshore_protocol::call::{Answer, Call, CallError, FinishReason, Role, Usage};
use serde_json::{Value, json};

use super::{
    Dialect, Verdict, answer, count, fields, instructions_and_turns, path_segment, quirks, refused,
    schema, text, texts, unusable,
};

const JSON: &str = "application/json";

/// The dialect of Gemini.
#[derive(Debug, Clone, Copy)]
pub struct Gemini;

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
        let form = form.and_then(|form| text(form, "/type"));
        let is_json = matches!(form, Some("json_schema" | "json_object"));
        let config = fields([
            ("maxOutputTokens", call.max_tokens.map(Value::from)),
            ("temperature", call.temperature.map(Value::from)),
            ("responseMimeType", is_json.then(|| JSON.into())),
            ("responseJsonSchema", schema(call).cloned()),
        ]);
        let config = (!config.is_empty()).then(|| config.into());
        let system = (!system.is_empty()).then(|| json!({"parts": [{"text": system}]}));
        let body = fields([
            ("contents", Some(turns.iter().map(turn).collect())),
            ("systemInstruction", system),
            ("generationConfig", config),
        ]);
        body.into()
    }

    fn decode(&self, body: Value) -> Result<Answer, CallError> {
        let usage = body.get("usageMetadata").map(usage).unwrap_or_default();
        if let Some(reason) = text(&body, "/promptFeedback/blockReason") {
            return refused(format!("prompt blocked: {reason}"), usage);
        }
        let Some(candidate) = body.pointer("/candidates/0") else {
            return unusable("the answer has no candidates", usage);
        };
        let parts = candidate.pointer("/content/parts");
        let parts = || parts.and_then(Value::as_array).into_iter().flatten();
        let finish = match text(candidate, "/finishReason").unwrap_or_default() {
            reason if quirks::GOOGLE_REFUSES.contains(&reason) => return refused(reason, usage),
            // It says STOP where it calls a tool, too.
            _ if parts().any(|part| part.get("functionCall").is_some()) => FinishReason::ToolCalls,
            "STOP" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        let thought = |part: &&Value| part.get("thought").and_then(Value::as_bool) == Some(true);
        let output = texts(parts().filter(|part| !thought(part)));
        let names = ("/modelVersion", "/responseId");
        answer(&body, names, output, finish, usage)
    }

    fn classify(&self, status: u16, error: &Value, now: DateTime<Utc>) -> Option<Verdict> {
        quirks::google(status, error, now)
    }
}

fn usage(usage: &Value) -> Usage {
    let cached = count(usage, "/cachedContentTokenCount");
    let prompt = count(usage, "/promptTokenCount").saturating_sub(cached);
    Usage {
        input: prompt + count(usage, "/toolUsePromptTokenCount"),
        cached,
        output: count(usage, "/candidatesTokenCount"),
        reasoning: count(usage, "/thoughtsTokenCount"),
        ..Usage::default()
    }
}
