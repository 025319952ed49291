//! Readers of times and durations.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    Limit,
    fields::{Input, Read},
    json::Kind,
    malformed::MalformedCode,
};

/// Numbers from here on are milliseconds since 1970; durations in seconds are far below.
const FIRST_MS: f64 = 1e11;
/// The last millisecond of the year 9999, the last year that RFC 3339 can express.
const LAST_MS: f64 = 253_402_300_799_999.0;
/// The longest delay in seconds: a year.
const LONGEST: f64 = 31_536_000.0;

const DELAY: &str = "seconds, a number from 0 to 31536000";
const MOMENT: &str = "a time as RFC 3339 with an offset (2026-12-01T09:00:00Z) or as \
                      milliseconds since 1970";
const LIMIT: &str = "a time as RFC 3339 with an offset (2026-12-01T09:00:00Z), milliseconds since \
                     1970, or seconds after the message was enqueued, from 0 to 31536000";

fn duration(input: Input<'_>, longest: f64, expected: &str) -> Read<Duration> {
    let seconds = input.number_within(0.0..=longest, true, expected)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| input.is_not(MalformedCode::OutOfRange, expected))
}

fn positive(input: Input<'_>, longest: f64, expected: &str) -> Read<Duration> {
    Some(duration(input, longest, expected)?)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| input.is_not(MalformedCode::OutOfRange, expected))
}

pub(super) fn delay(input: Input<'_>) -> Read<Duration> {
    duration(input, LONGEST, DELAY)
}

pub(super) fn timeout(input: Input<'_>) -> Read<Duration> {
    positive(input, 86_400.0, "seconds, a number over 0 and up to 86400")
}

pub(super) fn unique_for(input: Input<'_>) -> Read<Duration> {
    positive(
        input,
        LONGEST,
        "seconds, a number over 0 and up to 31536000",
    )
}

/// A point in time.
pub(super) fn moment(input: Input<'_>) -> Read<DateTime<Utc>> {
    if let Some(moment) = rfc3339(input, MOMENT)? {
        return Ok(moment);
    }
    let number = input.number(true, MOMENT)?;
    if number < FIRST_MS {
        return Err(input.is_not(MalformedCode::BadValue, MOMENT));
    }
    of_ms(input, number, MOMENT)
}

/// A point in time, or a duration since the server received the message.
pub(crate) fn limit(input: Input<'_>) -> Read<Limit> {
    if let Some(moment) = rfc3339(input, LIMIT)? {
        return Ok(Limit::At(moment));
    }
    if input.number(true, LIMIT)? < FIRST_MS {
        duration(input, LONGEST, LIMIT).map(Limit::After)
    } else {
        of_ms(input, input.number(true, LIMIT)?, LIMIT).map(Limit::At)
    }
}

/// The time, if the value is text in RFC 3339 form. The caller reads numbers.
fn rfc3339(input: Input<'_>, expected: &str) -> Read<Option<DateTime<Utc>>> {
    if matches!(input, Input::Json(value) if Kind::detect(value) != Kind::Text) {
        return Ok(None);
    }
    let text = input.text(expected)?;
    // The parser accepts a space instead of the T; the protocol does not.
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return Ok(None);
    }
    DateTime::parse_from_rfc3339(&text)
        .map(|moment| Some(moment.to_utc()))
        .map_err(|_| input.is_not(MalformedCode::BadValue, expected))
}

fn of_ms(input: Input<'_>, ms: f64, expected: &str) -> Read<DateTime<Utc>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "from FIRST_MS to LAST_MS, which i64 holds; parts of a millisecond are dropped"
    )]
    Some(ms)
        .filter(|ms| (FIRST_MS..=LAST_MS).contains(ms))
        .and_then(|ms| DateTime::from_timestamp_millis(ms as i64))
        .ok_or_else(|| input.is_not(MalformedCode::OutOfRange, expected))
}
