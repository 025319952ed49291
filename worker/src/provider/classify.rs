//! Classifies the errors of providers, and writes them for people.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use longshore_protocol::{
    call::{Call, CallCost, CallError, ChatMessage, ErrorClass, Remedy, Usage},
    clock::local_time,
};
use serde_json::Value;

use super::{
    dialect::{Classification, Dialect, string_at},
    rate_limits, retry_after,
};

/// The longest error message, in characters.
const LONGEST_MESSAGE: usize = 500;
/// Shorter prompts are not removed from messages: they are words that occur in any message.
const SHORTEST_PROMPT: usize = 12;

/// No provider gives keys as short as this that are words.
const LONGEST_PLACEHOLDER: usize = 12;

/// The prompt exceeds the context window.
const TOO_LONG: [&str; 19] = [
    "context_length_exceeded",
    "prompt is too long",
    "exceed context limit",
    "maximum context length",
    "maximum context limit",
    "maximum prompt length",
    "exceeds the context window",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
    "token count exceeds",
    "exceeded model token limit",
    "longer than the model's context length",
    "input tokens exceed the configured limit",
    "`inputs` tokens + `max_new_tokens` must be",
    "input too long:",
    "maximum input length is",
    "string too long. expected a string with maximum length",
    // OpenAI: the request exceeds the limit of a whole minute, so that waiting does not help.
    "request too large for",
    "prompt exceeds max length",
];
/// The provider refuses to answer.
const REFUSED: [&str; 13] = [
    "content_policy",
    "content_filter",
    "content management policy",
    "content filtering policy",
    "responsibleaipolicyviolation",
    "our safety system",
    "the model produced invalid content",
    "violating our usage policy",
    "violates usage guidelines",
    "requires moderation",
    "content exists risk",
    "data_inspection_failed",
    "sensitive_content",
];
/// Money or a long quota is exhausted. "Exceeded your current quota" is not in the list: Google says it about a
/// busy minute, too.
const QUOTA_EXHAUSTED: [&str; 16] = [
    "insufficient_quota",
    "insufficient_balance",
    "insufficient balance",
    "insufficient credits",
    "exceeded_current_quota",
    "billing_hard_limit_reached",
    "billing_error",
    "credit balance is too low",
    "specified api usage limits",
    "out of credits",
    "used all available credits",
    "doesn't have any credits",
    "spending limit",
    "billing cycle",
    "usage limit for this period",
    "openrouter_",
];
/// A prompt without text, which no platform answers.
const EMPTY_PROMPT: [&str; 6] = [
    "must be non-empty",
    "must not be empty",
    "cannot be empty",
    "at least one message",
    "contents is not specified",
    "contents are required",
];
/// A wrong key, for which some providers have status 400.
const BAD_KEY: [&str; 4] = [
    "incorrect api key",
    "invalid api key",
    "api key not valid",
    "invalid_api_key",
];

/// Classifies a response with a status of 300 or more.
pub(super) fn classify_response(
    dialect: &dyn Dialect,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> CallError {
    if status < 400 {
        let message = "the provider redirects to another address; redirects are not followed";
        return CallError {
            status: Some(status),
            ..CallError::new(ErrorClass::BadRequest, message).remedy(Remedy::OtherPlatform)
        };
    }
    let now = retry_after::provider_time(headers);
    let room = rate_limits::read_room(headers, now);
    let (mut classification, message) = classify_body(dialect, status, body, now);
    if classification.class == ErrorClass::BadRequest
        && retry_after::header_text(headers, "x-should-retry") == Some("true")
    {
        classification.class = ErrorClass::Overloaded;
    }
    let retry_after = classification
        .retry_after
        .or_else(|| retry_after::from_headers(headers, now));
    let retry_after = retry_after.or_else(|| {
        // Only for a short limit: beside an exhausted quota, the headers report other limits.
        (classification.class == ErrorClass::RateLimited)
            .then(|| {
                retry_after::from_message(&message).or_else(|| rate_limits::until_reset(&room))
            })
            .flatten()
    });
    CallError {
        retry_after,
        status: Some(status),
        room,
        ..rejection(classification.class, message).spend(spend_by_status(status, body))
    }
}

/// The error of a class. A request that one platform rejects, for its model, a parameter or its size, another may
/// accept; a prompt without text none.
pub(super) fn rejection(class: ErrorClass, message: String) -> CallError {
    let words = message.to_lowercase();
    let is_empty = EMPTY_PROMPT.iter().any(|empty| words.contains(empty));
    let error = CallError::new(class, message);
    if class == ErrorClass::BadRequest && !is_empty {
        return error.remedy(Remedy::OtherPlatform);
    }
    error
}

/// What a failed call cost, by its status. Whoever gives up waiting for the model (408, 504, 524) does not know what
/// the model did; neither does a proxy that lost it (502), unless the body is the provider's own error.
fn spend_by_status(status: u16, body: &Value) -> CallCost {
    match status {
        408 | 504 | 524 => CallCost::Unknown,
        502 if !body.is_object() => CallCost::Unknown,
        _ => CallCost::Nothing,
    }
}

/// Whether a body with status 200 is an error.
pub(super) fn is_error(body: &Value) -> bool {
    match body.get("error") {
        Some(Value::Object(error)) => !error.is_empty(),
        Some(Value::String(error)) => !error.is_empty(),
        _ => false,
    }
}

/// Classifies an error with status 200 by the code in it, if there is one.
pub(super) fn classify_in_band(dialect: &dyn Dialect, body: &Value, usage: Usage) -> CallError {
    let code = body.pointer("/error/code");
    let code = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code));
    let (classification, message) =
        classify_body(dialect, status.unwrap_or(500), body, local_time());
    let class = classification.class;
    let mut error = rejection(class, message).spend(spend_in_band(class, usage));
    error.retry_after = classification.retry_after;
    error
}

/// What an error without a status of its own cost: the reported usage. If there is none, nothing if the provider
/// refused before any work.
pub(super) fn spend_in_band(class: ErrorClass, usage: Usage) -> CallCost {
    match class {
        _ if usage != Usage::default() => CallCost::Known(usage),
        ErrorClass::RateLimited
        | ErrorClass::QuotaExhausted
        | ErrorClass::Auth
        | ErrorClass::BadRequest
        | ErrorClass::ContextTooLong => CallCost::Nothing,
        _ => CallCost::Unknown,
    }
}

fn classify_body(
    dialect: &dyn Dialect,
    status: u16,
    body: &Value,
    now: DateTime<Utc>,
) -> (Classification, String) {
    // Google sometimes wraps the body in a list.
    let body = body.get(0).unwrap_or(body);
    let error = body
        .get("error")
        .filter(|error| error.is_object())
        .unwrap_or(body);
    let message = provider_message(body, error);
    let classification = dialect
        .classify(status, error, now)
        .unwrap_or_else(|| class_of_status(status, &searchable_words(&message, error)).into());
    (classification, message)
}

fn class_of_status(status: u16, words: &str) -> ErrorClass {
    match status {
        // OpenRouter: other calls in flight reserve the money.
        402 if words.contains("in_flight_budget") => ErrorClass::RateLimited,
        402 => ErrorClass::QuotaExhausted,
        _ => class_by_words(words).unwrap_or_else(|| class_by_status(status, words)),
    }
}

/// The class that the words of a message show. The words are lowercase.
pub(super) fn class_by_words(words: &str) -> Option<ErrorClass> {
    let has = |list: &[&str]| list.iter().any(|word| words.contains(word));
    if has(&QUOTA_EXHAUSTED) {
        Some(ErrorClass::QuotaExhausted)
    } else if has(&BAD_KEY) {
        Some(ErrorClass::Auth)
    } else if has(&TOO_LONG) && !words.contains("string_above_max_length") {
        Some(ErrorClass::ContextTooLong)
    } else {
        has(&REFUSED).then_some(ErrorClass::Refused)
    }
}

fn class_by_status(status: u16, words: &str) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        408 | 504 | 524 => ErrorClass::Timeout,
        429 if words.contains("overloaded") => ErrorClass::Overloaded,
        429 => ErrorClass::RateLimited,
        // A conflict (409) and "too early" (425) are temporary.
        409 | 425 | 500.. => ErrorClass::Overloaded,
        _ => ErrorClass::BadRequest,
    }
}

/// The provider's message. Only from known fields, because the rest of a body may repeat the request.
fn provider_message(body: &Value, error: &Value) -> String {
    let at = |value, pointers: &[&str]| {
        pointers
            .iter()
            .find_map(|at| string_at(value, at).map(str::to_owned))
    };
    let mut message = at(error, &["/message"])
        .or_else(|| at(body, &["/error", "/message", "/detail", "/msg"]))
        .or_else(|| {
            let details = body.get("detail")?.as_array()?;
            let details: Vec<_> = details
                .iter()
                .filter_map(|detail| string_at(detail, "/msg"))
                .collect();
            Some(details.join("; "))
        })
        .unwrap_or_default();
    // OpenRouter: the message of the provider behind it.
    if let Some(raw) = string_at(error, "/metadata/raw") {
        let inner = match serde_json::from_str::<Value>(raw) {
            Ok(inner) => provider_message(&inner, inner.get("error").unwrap_or(&inner)),
            Err(_) => raw.to_owned(),
        };
        message = format!("{message}: {inner}");
    }
    message
}

/// The message and the codes of an error, lowercase.
fn searchable_words(message: &str, error: &Value) -> String {
    let mut words = message.to_lowercase();
    for pointer in [
        "/type",
        "/code",
        "/status",
        "/innererror/code",
        "/metadata/limit_source",
        "/metadata/raw",
    ] {
        if let Some(word) = string_at(error, pointer) {
            words.push('\n');
            words.push_str(&word.to_lowercase());
        }
    }
    words
}

/// The provider and the kind of error.
pub(super) fn describe(name: &str, has_key: bool, error: &CallError) -> String {
    let status = error.status.filter(|status| *status != 200);
    let status = status
        .map(|status| format!(" (HTTP {status})"))
        .unwrap_or_default();
    match error.class {
        ErrorClass::Auth if !has_key => format!("No API key for {name}"),
        ErrorClass::Auth if error.status != Some(403) => format!("Invalid API key for {name}"),
        ErrorClass::Auth => format!("{name}: Not allowed with this API key"),
        ErrorClass::RateLimited => format!("{name}: Rate limited"),
        ErrorClass::QuotaExhausted => format!("{name}: Quota or balance exhausted"),
        ErrorClass::Overloaded => format!("{name}: Down or overloaded{status}"),
        ErrorClass::Timeout => format!("{name}: No answer in time{status}"),
        ErrorClass::Network => format!("{name}: Network error"),
        ErrorClass::BadRequest => format!("{name}: Request rejected{status}"),
        ErrorClass::ContextTooLong => format!("{name}: Prompt too long for the model"),
        ErrorClass::Refused => format!("{name}: Refused"),
        ErrorClass::BadOutput => format!("{name}: Unusable answer"),
        ErrorClass::Internal => format!("{name}: Internal error"),
    }
}

/// The error for people: the summary by [`describe`] and the provider's message, shortened, without keys and
/// prompts.
pub(super) fn explain(
    summary: String,
    secrets: &[&str],
    call: &Call,
    mut error: CallError,
) -> CallError {
    let message = refuse_secrets(&error.message, secrets, call);
    let message = if message.is_empty() {
        summary
    } else {
        format!("{summary}. {message}")
    };
    error.message = shorten(message);
    error
}

/// Shortens an error message to [`LONGEST_MESSAGE`].
pub(crate) fn shorten(message: String) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some(_) => message
            .chars()
            .take(LONGEST_MESSAGE - 1)
            .chain(['…'])
            .collect(),
        None => message,
    }
}

/// Whether a key is a word, such as `ollama` or `none`, for a server that takes any. To hide it would hide the word
/// wherever the message uses it.
fn is_placeholder(key: &str) -> bool {
    key.len() <= LONGEST_PLACEHOLDER && key.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn refuse_secrets(message: &str, secrets: &[&str], call: &Call) -> String {
    let secrets: Vec<&str> = secrets
        .iter()
        .copied()
        .filter(|key| !is_placeholder(key))
        .collect();
    let mut message = message.to_owned();
    for secret in &secrets {
        message = message.replace(secret, "***");
    }
    let prompts = call
        .messages
        .iter()
        .flat_map(ChatMessage::texts)
        .chain(call.system.as_deref());
    for prompt in prompts.map(str::trim) {
        if prompt.len() >= SHORTEST_PROMPT {
            message = message.replace(prompt, "[prompt]");
        }
    }
    // Some providers quote the key with its middle masked; its start identifies it.
    let starts: Vec<&str> = secrets.iter().filter_map(|key| key.get(..6)).collect();
    let words = message.split_whitespace().map(|word| {
        if word.contains("***") || starts.iter().any(|start| word.contains(start)) {
            "***"
        } else {
            word
        }
    });
    words
        .collect::<Vec<_>>()
        .join(" ")
        .replace(char::is_control, "")
}
