//! The Gemini dialect: `generateContent`.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    ask::{Answer, Ask, Cause, Refusal, Reply, Shape, Tools as Offered},
    http::Head,
    limits::Unit,
    markers::Ending,
    prompt::{Text, join},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    #[serde(borrow)]
    contents: Option<Vec<Content<'a>>>,
    #[serde(borrow, default, alias = "system_instruction")]
    system_instruction: Text<'a>,
    #[serde(borrow, default, alias = "generation_config")]
    generation_config: Option<Config<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tools<'a>>,
    #[serde(default)]
    tool_config: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    #[serde(borrow, default)]
    function_declarations: Vec<Function<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    max_output_tokens: Option<u64>,
    #[serde(borrow, default)]
    response_mime_type: Cow<'a, str>,
    #[serde(borrow)]
    response_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    response_json_schema: Option<&'a RawValue>,
}

/// Reads a call of `model`, which the path names.
pub(super) fn read<'a>(head: &Head<'_>, model: &'a str, body: &'a [u8]) -> Result<Ask<'a>, Cause> {
    if head.x_goog_api_key.is_empty() {
        return Err(Cause::MissingKey("x-goog-api-key"));
    }
    let call: Call<'_> = serde_json::from_slice(body)
        .map_err(|error| Cause::bad(format!("Invalid JSON payload received. {error}")))?;
    let contents = call.contents.unwrap_or_default();
    if contents.is_empty() {
        return Err(Cause::bad(
            "* GenerateContentRequest.contents: contents is not specified\n",
        ));
    }
    if contents.iter().any(|content| content.parts.is_empty()) {
        return Err(Cause::bad(
            "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n",
        ));
    }
    let config = call.generation_config;
    let shape = match &config {
        Some(config) => {
            let schema = config.response_json_schema.or(config.response_schema);
            if schema.is_some() || config.response_mime_type == "application/json" {
                Shape::Json(schema)
            } else {
                Shape::Text
            }
        }
        None => Shape::Text,
    };
    let last = contents.last().and_then(|last| last.parts.last());
    let is_answered = last.is_some_and(|part| part.get().contains("\"functionResponse\""));
    let parts = contents.into_iter().flat_map(|content| content.parts);
    let texts: Result<Vec<Text<'a>>, _> = parts
        .map(|part| serde_json::from_str::<Text<'a>>(part.get()))
        .collect();
    let texts =
        texts.map_err(|error| Cause::bad(format!("Invalid JSON payload received. {error}")))?;
    let calling = call.tool_config.get("functionCallingConfig");
    let mode = calling.and_then(|config| config.get("mode")?.as_str());
    let named = calling.and_then(|config| config.pointer("/allowedFunctionNames/0")?.as_str());
    let tools = call
        .tools
        .into_iter()
        .flat_map(|tools| tools.function_declarations);
    let tools = tools.map(|tool| (tool.name, tool.parameters_json_schema));
    let tools = Offered::offer(tools, named, mode == Some("ANY"));
    Ok(Ask {
        tools: tools.only_if(mode != Some("NONE")).answered(is_answered),
        logprobs: false,
        model: Cow::Borrowed(model),
        prompt: join(std::iter::once(call.system_instruction).chain(texts)),
        max_output: config.and_then(|config| config.max_output_tokens),
        shape,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<[Candidate<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<Feedback>,
    usage_metadata: Counts,
    model_version: &'a str,
    response_id: Id,
}

struct Id(u64);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:022x}", self.0))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Said<'a>>,
    finish_reason: &'static str,
    index: u32,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text {
        text: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    Call {
        function_call: Called<'a>,
        thought_signature: &'static str,
    },
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "they are Gemini's names")]
struct Counts {
    prompt_token_count: u32,
    #[serde(skip_serializing_if = "is_zero")]
    cached_content_token_count: u32,
    candidates_token_count: u32,
    #[serde(skip_serializing_if = "is_zero")]
    thoughts_token_count: u32,
    total_token_count: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Writes the body of an answer.
pub(super) fn answer(to: &mut Vec<u8>, answer: &Answer<'_>) -> serde_json::Result<()> {
    let said = Said {
        role: "model",
        parts: if answer.calls.is_empty() {
            vec![Part::Text { text: answer.text }]
        } else {
            let calls = answer.calls.iter();
            let calls = calls.map(|call| Part::Call {
                function_call: Called {
                    name: call.name,
                    args: call.arguments,
                },
                thought_signature: "c2ltdWxhdGVk",
            });
            calls.collect()
        },
    };
    let (content, finish_reason) = match answer.ending {
        Ending::Refused => (None, "SAFETY"),
        Ending::Length => (Some(said), "MAX_TOKENS"),
        _ => (Some(said), "STOP"),
    };
    let silent = matches!(answer.ending, Ending::Blocked | Ending::Empty);
    let blocked = answer.ending == Ending::Blocked;
    let usage = answer.usage;
    let generated = Generated {
        candidates: (!silent).then_some([Candidate {
            content,
            finish_reason,
            index: 0,
        }]),
        prompt_feedback: blocked.then_some(Feedback {
            block_reason: "SAFETY",
        }),
        usage_metadata: Counts {
            prompt_token_count: usage.input,
            cached_content_token_count: usage.cached,
            // Gemini counts thoughts separately; the others include them.
            candidates_token_count: usage.output.saturating_sub(usage.reasoning),
            thoughts_token_count: usage.reasoning,
            total_token_count: usage.total(),
        },
        model_version: answer.model,
        response_id: Id(answer.serial),
    };
    serde_json::to_writer(to, &generated)
}

/// Writes an error in Gemini's format. Gemini has no rate-limit headers; the wait is in the body.
pub(super) fn refuse(refusal: &Refusal<'_>) -> Reply {
    let model = refusal.model;
    let mut wait = refusal.retry_after;
    let mut details = Vec::new();
    let (status, message) = match &refusal.cause {
        Cause::MissingKey(_) => (
            401,
            "Request is missing required authentication credential. Expected OAuth 2 access token, \
             login cookie or other valid authentication credential."
                .to_owned(),
        ),
        Cause::BadRequest { message, .. } => (400, message.clone()),
        Cause::UnknownModel => (404, unknown(model)),
        Cause::Limited(unit, room, _) => {
            details.push(violation(*unit, "PerMinute", model, room.limit));
            (429, exhausted(*unit, room.limit, room.reset))
        }
        Cause::Context => (
            400,
            "The input token count (1132413) exceeds the maximum number of tokens allowed (1048576)."
                .to_owned(),
        ),
        Cause::Quota(limit) => {
            let limit = u64::from(*limit);
            // The real API reports a short wait here as well, although the quota is per day.
            let short = wait.unwrap_or(Duration::from_secs(22));
            wait = Some(short);
            details.push(violation(Unit::Requests, "PerDay", model, limit));
            (429, exhausted(Unit::Requests, limit, short))
        }
        Cause::Status(429) => {
            details.push(violation(Unit::Requests, "PerMinute", model, 10));
            let wait = wait.unwrap_or(Duration::from_secs(1));
            (429, exhausted(Unit::Requests, 10, wait))
        }
        Cause::Status(status) => (*status, by_status(*status, model)),
    };
    if let Some(wait) = wait {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", wait.as_secs_f64()),
        }));
    }
    let mut error = json!({"code": status, "message": message, "status": code(status)});
    if !details.is_empty()
        && let Some(error) = error.as_object_mut()
    {
        error.insert("details".to_owned(), Value::Array(details));
    }
    Reply {
        status,
        headers: String::new(),
        body: json!({"error": error}),
    }
}

/// What a quota of the free tier counts, and the first word of its name.
fn metric(unit: Unit) -> (&'static str, &'static str) {
    match unit {
        Unit::Requests => (
            "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "GenerateRequests",
        ),
        Unit::Tokens => (
            "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count",
            "GenerateContentInputTokens",
        ),
    }
}

fn violation(unit: Unit, per: &str, model: &str, limit: u64) -> Value {
    let (metric, name) = metric(unit);
    json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": metric,
            "quotaId": format!("{name}{per}PerProjectPerModel-FreeTier"),
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": limit.to_string(),
        }],
    })
}

fn exhausted(unit: Unit, limit: u64, wait: Duration) -> String {
    let (metric, _) = metric(unit);
    format!(
        "You exceeded your current quota, please check your plan and billing details. For more \
         information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n\
         * Quota exceeded for metric: {metric}, limit: {limit}\nPlease retry in {}s.",
        wait.as_secs_f64()
    )
}

fn unknown(model: &str) -> String {
    format!(
        "models/{model} is not found for API version v1beta, or is not supported for \
         generateContent. Call ListModels to see the list of available models and their supported \
         methods."
    )
}

fn code(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn by_status(status: u16, model: &str) -> String {
    match status {
        401 => "API key expired. Please renew the API key.",
        402 => "Billing is not enabled for this project.",
        403 => "The caller does not have permission",
        404 => return unknown(model),
        503 | 529 => "The model is overloaded. Please try again later.",
        504 => "The request timed out. Please try again.",
        500.. => {
            "An internal error has occurred. Please retry or report in \
                  https://developers.generativeai.google/guide/troubleshooting"
        }
        _ => "The request was refused by the simulator.",
    }
    .to_owned()
}
