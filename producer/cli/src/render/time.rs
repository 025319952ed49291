//! Times and spans.

use chrono::{DateTime, FixedOffset, Local, Offset as _, SecondsFormat, TimeDelta, Utc};

/// Converts ms since the epoch, as stored in Redis.
pub(crate) fn from_unix_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// A time in the zone of this machine; in unit tests in UTC.
fn local(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    let offset = if cfg!(test) {
        Utc.fix()
    } else {
        *time.with_timezone(&Local).offset()
    };
    time.with_timezone(&offset)
}

/// A local time to the second, with its zone: `2026-12-01T13:00:00+01:00`. Options such as `--since` accept it.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    local(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A local time to the millisecond, with its zone: `2026-12-01T13:00:00.000+01:00`.
pub(crate) fn exact_timestamp(time: DateTime<Utc>) -> String {
    local(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A local time to the minute, with its zone: `2026-12-01 13:00 +01:00`.
pub(crate) fn minute(time: DateTime<Utc>) -> String {
    let time = local(time);
    let zone = if time.offset().local_minus_utc() == 0 {
        "UTC".to_owned()
    } else {
        time.offset().to_string()
    };
    format!("{} {zone}", time.format("%Y-%m-%d %H:%M"))
}

/// A local time of day: `13:00:59`.
pub(crate) fn time_of_day(time: DateTime<Utc>) -> String {
    local(time).format("%H:%M:%S").to_string()
}

/// A local time and its age: `2026-12-01T13:00:00+01:00 (5m ago)`.
pub(crate) fn with_age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({} ago)", timestamp(time), age(time, now))
}

/// A span in one unit: `4s`, `12m`, `3h`, `2d`.
pub(crate) fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago `then` was.
pub(crate) fn age(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span(now - then)
}

/// A span, with tenths of a second below 100 s: `12.3s`, `5m`.
pub(crate) fn span_with_tenths(time: TimeDelta) -> String {
    let tenths = time.num_milliseconds().max(0) / 100;
    if tenths < 1000 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        span(time)
    }
}

/// The latency of a call: `641ms`, `12.34s`.
pub(crate) fn latency(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let ms = (to - from).num_milliseconds().max(0);
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        format!("{}.{:02}s", ms / 1000, ms % 1000 / 10)
    }
}

/// Converts ms to seconds.
#[expect(clippy::cast_precision_loss, reason = "exact up to 285,000 years")]
pub(crate) fn seconds_from_ms(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        let spans = [-5, 4, 99, 100, 5999, 6000, 172_800].map(|s| span(TimeDelta::seconds(s)));
        assert_eq!(spans, ["0s", "4s", "99s", "1m", "99m", "1h", "2d"]);
    }
}
