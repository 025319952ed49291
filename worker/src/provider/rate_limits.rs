//! Reads from headers how much of an account's limits remains, and when they reset.

use std::{cmp::Reverse, time::Duration};

use chrono::{DateTime, Utc};
use http::HeaderMap;
use longshore_protocol::call::{ReportedLimit, ReportedLimits};

use super::retry_after::{header_text, parse_reset};

/// The headers for what remains and for the reset: OpenAI and compatible services, services with one limit,
/// Anthropic.
const REQUESTS: [(&str, &str); 3] = [
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    (
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
];
const TOKENS: [(&str, &str); 4] = [
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
];

/// What remains of requests and tokens. Of several limits, the tightest counts; a limit without a reset time
/// is ignored, because its end would be unknown.
pub(super) fn read_room(headers: &HeaderMap, now: DateTime<Utc>) -> ReportedLimits {
    ReportedLimits {
        requests: tightest(headers, &REQUESTS, now),
        tokens: tightest(headers, &TOKENS, now),
    }
}

/// How long until all limits that are used up have reset.
pub(super) fn until_reset(room: &ReportedLimits) -> Option<Duration> {
    let used_up = [room.requests, room.tokens]
        .into_iter()
        .flatten()
        .filter(|left| left.remaining == 0);
    used_up.map(|left| left.reset_after).max()
}

fn tightest(
    headers: &HeaderMap,
    limits: &[(&str, &str)],
    now: DateTime<Utc>,
) -> Option<ReportedLimit> {
    let left = |(remaining, reset): &(&str, &str)| {
        Some(ReportedLimit {
            remaining: parse_count(header_text(headers, remaining)?)?,
            reset_after: parse_reset(header_text(headers, reset)?, now)?,
        })
    };
    limits
        .iter()
        .filter_map(left)
        .min_by_key(|left| (left.remaining, Reverse(left.reset_after)))
}

/// A count; a negative one means that nothing remains.
fn parse_count(text: &str) -> Option<u64> {
    let count: i64 = text.parse().ok()?;
    Some(u64::try_from(count).unwrap_or(0))
}
