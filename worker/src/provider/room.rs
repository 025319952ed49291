//! What headers say of an account's limits: how much is left, and when it is whole again.

use std::{cmp::Reverse, time::Duration};

use chrono::{DateTime, Utc};
use http::HeaderMap;
use longshore_protocol::call::{ProviderRoom, RoomLeft};

use super::wait::{get, moment};

/// What is left, and when it is whole again: OpenAI and its like, those with one limit, Anthropic.
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

/// What is left of requests and tokens. Of several limits on one, the tightest counts; one that names
/// no reset is left out, for nobody could tell when it is over.
pub(super) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> ProviderRoom {
    ProviderRoom {
        requests: tightest(headers, &REQUESTS, now),
        tokens: tightest(headers, &TOKENS, now),
    }
}

/// How long until the limits that are used up are whole again: the last of them counts.
pub(super) fn until_reset(room: &ProviderRoom) -> Option<Duration> {
    let used_up = [room.requests, room.tokens]
        .into_iter()
        .flatten()
        .filter(|left| left.remaining == 0);
    used_up.map(|left| left.reset_after).max()
}

fn tightest(headers: &HeaderMap, limits: &[(&str, &str)], now: DateTime<Utc>) -> Option<RoomLeft> {
    let left = |(remaining, reset): &(&str, &str)| {
        Some(RoomLeft {
            remaining: whole(get(headers, remaining)?)?,
            reset_after: moment(get(headers, reset)?, now)?,
        })
    };
    limits
        .iter()
        .filter_map(left)
        .min_by_key(|left| (left.remaining, Reverse(left.reset_after)))
}

/// A count. Overdrawn is none.
fn whole(text: &str) -> Option<u64> {
    let count: i64 = text.parse().ok()?;
    Some(u64::try_from(count).unwrap_or(0))
}
