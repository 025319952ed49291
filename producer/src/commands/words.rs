//! Words and tables that several commands share.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use comfy_table::{ContentArrangement, Row, Table, presets};
use longshore_policy::{limits::MeterName, pause::PausedLane};
use longshore_settings::duration::parse_duration;

/// The longest span that may be named.
const LONGEST_SPAN: Duration = Duration::from_hours(3_650 * 24);

/// Columns of a table stand apart by these; the last column wraps where the terminal ends.
pub(crate) fn table<R: Into<Row>>(header: R) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// What a table looks like, without the spaces that fill its last column.
pub(crate) fn drawn(table: &Table) -> String {
    table.trim_fmt()
}

/// A time in the past: `30m`, `2h`, `7d`, RFC 3339, or a date (UTC).
pub(crate) fn since(text: &str) -> Result<DateTime<Utc>, String> {
    since_at(text, Utc::now())
}

fn since_at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let wrong = || {
        format!("expected a span (30m, 2h, 7d), a date (2026-12-01) or RFC 3339, but got `{text}`")
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return date
            .and_hms_opt(0, 0, 0)
            .map(|time| time.and_utc())
            .ok_or_else(wrong);
    }
    parse_span(text)
        .and_then(|span| TimeDelta::from_std(span).ok())
        .and_then(|span| now.checked_sub_signed(span))
        .ok_or_else(wrong)
}

/// A span of time: `30s`, `10m`, `2h`, `7d`.
pub(crate) fn lasting(text: &str) -> Result<Duration, String> {
    parse_span(text)
        .filter(|span| (Duration::from_secs(1)..=LONGEST_SPAN).contains(span))
        .ok_or_else(|| {
            format!("expected a span from 1s to 3650d (30s, 10m, 2h, 7d), but got `{text}`")
        })
}

/// A whole number with a unit, and nothing else: `10` could mean minutes.
fn parse_span(text: &str) -> Option<Duration> {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric());
    parse_duration(text).filter(|_| is_plain)
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

/// How long ago something was.
pub(crate) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span(now - then)
}

/// A time, exact to the second.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time of Redis's, in ms since the epoch.
pub(crate) fn of_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// A whole number with its thousands apart: `1,234`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 job`, `2 jobs`.
pub(crate) fn many(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// The head of a text on one line.
pub(crate) fn head(text: &str, longest: usize) -> String {
    let mut chars = text.trim().chars();
    let mut words: String = chars
        .by_ref()
        .take(longest)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if chars.next().is_some() {
        words.push('…');
    }
    words
}

/// What the jobs of a lane wait for.
pub(crate) fn lane(name: &str) -> String {
    if let Some(targets) = PausedLane::targets(name) {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        return head(&format!("{} to be resumed", targets.join(" or ")), 120);
    }
    let words = match name.split_once(':') {
        Some(("quota", meter)) => MeterName::parse(meter).to_string(),
        Some(("key", key)) => format!("concurrency key {key}"),
        Some(("tenant", place)) => match place.split_once(':').unwrap_or((place, "")) {
            (queue, "") => format!("the turn of those without a tenant in queue {queue}"),
            (queue, tenant) => format!("the turn of tenant {tenant} in queue {queue}"),
        },
        None if name == "time" => "their time".to_owned(),
        None if name == "version" => "a worker of a newer protocol".to_owned(),
        _ => name.to_owned(),
    };
    head(&words, 120)
}

/// A text that cannot command the terminal: whoever wrote it is not the one who reads it. What goes
/// to a file or a program stays as it is.
pub(crate) fn harmless(text: &str) -> String {
    if io::stdout().is_terminal() {
        without_commands(text)
    } else {
        text.to_owned()
    }
}

fn without_commands(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A text, or a dash in its place.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| head(text, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn since_takes_spans_dates_and_times() {
        let now = at("2026-12-03T12:00:00Z");
        for (text, then) in [
            ("90s", "2026-12-03T11:58:30Z"),
            ("30m", "2026-12-03T11:30:00Z"),
            ("2h", "2026-12-03T10:00:00Z"),
            ("7d", "2026-11-26T12:00:00Z"),
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            ("2026-12-01T10:00:00+02:00", "2026-12-01T08:00:00Z"),
        ] {
            assert_eq!(since_at(text, now), Ok(at(then)), "{text}");
        }
    }

    #[test]
    fn since_says_what_would_be_right() {
        for text in [
            "",
            "h",
            "5",
            "5 h",
            "-5h",
            "4294967295w",
            "tomorrow",
            "2026-13-01",
        ] {
            let error = since_at(text, at("2026-12-03T12:00:00Z")).unwrap_err();
            assert!(
                error.starts_with("expected a span (30m, 2h, 7d), a date"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(lasting("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(lasting("2w"), Ok(Duration::from_hours(14 * 24)));
        for text in ["", "10", "0s", "1.5h", "-1h", "99999d"] {
            let error = lasting(text).unwrap_err();
            assert!(
                error.starts_with("expected a span from 1s"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!(count(7_u64), "7");
        assert_eq!(count(1_234_567_u64), "1,234,567");
        assert_eq!(many(1, "job"), "1 job");
        assert_eq!(many(1234, "dead letter"), "1,234 dead letters");
        let spans = [-5, 4, 99, 100, 5999, 6000, 172_800].map(|s| span(TimeDelta::seconds(s)));
        assert_eq!(spans, ["0s", "4s", "99s", "1m", "99m", "1h", "2d"]);
    }

    #[test]
    fn lanes_say_what_their_jobs_wait_for() {
        for (name, words) in [
            ("time", "their time"),
            ("version", "a worker of a newer protocol"),
            ("key:a:b", "concurrency key a:b"),
            ("paused:type:a:b", "type a:b to be resumed"),
            (
                "paused:provider:xai,gemini",
                "provider xai or provider gemini to be resumed",
            ),
            ("quota:rpm:openai", "openai's requests a minute"),
            ("quota:budget:team:a:b", "the budget team of a:b"),
            ("tenant:bulk:a:b", "the turn of tenant a:b in queue bulk"),
            (
                "tenant:default:",
                "the turn of those without a tenant in queue default",
            ),
        ] {
            assert_eq!(lane(name), words);
        }
    }

    #[test]
    fn texts_of_others_are_tamed() {
        assert_eq!(head("a\nb\u{1b}[31mc", 5), "a b […");
        assert_eq!(
            without_commands("a\n\u{1b}]0;x\u{7}"),
            "a\n\u{fffd}]0;x\u{fffd}"
        );
    }
}
