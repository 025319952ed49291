//! The dialect of Google's `generateContent`.

use std::{borrow::Cow, collections::HashMap, mem};

use chrono::{DateTime, Utc};
use http::HeaderName;
use longshore_protocol::call::{
    Answer, Call, CallError, ChatMessage, Content, FinishReason, ImageSource, Part,
    ReasoningEffort, Role, Tool, ToolCall, ToolChoice, Usage,
};
use serde_json::{Value, json};

use super::{
    dialect::{
        Classification, Dialect, Said, answer_with, instructions_and_turns, joined_texts,
        path_segment, present_fields, refused_answer, string_at, tokens_at, unusable_answer,
    },
    quirks,
    tool_calls::{sign, signature, tool_call},
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
        let params = &call.params;
        let (system, turns) = instructions_and_turns(call);
        let is_json = matches!(params.format_type(), Some("json_schema" | "json_object"));
        let config = present_fields([
            ("maxOutputTokens", params.max_tokens.map(Value::from)),
            ("temperature", params.temperature.map(Value::from)),
            ("responseMimeType", is_json.then(|| JSON_MIME_TYPE.into())),
            ("responseJsonSchema", params.json_schema().cloned()),
            ("topP", params.top_p.map(Value::from)),
            ("seed", params.seed.map(Value::from)),
            (
                "stopSequences",
                (!params.stop.is_empty()).then(|| json!(params.stop)),
            ),
            (
                "frequencyPenalty",
                params.frequency_penalty.map(Value::from),
            ),
            ("presencePenalty", params.presence_penalty.map(Value::from)),
            ("responseLogprobs", params.logprobs.map(Value::from)),
            ("logprobs", params.top_logprobs.map(Value::from)),
            (
                "thinkingConfig",
                params
                    .reasoning_effort
                    .map(|effort| thinking(effort, &call.model)),
            ),
        ]);
        let config = (!config.is_empty()).then(|| config.into());
        let system = (!system.is_empty()).then(|| json!({"parts": [{"text": system}]}));
        let tools: Vec<Value> = params.tools.iter().map(declaration).collect();
        let tools = (!tools.is_empty()).then(|| json!([{"functionDeclarations": tools}]));
        let body = present_fields([
            ("contents", Some(contents(&turns))),
            ("systemInstruction", system),
            ("generationConfig", config),
            ("tools", tools),
            ("toolConfig", params.tool_choice.as_ref().map(tool_config)),
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
        let said = Said {
            output,
            tool_calls: parts().filter_map(called).collect(),
            logprobs: candidate.get("logprobsResult").cloned(),
        };
        answer_with(&body, names, said, finish, usage)
    }

    fn classify(&self, status: u16, error: &Value, now: DateTime<Utc>) -> Option<Classification> {
        quirks::classify_google(status, error, now)
    }
}

/// The turns. Results of tools that follow each other belong into one turn, each with the name of its tool.
fn contents(turns: &[(Role, &ChatMessage)]) -> Value {
    let mut contents: Vec<Value> = Vec::with_capacity(turns.len());
    let mut results: Vec<Value> = Vec::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    for (role, message) in turns {
        if *role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap_or_default();
            results.push(result(names.get(id).copied().unwrap_or_default(), message));
            continue;
        }
        if !results.is_empty() {
            contents.push(json!({"role": "user", "parts": mem::take(&mut results)}));
        }
        let calls = message.tool_calls.iter();
        names.extend(calls.map(|call| (call.id.as_str(), call.function.name.as_str())));
        let model = *role == Role::Assistant;
        contents
            .push(json!({"role": if model { "model" } else { "user" }, "parts": parts(message)}));
    }
    if !results.is_empty() {
        contents.push(json!({"role": "user", "parts": results}));
    }
    contents.into()
}

/// What a tool answered: an object, or text as the member `result` of one.
fn result(name: &str, message: &ChatMessage) -> Value {
    let text = message.text();
    let response = match serde_json::from_str(&text) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({"result": text}),
    };
    json!({"functionResponse": {"name": name, "response": response}})
}

fn parts(message: &ChatMessage) -> Value {
    let mut parts: Vec<Value> = match &message.content {
        Content::Text(_) if message.has_no_content() => Vec::new(),
        Content::Text(text) => vec![json!({"text": text})],
        Content::Parts(parts) => parts.iter().map(part).collect(),
    };
    parts.extend(message.tool_calls.iter().map(|call| {
        let function = json!({"name": call.function.name, "args": call.arguments()});
        let part = present_fields([
            ("functionCall", Some(function)),
            ("thoughtSignature", signature(call).map(Value::from)),
        ]);
        Value::Object(part)
    }));
    parts.into()
}

fn part(part: &Part) -> Value {
    let inline = |media_type: &str, base64: &str| json!({"inlineData": {"mimeType": media_type, "data": base64}});
    match part {
        Part::Text(text) => json!({"text": text}),
        Part::Image { source, .. } => match source {
            ImageSource::Url(url) => match media_type_of(url) {
                Some(media_type) => json!({"fileData": {"fileUri": url, "mimeType": media_type}}),
                None => json!({"fileData": {"fileUri": url}}),
            },
            ImageSource::Inline(data) => inline(&data.media_type, &data.base64),
        },
        Part::File { data, .. } => inline(&data.media_type, &data.base64),
        Part::Audio { format, base64 } => inline(&format!("audio/{format}"), base64),
    }
}

/// The media type of an image by the ending of its address.
fn media_type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?.to_ascii_lowercase();
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        _ => return None,
    })
}

fn declaration(tool: &Tool) -> Value {
    Value::Object(present_fields([
        ("name", Some(json!(tool.name))),
        (
            "description",
            tool.description.as_ref().map(|text| json!(text)),
        ),
        ("parametersJsonSchema", tool.parameters.clone()),
    ]))
}

fn tool_config(choice: &ToolChoice) -> Value {
    let config = match choice {
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    json!({"functionCallingConfig": config})
}

/// How much to think: in tokens for the models of 2.5, in levels for those after it. Pro models always think.
fn thinking(effort: ReasoningEffort, model: &str) -> Value {
    use ReasoningEffort as E;
    let is_pro = model.contains("pro");
    if model.contains("gemini-2.5") {
        let budget = match effort {
            E::None if is_pro => 128,
            E::None => 0,
            E::Minimal | E::Low => 1_024,
            E::Medium => 8_192,
            E::High | E::XHigh => 24_576,
        };
        return json!({"thinkingBudget": budget});
    }
    let level = match effort {
        E::None | E::Minimal if !is_pro => "minimal",
        E::None | E::Minimal | E::Low => "low",
        E::Medium if !model.contains("gemini-3-pro") => "medium",
        E::Medium | E::High | E::XHigh => "high",
    };
    json!({"thinkingLevel": level})
}

/// The call of a tool in a part of an answer.
fn called(part: &Value) -> Option<ToolCall> {
    let call = part.get("functionCall")?;
    let name = string_at(call, "/name")?;
    let mut read = tool_call(string_at(call, "/id"), name, call.get("args"));
    if let Some(signature) = string_at(part, "/thoughtSignature") {
        sign(&mut read, signature);
    }
    Some(read)
}

fn usage(usage: &Value) -> Usage {
    let cached = tokens_at(usage, "/cachedContentTokenCount");
    let prompt = tokens_at(usage, "/promptTokenCount").saturating_sub(cached);
    let cached_audio = tokens_of_sound(usage, "/cacheTokensDetails").min(cached);
    let audio = tokens_of_sound(usage, "/promptTokensDetails").saturating_sub(cached_audio);
    Usage {
        input: prompt + tokens_at(usage, "/toolUsePromptTokenCount"),
        cached,
        output: tokens_at(usage, "/candidatesTokenCount"),
        reasoning: tokens_at(usage, "/thoughtsTokenCount"),
        audio: audio.min(prompt),
        cached_audio,
        ..Usage::default()
    }
}

/// The tokens of sound in a list of tokens by modality.
fn tokens_of_sound(usage: &Value, pointer: &str) -> u64 {
    let modalities = usage.pointer(pointer).and_then(Value::as_array);
    let modalities = modalities.into_iter().flatten();
    modalities
        .filter(|one| string_at(one, "/modality") == Some("AUDIO"))
        .map(|one| tokens_at(one, "/tokenCount"))
        .fold(0, u64::saturating_add)
}
