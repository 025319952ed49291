//! The Anthropic dialect: messages.

use std::{borrow::Cow, fmt::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    ask::{Answer, Ask, Cause, Refusal, Reply, Shape, Tools, whole_seconds},
    http::Head,
    limits::{Standing, Unit},
    markers::Ending,
    prompt::{Text, join},
};

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    max_tokens: Option<u64>,
    #[serde(borrow, default)]
    system: Text<'a>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    output_config: Option<Config<'a>>,
    /// The older place of `output_config.format`.
    #[serde(borrow)]
    output_format: Option<Format<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "role")]
    _role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Config<'a> {
    #[serde(borrow)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads a call.
pub(super) fn read<'a>(head: &Head<'_>, body: &'a [u8]) -> Result<Ask<'a>, Cause> {
    if head.x_api_key.is_empty() {
        return Err(Cause::MissingKey("x-api-key"));
    }
    if head.anthropic_version.is_empty() {
        return Err(Cause::bad("anthropic-version: header is required"));
    }
    let call: Call<'_> = serde_json::from_slice(body)
        .map_err(|error| Cause::bad(format!("The request body is not valid: {error}")))?;
    if call.model.is_empty() {
        return Err(Cause::bad("model: Field required"));
    }
    if call.max_tokens.is_none() {
        return Err(Cause::bad("max_tokens: Field required"));
    }
    if call.max_tokens == Some(0) {
        return Err(Cause::bad(
            "max_tokens: Input should be greater than or equal to 1",
        ));
    }
    let messages = call
        .messages
        .ok_or_else(|| Cause::bad("messages: Field required"))?;
    if messages.is_empty() {
        return Err(Cause::bad("messages: at least one message is required"));
    }
    let last = messages.last().map_or("", |last| last.content.get());
    let is_answered = last.contains("\"tool_result\"");
    let text = |message: Message<'a>| serde_json::from_str::<Text<'a>>(message.content.get());
    let texts: Result<Vec<Text<'a>>, _> = messages.into_iter().map(text).collect();
    let texts = texts.map_err(|error| Cause::bad(format!("messages: {error}")))?;
    if texts.iter().all(|text| text.0.is_empty()) && !is_answered {
        return Err(Cause::bad(
            "messages.0: user messages must have non-empty content",
        ));
    }
    if call.stream {
        return Err(Cause::bad("stream: the simulator does not stream"));
    }
    let format = call
        .output_config
        .and_then(|config| config.format)
        .or(call.output_format);
    let kind = call.tool_choice.get("type").and_then(Value::as_str);
    let named = call.tool_choice.get("name").and_then(Value::as_str);
    let tools = call.tools.into_iter();
    let tools = tools.map(|tool| (tool.name, tool.input_schema));
    let tools = Tools::offer(tools, named, matches!(kind, Some("any" | "tool")));
    Ok(Ask {
        tools: tools.only_if(kind != Some("none")).answered(is_answered),
        logprobs: false,
        model: call.model,
        prompt: join(std::iter::once(call.system).chain(texts)),
        max_output: call.max_tokens,
        shape: format.map_or(Shape::Text, |format| Shape::Json(format.schema)),
    })
}

#[derive(Serialize)]
struct Reading<'a> {
    id: Id,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: &'a [Block<'a>],
    stop_reason: &'static str,
    stop_sequence: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<Details>,
    usage: Counts,
}

struct Id(u64);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("msg_{:024x}", self.0))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        text: &'a str,
    },
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        id: String,
        name: &'a str,
        input: &'a RawValue,
    },
}

#[derive(Serialize)]
struct Details {
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'static str,
}

#[derive(Serialize)]
struct Counts {
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
    output_tokens_details: OutputCounts,
    service_tier: &'static str,
}

#[derive(Serialize)]
struct OutputCounts {
    thinking_tokens: u32,
}

/// Writes the body of an answer.
pub(super) fn answer(to: &mut Vec<u8>, answer: &Answer<'_>) -> serde_json::Result<()> {
    let blocks: Vec<Block<'_>> = if answer.calls.is_empty() {
        vec![Block::Text {
            kind: "text",
            text: answer.text,
        }]
    } else {
        let calls = (0_u16..).zip(answer.calls);
        let calls = calls.map(|(number, call)| Block::Call {
            kind: "tool_use",
            id: format!("toolu_{:020x}{number:04x}", answer.serial),
            name: call.name,
            input: call.arguments,
        });
        calls.collect()
    };
    let refused = matches!(answer.ending, Ending::Refused | Ending::Blocked);
    let usage = answer.usage;
    let reading = Reading {
        id: Id(answer.serial),
        kind: "message",
        role: "assistant",
        model: answer.model,
        content: if refused || answer.ending == Ending::Empty {
            &[]
        } else {
            &blocks
        },
        stop_reason: match answer.ending {
            Ending::Length => "max_tokens",
            Ending::Refused | Ending::Blocked => "refusal",
            _ if !answer.calls.is_empty() => "tool_use",
            _ => "end_turn",
        },
        stop_sequence: None,
        stop_details: refused.then_some(Details {
            kind: "refusal",
            category: "general_harms",
        }),
        usage: Counts {
            // Anthropic counts cached input separately; the others include it.
            input_tokens: usage.input.saturating_sub(usage.cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached,
            output_tokens: usage.output,
            output_tokens_details: OutputCounts {
                thinking_tokens: usage.reasoning,
            },
            service_tier: "standard",
        },
    };
    serde_json::to_writer(to, &reading)
}

/// The headers of every response.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator has a clock of its own"
)]
pub(super) fn headers(serial: u64, standing: Standing) -> String {
    let mut lines = format!("request-id: req_{serial:024x}\r\n");
    for (what, room) in [("requests", standing.requests), ("tokens", standing.tokens)] {
        if let Some(room) = room {
            let reset = chrono::Utc::now() + room.reset;
            // Writing to a string does not fail.
            write!(
                lines,
                "anthropic-ratelimit-{what}-limit: {}\r\n\
                 anthropic-ratelimit-{what}-remaining: {}\r\n\
                 anthropic-ratelimit-{what}-reset: {}\r\n",
                room.limit,
                room.remaining,
                reset.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            )
            .unwrap_or_default();
        }
    }
    lines
}

/// Writes an error in Anthropic's format.
pub(super) fn refuse(refusal: &Refusal<'_>) -> Reply {
    let mut standing = Standing::default();
    let (status, message) = match &refusal.cause {
        Cause::MissingKey(header) => (401, format!("{header} header is required")),
        Cause::BadRequest { message, .. } => (400, message.clone()),
        Cause::UnknownModel => (404, format!("model: {}", refusal.model)),
        Cause::Limited(unit, room, all) => {
            standing = *all;
            let limit = room.limit;
            let what = match unit {
                Unit::Requests => "requests",
                Unit::Tokens => "tokens",
            };
            (
                429,
                format!(
                    "This request would exceed your organization's rate limit of {limit} {what} \
                     per minute. For details, refer to: https://docs.claude.com/en/api/rate-limits."
                ),
            )
        }
        Cause::Context => (
            400,
            "prompt is too long: 208310 tokens > 200000 maximum".to_owned(),
        ),
        Cause::Quota(_) => (
            400,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
             Billing to upgrade or purchase credits."
                .to_owned(),
        ),
        Cause::Status(status) => (*status, by_status(*status, refusal.model)),
    };
    let mut headers = headers(refusal.serial, standing);
    if let Some(wait) = refusal.retry_after {
        write!(headers, "retry-after: {}\r\n", whole_seconds(wait)).unwrap_or_default();
    }
    let id = format!("req_{:024x}", refusal.serial);
    let error = json!({"type": kind(status), "message": message});
    Reply {
        status,
        headers,
        body: json!({"type": "error", "error": error, "request_id": id}),
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn by_status(status: u16, model: &str) -> String {
    match status {
        401 => "invalid x-api-key",
        402 => "Your account has a billing problem.",
        403 => "Your API key does not have permission to use the specified resource.",
        404 => return format!("model: {model}"),
        413 => "Request exceeds the maximum size",
        429 => {
            "This request would exceed your organization's rate limit of 50 requests per minute."
        }
        503 => "Service unavailable",
        504 => "The request timed out while being processed.",
        529 => "Overloaded",
        500.. => "Internal server error",
        _ => "The request was refused by the simulator.",
    }
    .to_owned()
}
