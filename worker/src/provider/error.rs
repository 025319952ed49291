//! What a failure means, and how it is told to people.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use longshore_protocol::call::{Call, CallError, ErrorClass, Spend, Usage};
use serde_json::Value;

use super::{Dialect, Verdict, failed, room, text, wait};

/// The longest message for people, in characters.
const LONGEST: usize = 500;
/// Shorter texts of a prompt are words that a message may hold anyway.
const SHORTEST_PROMPT: usize = 12;

/// The prompt does not fit.
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
    // OpenAI: one request above the limit of a whole minute, which no wait helps.
    "request too large for",
    "prompt exceeds max length",
];
/// The provider does not want to answer this.
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
/// Money or a long quota is spent. "Exceeded your current quota" is not among them: Google says that
/// of a busy minute.
const SPENT: [&str; 16] = [
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
/// A wrong key, which some call a bad request.
const BAD_KEY: [&str; 4] = [
    "incorrect api key",
    "invalid api key",
    "api key not valid",
    "invalid_api_key",
];

/// What a status of 300 or more means.
pub(super) fn from_status(
    dialect: &dyn Dialect,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> CallError {
    if status < 400 {
        let said = "it points to another address, which is not followed";
        return CallError {
            status: Some(status),
            ..CallError::new(ErrorClass::BadRequest, said)
        };
    }
    let now = wait::clock(headers);
    let room = room::read(headers, now);
    let (mut verdict, said) = judge(dialect, status, body, now);
    if verdict.class == ErrorClass::BadRequest
        && wait::get(headers, "x-should-retry") == Some("true")
    {
        verdict.class = ErrorClass::Overloaded;
    }
    let retry_after = verdict.retry_after.or_else(|| wait::asked(headers, now));
    let retry_after = retry_after.or_else(|| {
        // Only a short limit: a spent quota has short limits beside it that are not meant.
        (verdict.class == ErrorClass::RateLimited)
            .then(|| wait::in_words(&said).or_else(|| room::until_reset(&room)))
            .flatten()
    });
    CallError {
        retry_after,
        status: Some(status),
        room,
        ..CallError::new(verdict.class, said)
    }
}

/// Whether something is an error in spite of the status 200 that it came with.
pub(super) fn is_error(body: &Value) -> bool {
    match body.get("error") {
        Some(Value::Object(error)) => !error.is_empty(),
        Some(Value::String(error)) => !error.is_empty(),
        _ => false,
    }
}

/// What such an error means: the status that would have been right is in it, if anywhere.
pub(super) fn in_band(dialect: &dyn Dialect, body: &Value, usage: Usage) -> CallError {
    let code = body.pointer("/error/code");
    let code = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code));
    let (verdict, said) = judge(dialect, status.unwrap_or(500), body, Utc::now());
    let mut error = failed(verdict.class, said, usage);
    if error.spend == Spend::Unknown {
        error.spend = spend_in_band(verdict.class);
    }
    error.retry_after = verdict.retry_after;
    error
}

/// What an error in spite of status 200 cost, if it does not say: declined at the door, or not.
pub(super) fn spend_in_band(class: ErrorClass) -> Spend {
    match class {
        ErrorClass::RateLimited
        | ErrorClass::QuotaExhausted
        | ErrorClass::Auth
        | ErrorClass::BadRequest
        | ErrorClass::ContextTooLong => Spend::Nothing,
        _ => Spend::Unknown,
    }
}

fn judge(
    dialect: &dyn Dialect,
    status: u16,
    body: &Value,
    now: DateTime<Utc>,
) -> (Verdict, String) {
    // Google sometimes wraps it in a list.
    let body = body.get(0).unwrap_or(body);
    let error = body
        .get("error")
        .filter(|error| error.is_object())
        .unwrap_or(body);
    let said = said(body, error);
    let verdict = dialect
        .classify(status, error, now)
        .unwrap_or_else(|| class(status, &words(&said, error)).into());
    (verdict, said)
}

fn class(status: u16, words: &str) -> ErrorClass {
    match status {
        // OpenRouter: only the calls in flight hold the money.
        402 if words.contains("in_flight_budget") => ErrorClass::RateLimited,
        402 => ErrorClass::QuotaExhausted,
        _ => by_words(words).unwrap_or_else(|| by_status(status, words)),
    }
}

/// What it is, as far as the words alone tell; they are in small letters.
pub(super) fn by_words(words: &str) -> Option<ErrorClass> {
    let has = |list: &[&str]| list.iter().any(|word| words.contains(word));
    if has(&SPENT) {
        Some(ErrorClass::QuotaExhausted)
    } else if has(&BAD_KEY) {
        Some(ErrorClass::Auth)
    } else if has(&TOO_LONG) && !words.contains("string_above_max_length") {
        Some(ErrorClass::ContextTooLong)
    } else {
        has(&REFUSED).then_some(ErrorClass::Refused)
    }
}

fn by_status(status: u16, words: &str) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        408 | 504 | 524 => ErrorClass::Timeout,
        429 if words.contains("overloaded") => ErrorClass::Overloaded,
        429 => ErrorClass::RateLimited,
        // A conflict, or too early: it passes.
        409 | 425 | 500.. => ErrorClass::Overloaded,
        _ => ErrorClass::BadRequest,
    }
}

/// What the provider said. Only known fields: the rest of a body may hold the request again.
fn said(body: &Value, error: &Value) -> String {
    let at = |value, pointers: &[&str]| {
        pointers
            .iter()
            .find_map(|at| text(value, at).map(str::to_owned))
    };
    let mut said = at(error, &["/message"])
        .or_else(|| at(body, &["/error", "/message", "/detail", "/msg"]))
        .or_else(|| {
            let details = body.get("detail")?.as_array()?;
            let details: Vec<_> = details
                .iter()
                .filter_map(|detail| text(detail, "/msg"))
                .collect();
            Some(details.join("; "))
        })
        .unwrap_or_default();
    // OpenRouter: what the provider behind it said.
    if let Some(raw) = text(error, "/metadata/raw") {
        let inner = match serde_json::from_str::<Value>(raw) {
            Ok(inner) => self::said(&inner, inner.get("error").unwrap_or(&inner)),
            Err(_) => raw.to_owned(),
        };
        said = format!("{said}: {inner}");
    }
    said
}

fn words(said: &str, error: &Value) -> String {
    let mut words = said.to_lowercase();
    for pointer in [
        "/type",
        "/code",
        "/status",
        "/innererror/code",
        "/metadata/limit_source",
        "/metadata/raw",
    ] {
        if let Some(word) = text(error, pointer) {
            words.push('\n');
            words.push_str(&word.to_lowercase());
        }
    }
    words
}

/// Whose failure it is, and what it is.
pub(super) fn what(name: &str, has_key: bool, error: &CallError) -> String {
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

/// A failure as people see it: [what](what) it is, what was said; no key, no prompt, not long.
pub(super) fn explain(
    what: String,
    secrets: &[&str],
    call: &Call,
    mut error: CallError,
) -> CallError {
    let said = scrub(&error.message, secrets, call);
    let whole = if said.is_empty() {
        what
    } else {
        format!("{what}. {said}")
    };
    error.message = match whole.char_indices().nth(LONGEST) {
        Some(_) => whole.chars().take(LONGEST - 1).chain(['…']).collect(),
        None => whole,
    };
    error
}

fn scrub(said: &str, secrets: &[&str], call: &Call) -> String {
    let mut said = said.to_owned();
    for secret in secrets {
        said = said.replace(secret, "***");
    }
    let prompts = call
        .messages
        .iter()
        .map(|message| &message.content)
        .chain(&call.system);
    for prompt in prompts.map(|prompt| prompt.trim()) {
        if prompt.len() >= SHORTEST_PROMPT {
            said = said.replace(prompt, "[prompt]");
        }
    }
    // Some quote the key with its middle left out, and its ends are still its ends.
    let starts: Vec<&str> = secrets.iter().filter_map(|key| key.get(..6)).collect();
    let words = said.split_whitespace().map(|word| {
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
