//! What it means that a tool failed: only its words tell.

use std::{process::ExitStatus, time::Duration};

use chrono::Utc;
use longshore_protocol::call::{CallError, ErrorClass, Spend, Usage};

use super::{
    super::{error, failed, wait},
    process::Finished,
};

/// So many lines of a failed program's complaints are looked at.
const LAST_LINES: usize = 20;

/// What people log in with is missing or refused.
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
/// A quota that lasts for hours or days.
const SPENT: [&str; 8] = [
    "usage limit",
    "session limit",
    "weekly limit",
    "hit your limit",
    "daily limit",
    "per day",
    "perday",
    "credit balance",
];
const TOO_FAST: [&str; 5] = [
    "rate limit",
    "rate_limit",
    "too many requests",
    "429",
    "resource_exhausted",
];

/// The failure that the words, and else the exit code, tell of.
pub(super) fn failure(said: &str, status: ExitStatus, usage: Usage) -> CallError {
    let words = said.to_lowercase();
    let has = |list: &[&str]| list.iter().any(|word| words.contains(word));
    let class = if has(&SPENT) {
        ErrorClass::QuotaExhausted
    } else if let Some(class) = error::by_words(&words) {
        class
    } else if has(&TOO_FAST) {
        ErrorClass::RateLimited
    } else if has(&NOT_LOGGED_IN) {
        ErrorClass::Auth
    } else if words.contains("error_max_") {
        // Claude: its turns or its budget were not enough.
        ErrorClass::BadOutput
    } else {
        by_code(status)
    };
    let mut error = failed(class, said, usage);
    if error.spend == Spend::Unknown {
        error.spend = error::spend_in_band(class);
    }
    error.retry_after = reset(said).or_else(|| wait::in_words(&words));
    error
}

/// Gemini's exit codes; of others, all that is not 0 is alike.
fn by_code(status: ExitStatus) -> ErrorClass {
    match status.code() {
        Some(41) => ErrorClass::Auth,
        // Its turns were not enough, or it ended well without an answer.
        Some(0 | 53) => ErrorClass::BadOutput,
        _ => ErrorClass::Overloaded,
    }
}

/// When `Claude AI usage limit reached|1762952400` ends.
fn reset(said: &str) -> Option<Duration> {
    let (_, rest) = said.split_once('|')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    wait::moment(digits, Utc::now()).filter(|_| digits.len() >= 10)
}

/// The end of what it said, or how it ended.
pub(super) fn last_words(finished: &Finished) -> String {
    let said = String::from_utf8_lossy(&finished.stderr);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(LAST_LINES);
    match lines.get(start..) {
        Some(last) if !last.is_empty() => last.join("\n"),
        _ => format!("it ended with {}", finished.status),
    }
}
