//! The OpenAI dialect: chat completions.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    ask::{Answer, Ask, Cause, Refusal, Reply, Shape, ToolCall, Tools, whole_seconds},
    http::Head,
    limits::{Standing, Unit},
    markers::Ending,
    prompt::{Text, join},
    state::unix_seconds,
};

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    #[serde(borrow)]
    response_format: Option<Format<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    logprobs: bool,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Text<'a>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    json_schema: Option<Schema<'a>>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads a call.
pub(super) fn read<'a>(head: &Head<'_>, body: &'a [u8]) -> Result<Ask<'a>, Cause> {
    let key = head
        .authorization
        .strip_prefix("Bearer ")
        .unwrap_or_default();
    if key.trim().is_empty() {
        return Err(Cause::MissingKey("Authorization"));
    }
    let call: Call<'_> = serde_json::from_slice(body).map_err(|error| {
        Cause::bad(format!(
            "We could not parse the JSON body of your request. ({error})"
        ))
    })?;
    let wrong = |param, message: &str| Cause::BadRequest {
        message: message.into(),
        param: Some(param),
    };
    if call.model.is_empty() {
        return Err(wrong("model", "you must provide a model parameter"));
    }
    let messages = call
        .messages
        .ok_or_else(|| wrong("messages", "Missing required parameter: 'messages'."))?;
    if messages.is_empty() {
        return Err(wrong(
            "messages",
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an \
             empty array instead.",
        ));
    }
    if call.stream {
        return Err(wrong("stream", "The simulator does not stream."));
    }
    let shape = match &call.response_format {
        Some(format) if format.kind.starts_with("json") => {
            Shape::Json(format.json_schema.as_ref().and_then(|named| named.schema))
        }
        _ => Shape::Text,
    };
    let is_answered = messages.last().is_some_and(|last| last.role == "tool");
    let named = call
        .tool_choice
        .pointer("/function/name")
        .and_then(Value::as_str);
    let is_forced = named.is_some() || call.tool_choice == "required";
    let tools = call.tools.into_iter();
    let tools = tools.map(|tool| (tool.function.name, tool.function.parameters));
    let tools = Tools::offer(tools, named, is_forced);
    Ok(Ask {
        tools: tools
            .only_if(call.tool_choice != "none")
            .answered(is_answered),
        logprobs: call.logprobs,
        model: call.model,
        prompt: join(messages.into_iter().map(|message| message.content)),
        max_output: call.max_completion_tokens.or(call.max_tokens),
        shape,
    })
}

#[derive(Serialize)]
struct Completion<'a> {
    id: Id,
    object: &'static str,
    created: u64,
    model: &'a str,
    service_tier: &'static str,
    choices: &'a [Choice<'a>],
    usage: Counts,
}

struct Id(u64);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("chatcmpl-{:024x}", self.0))
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    finish_reason: &'static str,
    logprobs: Option<Value>,
    message: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Value>>,
}

#[derive(Serialize)]
struct Counts {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u64,
    prompt_tokens_details: PromptCounts,
    completion_tokens_details: CompletionCounts,
}

#[derive(Serialize)]
struct PromptCounts {
    cached_tokens: u32,
}

#[derive(Serialize)]
struct CompletionCounts {
    reasoning_tokens: u32,
}

/// Writes the body of an answer.
pub(super) fn answer(to: &mut Vec<u8>, answer: &Answer<'_>) -> serde_json::Result<()> {
    let refused = matches!(answer.ending, Ending::Refused | Ending::Blocked);
    let choice = [Choice {
        index: 0,
        finish_reason: match answer.ending {
            Ending::Length => "length",
            Ending::Refused | Ending::Blocked => "content_filter",
            _ if !answer.calls.is_empty() => "tool_calls",
            _ => "stop",
        },
        logprobs: answer.logprobs.then(|| {
            json!({"content": [{"token": "You", "logprob": -0.25, "bytes": null, "top_logprobs": []}]})
        }),
        message: Said {
            role: "assistant",
            content: (!refused && answer.calls.is_empty()).then_some(answer.text),
            refusal: refused.then_some(answer.text),
            tool_calls: (!answer.calls.is_empty()).then(|| {
                let calls = (0_u16..).zip(answer.calls);
                let calls = calls.map(|(number, ToolCall { name, arguments })| {
                    let id = format!("call_{:020x}{number:04x}", answer.serial);
                    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.get()}})
                });
                calls.collect()
            }),
        },
    }];
    let usage = answer.usage;
    let completion = Completion {
        id: Id(answer.serial),
        object: "chat.completion",
        created: unix_seconds(),
        model: answer.model,
        service_tier: "default",
        choices: if answer.ending == Ending::Empty {
            &[]
        } else {
            &choice
        },
        usage: Counts {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.total(),
            prompt_tokens_details: PromptCounts {
                cached_tokens: usage.cached,
            },
            completion_tokens_details: CompletionCounts {
                reasoning_tokens: usage.reasoning,
            },
        },
    };
    serde_json::to_writer(to, &completion)
}

/// The headers of every response.
pub(super) fn headers(serial: u64, standing: Standing) -> String {
    let mut lines = format!("x-request-id: req_{serial:016x}\r\n");
    for (what, room) in [("requests", standing.requests), ("tokens", standing.tokens)] {
        if let Some(room) = room {
            // Writing to a string does not fail.
            write!(
                lines,
                "x-ratelimit-limit-{what}: {}\r\nx-ratelimit-remaining-{what}: {}\r\n\
                 x-ratelimit-reset-{what}: {}\r\n",
                room.limit,
                room.remaining,
                go_duration(room.reset),
            )
            .unwrap_or_default();
        }
    }
    lines
}

/// Writes an error in OpenAI's format.
pub(super) fn refuse(refusal: &Refusal<'_>) -> Reply {
    let model = refusal.model;
    let mut standing = Standing::default();
    let (status, kind, param, code, message) = match &refusal.cause {
        Cause::MissingKey(_) => (
            401,
            "invalid_request_error",
            None,
            None,
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                .to_owned(),
        ),
        Cause::BadRequest { message, param } => {
            (400, "invalid_request_error", *param, None, message.clone())
        }
        Cause::UnknownModel => (
            404,
            "invalid_request_error",
            None,
            Some("model_not_found"),
            format!("The model `{model}` does not exist or you do not have access to it."),
        ),
        Cause::Limited(unit, room, all) => {
            standing = *all;
            let message = limited(model, *unit, room.limit, room.reset);
            (429, word(*unit), None, Some("rate_limit_exceeded"), message)
        }
        Cause::Context => (
            400,
            "invalid_request_error",
            Some("messages"),
            Some("context_length_exceeded"),
            "This model's maximum context length is 128000 tokens. However, your messages resulted \
             in 131072 tokens. Please reduce the length of the messages."
                .to_owned(),
        ),
        Cause::Quota(_) => (
            429,
            "insufficient_quota",
            None,
            Some("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details. For more \
             information on this error, read the docs: \
             https://platform.openai.com/docs/guides/error-codes/api-errors."
                .to_owned(),
        ),
        Cause::Status(status) => {
            let (kind, code, message) = by_status(*status, model, refusal.retry_after);
            (*status, kind, None, code, message)
        }
    };
    let mut headers = headers(refusal.serial, standing);
    if let Some(wait) = refusal.retry_after {
        write!(
            headers,
            "retry-after-ms: {}\r\nretry-after: {}\r\n",
            wait.as_millis(),
            whole_seconds(wait)
        )
        .unwrap_or_default();
    }
    Reply {
        status,
        headers,
        body: json!({"error": {"message": message, "type": kind, "param": param, "code": code}}),
    }
}

fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Requests => "requests",
        Unit::Tokens => "tokens",
    }
}

fn limited(model: &str, unit: Unit, limit: u64, wait: Duration) -> String {
    let short = match unit {
        Unit::Requests => "RPM",
        Unit::Tokens => "TPM",
    };
    format!(
        "Rate limit reached for {model} in organization org-simulated on {} per min ({short}): \
         Limit {limit}, Used {limit}, Requested 1. Please try again in {}. Visit \
         https://platform.openai.com/account/rate-limits to learn more.",
        word(unit),
        go_duration(wait)
    )
}

type Words = (&'static str, Option<&'static str>, String);

fn by_status(status: u16, model: &str, wait: Option<Duration>) -> Words {
    let (kind, code, message) = match status {
        401 => (
            "invalid_request_error",
            Some("invalid_api_key"),
            "Incorrect API key provided: sk-***.",
        ),
        // OpenAI has no 402; this is DeepSeek's.
        402 => (
            "unknown_error",
            Some("invalid_request_error"),
            "Insufficient Balance",
        ),
        403 => (
            "request_forbidden",
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported",
        ),
        404 => {
            return (
                "invalid_request_error",
                Some("model_not_found"),
                format!("The model `{model}` does not exist or you do not have access to it."),
            );
        }
        429 => {
            let wait = wait.unwrap_or(Duration::from_secs(1));
            return (
                "requests",
                Some("rate_limit_exceeded"),
                limited(model, Unit::Requests, 500, wait),
            );
        }
        503 | 529 => (
            "server_error",
            None,
            "The engine is currently overloaded, please try again later.",
        ),
        500.. => (
            "server_error",
            None,
            "The server had an error while processing your request. Sorry about that!",
        ),
        _ => (
            "invalid_request_error",
            None,
            "The request was refused by the simulator.",
        ),
    };
    (kind, code, message.to_owned())
}

/// A duration as Go writes it: `12ms`, `1.5s`, `6m0s`.
fn go_duration(wait: Duration) -> String {
    let ms = wait.as_millis();
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    if minutes == 0 {
        format!("{seconds}s")
    } else {
        format!("{minutes}m{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_go() {
        for (ms, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (10_000, "10s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
    }
}
