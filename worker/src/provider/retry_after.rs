//! Reads how long a provider asks to wait. Providers say it in different places and formats.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use longshore_protocol::clock::local_time;

/// No provider asks for more than this; a longer wait is an error of a clock or a number.
const LONGEST_WAIT: Duration = Duration::from_hours(31 * 24);

/// The provider's time, to which its dates are relative: the date of the response, or ours.
pub(super) fn provider_time(headers: &HeaderMap) -> DateTime<Utc> {
    header_text(headers, "date")
        .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
        .map_or_else(local_time, |date| date.to_utc())
}

/// The wait of `Retry-After-Ms` or `Retry-After`.
pub(super) fn from_headers(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let millis = header_text(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|millis| seconds(millis / 1000.0)) {
        return Some(wait);
    }
    let text = header_text(headers, "retry-after")?;
    match text.parse() {
        Ok(number) => seconds(number),
        Err(_) => Some(duration_until(
            DateTime::parse_from_rfc2822(text).ok()?.to_utc(),
            now,
        )),
    }
}

/// The wait in a message such as "Please try again in 1.2s."
pub(super) fn from_message(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    parse_go_duration(rest.split_whitespace().next()?.trim_end_matches(['.', ',']))
}

/// Parses a duration in Go's format: `12ms`, `1.5s`, `6m0s`.
pub(super) fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    if text.is_empty() {
        None
    } else {
        seconds(total)
    }
}

/// Parses a reset time: a duration, a date, seconds, or seconds or milliseconds since 1970.
pub(super) fn parse_reset(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Some(wait) = parse_go_duration(text) {
        return Some(wait);
    }
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(duration_until(date.to_utc(), now));
    }
    let number: f64 = text.parse().ok()?;
    if number < 1e9 {
        return seconds(number);
    }
    let since_1970 = Duration::try_from_secs_f64(if number > 1e11 {
        number / 1000.0
    } else {
        number
    });
    let millis = i64::try_from(since_1970.ok()?.as_millis()).ok()?;
    Some(duration_until(
        DateTime::from_timestamp_millis(millis)?,
        now,
    ))
}

/// The time until a date; zero if the date has passed.
pub(super) fn duration_until(date: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    let wait = (date - now).to_std().unwrap_or_default();
    wait.min(LONGEST_WAIT)
}

fn seconds(number: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(number).ok()?;
    Some(wait.min(LONGEST_WAIT))
}

pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
