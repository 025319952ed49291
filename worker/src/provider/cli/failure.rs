//! Classifies the failure of a tool by its words, because tools have no error codes.

use std::{process::ExitStatus, time::Duration};

use longshore_protocol::{
    call::{CallError, ErrorClass, Usage},
    clock::local_time,
};

use super::{
    super::{classify, retry_after},
    process::FinishedProcess,
};

/// How many of the last lines of stderr make the error message.
const LAST_LINES: usize = 20;

/// The login is missing or refused.
const NOT_LOGGED_IN: [&str; 10] = [
    "/login",
    "not logged in",
    "log in",
    "please login",
    "authentication",
    "unauthorized",
    "oauth token",
    "set an auth method",
    " 401",
    "permission_error",
];
/// A quota of hours or days is exhausted.
const QUOTA_EXHAUSTED: [&str; 8] = [
    "usage limit",
    "session limit",
    "weekly limit",
    "hit your limit",
    "daily limit",
    "per day",
    "perday",
    "credit balance",
];
const RATE_LIMITED: [&str; 5] = [
    "rate limit",
    "rate_limit",
    "too many requests",
    "429",
    "resource_exhausted",
];

/// Classifies a failure by the words of the message, then by the exit code.
pub(super) fn classify_failure(message: &str, status: ExitStatus, usage: Usage) -> CallError {
    let words = message.to_lowercase();
    let has = |list: &[&str]| list.iter().any(|word| words.contains(word));
    let class = if has(&QUOTA_EXHAUSTED) {
        ErrorClass::QuotaExhausted
    } else if let Some(class) = classify::class_by_words(&words) {
        class
    } else if has(&RATE_LIMITED) {
        ErrorClass::RateLimited
    } else if has(&NOT_LOGGED_IN) {
        ErrorClass::Auth
    } else if words.contains("error_max_") {
        // Claude: the limit of turns or the budget was reached.
        ErrorClass::BadOutput
    } else {
        class_by_exit_code(status)
    };
    let spend = classify::spend_in_band(class, usage);
    let mut error = CallError::new(class, message).spend(spend);
    error.retry_after = quota_reset(message).or_else(|| retry_after::from_message(&words));
    error
}

/// Gemini's exit codes; other tools have none that differ.
fn class_by_exit_code(status: ExitStatus) -> ErrorClass {
    match status.code() {
        Some(41) => ErrorClass::Auth,
        // The limit of turns was reached, or the tool succeeded without an answer.
        Some(0 | 53) => ErrorClass::BadOutput,
        _ => ErrorClass::Overloaded,
    }
}

/// How long until the quota of `Claude AI usage limit reached|1762952400` returns.
fn quota_reset(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once('|')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    retry_after::parse_reset(digits, local_time()).filter(|_| digits.len() >= 10)
}

/// The last lines of stderr, or else the exit status.
pub(super) fn last_lines(finished: &FinishedProcess) -> String {
    let stderr = String::from_utf8_lossy(&finished.stderr);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(LAST_LINES);
    match lines.get(start..) {
        Some(last) if !last.is_empty() => last.join("\n"),
        _ => format!("the program ended with {}", finished.status),
    }
}
