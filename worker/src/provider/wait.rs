//! How long a provider asks to be left alone: each says it in another place and another form.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;

/// No provider means more than this; a clock or a number is wrong.
const LONGEST: Duration = Duration::from_hours(31 * 24);

/// The time at the provider, which its dates are to be read by: that of the answer, or ours.
pub(super) fn clock(headers: &HeaderMap) -> DateTime<Utc> {
    get(headers, "date")
        .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
        .map_or_else(Utc::now, |date| date.to_utc())
}

/// What `Retry-After` and its finer sister ask for.
pub(super) fn asked(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let millis = get(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|millis| seconds(millis / 1000.0)) {
        return Some(wait);
    }
    let text = get(headers, "retry-after")?;
    match text.parse() {
        Ok(number) => seconds(number),
        Err(_) => Some(until(
            DateTime::parse_from_rfc2822(text).ok()?.to_utc(),
            now,
        )),
    }
}

/// What a sentence asks for: "Please try again in 1.2s."
pub(super) fn in_words(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    go_duration(rest.split_whitespace().next()?.trim_end_matches(['.', ',']))
}

/// A duration as Go writes it: `12ms`, `1.5s`, `6m0s`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
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

/// A reset: a duration, a date, seconds, or seconds or milliseconds since 1970.
pub(super) fn moment(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Some(wait) = go_duration(text) {
        return Some(wait);
    }
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(until(date.to_utc(), now));
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
    Some(until(DateTime::from_timestamp_millis(millis)?, now))
}

/// How long it is until a date; nothing, if it has passed.
pub(super) fn until(date: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    let wait = (date - now).to_std().unwrap_or_default();
    wait.min(LONGEST)
}

fn seconds(number: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(number).ok()?;
    Some(wait.min(LONGEST))
}

/// A header's text.
pub(super) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
