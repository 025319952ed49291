//! Options that several commands share, and parsers of their values.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use longshore_client::{Job, MessageLimits, QueueName};
use longshore_policy::catalog::Catalog;
use longshore_protocol::{clock::local_time, encryption::Keyring, envelope::Envelope};
use longshore_settings::duration::parse_duration;
use serde_json::{Map, Value, value::RawValue};

use crate::{error::CommandError, output};

/// The longest span that an option accepts, in seconds.
const LONGEST_SPAN: u64 = 3_650 * 86_400;

/// Well-known aliases of platforms, for error messages.
const FAMILIAR_PLATFORMS: [&str; 2] = ["claude_code", "chatgpt"];

/// Labels that a job must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct LabelFilter {
    /// Only jobs of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) task_type: Option<String>,
    /// Only jobs of this queue
    #[arg(long, value_parser = QueueName::parse)]
    pub(crate) queue: Option<QueueName>,
    /// Only jobs of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Only jobs of this chain
    #[arg(long)]
    pub(crate) chain_id: Option<String>,
}

impl LabelFilter {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a job with these labels matches; ignores the queue.
    pub(crate) fn fits(
        &self,
        task_type: &str,
        tenant: Option<&str>,
        chain_id: Option<&str>,
    ) -> bool {
        let same = |wanted: &Option<String>, given: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == given
        };
        same(&self.task_type, Some(task_type))
            && same(&self.tenant, tenant)
            && same(&self.chain_id, chain_id)
    }
}

/// The job with the fields whose options were given.
pub(crate) fn with_fields<const N: usize>(job: Job, fields: [(&str, &Option<String>); N]) -> Job {
    fields
        .into_iter()
        .fold(job, |job, (field, value)| match value {
            Some(value) => job.with(field, value.as_str()),
            None => job,
        })
}

/// A field of a job and its value, as `FIELD=VALUE`.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) field: String,
    pub(crate) value: Box<RawValue>,
}

impl Assignment {
    /// Parses `FIELD=VALUE`; a value that is not JSON is text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (field, value) = text
            .split_once('=')
            .filter(|(field, _)| !field.is_empty())
            .ok_or_else(|| format!("expected FIELD=VALUE, such as timeout=60, but got `{text}`"))?;
        let value = match serde_json::from_str::<Box<RawValue>>(value) {
            Ok(json) => json,
            Err(_) => serde_json::value::to_raw_value(value).map_err(|error| error.to_string())?,
        };
        Ok(Self {
            field: field.to_owned(),
            value,
        })
    }
}

/// The assignments as an object; of one name, the last counts.
pub(crate) fn object(assignments: &[Assignment]) -> Map<String, Value> {
    let members = assignments.iter().map(|Assignment { field, value }| {
        let value = serde_json::from_str(value.get()).unwrap_or_default();
        (field.clone(), value)
    });
    members.collect()
}

/// A job that was made of options, as a worker reads it; each error names its option.
pub(crate) fn check_job(job: &Job, limits: &MessageLimits) -> Result<Envelope, CommandError> {
    job.check_all(limits).map_err(|wrong| {
        let lines = wrong.into_iter().map(|wrong| match &wrong.field {
            Some(field) => format!("--{}: {}", field.replace('_', "-"), wrong.message),
            None => wrong.message,
        });
        CommandError::Input(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// The value of `--queue`.
pub(crate) fn queue(name: &str) -> Result<QueueName, CommandError> {
    QueueName::parse(name).map_err(|error| CommandError::Input(format!("--queue: {error}")))
}

/// Parses one of a fixed list of values.
pub(crate) fn word<T: Copy>(
    all: &[T],
    as_str: fn(T) -> &'static str,
    word: &str,
) -> Result<T, String> {
    let found = all.iter().find(|value| as_str(**value) == word);
    found.copied().ok_or_else(|| {
        let allowed: Vec<&str> = all.iter().map(|value| as_str(*value)).collect();
        format!("expected one of {}", allowed.join(", "))
    })
}

/// Parses a time in the past: `30m`, `2h`, `7d`, RFC 3339, or a date (UTC).
pub(crate) fn since(text: &str) -> Result<DateTime<Utc>, String> {
    since_at(text, local_time())
}

fn since_at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let invalid = || {
        format!("expected a span (30m, 2h, 7d), a date (2026-12-01) or RFC 3339, but got `{text}`")
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return date
            .and_hms_opt(0, 0, 0)
            .map(|time| time.and_utc())
            .ok_or_else(invalid);
    }
    span_seconds(text)
        .and_then(TimeDelta::try_seconds)
        .and_then(|span| now.checked_sub_signed(span))
        .ok_or_else(invalid)
}

/// Parses a span of time: `30s`, `10m`, `2h`, `7d`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    span_seconds(text)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| (1..=LONGEST_SPAN).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            format!("expected a span from 1s to 3650d (30s, 10m, 2h, 7d), but got `{text}`")
        })
}

/// The seconds of a whole number with a unit of at least a second, and nothing else: `10` could mean minutes.
fn span_seconds(text: &str) -> Option<i64> {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric()) && !text.ends_with("ms");
    let span = parse_duration(text).filter(|_| is_plain)?;
    i64::try_from(span.as_secs()).ok()
}

/// Fails if the catalog does not have the platform; the error lists the known ones.
pub(crate) fn check_platform(name: &str, catalog: &Catalog) -> Result<(), String> {
    catalog
        .require_platform(name)
        .map(|_| ())
        .map_err(|unknown| {
            let familiar: Vec<&str> = FAMILIAR_PLATFORMS
                .into_iter()
                .filter(|name| catalog.platform(name).is_some())
                .collect();
            if familiar.is_empty() {
                unknown.to_string()
            } else {
                format!("{unknown} (or {})", familiar.join(", "))
            }
        })
}

/// Parses seconds, with or without decimals.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.trim()
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected seconds, such as 300 or 1.5".to_owned())
}

/// Says that an option which searches stored texts finds none that are encrypted.
pub(crate) fn note_encrypted_search(option: &str, keyring: &Keyring) {
    if keyring.is_on() {
        output::note(format_args!(
            "{option} finds nothing that is encrypted (`encryption.keys`); select by other options, such as labels and \
             classes of errors"
        ));
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::state::JobState;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn since_accepts_spans_dates_and_times() {
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
    fn an_invalid_since_names_the_valid_forms() {
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
        assert_eq!(span("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(span("2w"), Ok(Duration::from_hours(14 * 24)));
        for text in ["", "10", "0s", "1.5h", "-1h", "99999d"] {
            let error = span(text).unwrap_err();
            assert!(
                error.starts_with("expected a span from 1s"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["", "-1", "inf", "NaN", "ten", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fixed_values_are_checked() {
        let state = |text: &str| word(JobState::ALL, JobState::as_str, text);
        assert_eq!(state("running"), Ok(JobState::Running));
        assert_eq!(
            state("failed"),
            Err(
                "expected one of scheduled, available, running, retryable, completed, cancelled, discarded".to_owned()
            )
        );
    }
}
