//! Pauses of queues, types and providers.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_policy::pause::{Pause, Pauses, Target};
use serde::Serialize;

use super::{
    table::{Cell, Table, Width, whole, wrap},
    text::{one_line, or_dash},
    time::{age, from_unix_ms, span, timestamp},
};

/// Maximum characters of a reason.
pub(crate) const LONGEST_REASON: usize = 200;

/// A pause, as text and JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownPause {
    what: Target,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl ShownPause {
    pub(crate) fn new(what: Target, pause: &Pause, now: DateTime<Utc>) -> Self {
        Self {
            what,
            since: from_unix_ms(pause.since),
            until: pause.until.map(from_unix_ms),
            reason: pause.reason.clone(),
            now,
        }
    }

    /// All current pauses.
    pub(crate) fn all(pauses: &Pauses, now: DateTime<Utc>) -> Vec<Self> {
        pauses
            .lasting(now.timestamp_millis())
            .map(|(what, pause)| Self::new(what, pause, now))
            .collect()
    }
}

impl ShownPause {
    /// What a user who has just paused something reads.
    pub(crate) fn confirmation(&self) -> String {
        format!("Paused {}{}", self.what, self.details())
    }

    /// The end and the reason.
    fn details(&self) -> String {
        let until = self.until.map_or_else(String::new, |until| {
            format!(", resumes in {}", span(until - self.now))
        });
        let reason = self.reason.as_deref().map_or_else(String::new, |reason| {
            format!(": {}", one_line(reason, LONGEST_REASON))
        });
        until + &reason
    }
}

impl fmt::Display for ShownPause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, since, now, ..
        } = self;
        let since = age(*since, *now);
        write!(f, "{what} has been paused for {since}{}", self.details())
    }
}

/// Describes a pause in one sentence.
pub(crate) fn pause_sentence(target: &Target, pause: &Pause, now: DateTime<Utc>) -> String {
    ShownPause::new(target.clone(), pause, now).to_string()
}

/// The command that ends a pause.
pub(crate) fn resume_command(target: &Target) -> String {
    format!("`longshore resume {target}`")
}

/// A table of pauses.
pub(crate) fn pause_table(pauses: &[ShownPause], width: Width) -> String {
    let mut table = Table::new([
        whole("PAUSED"),
        whole("SINCE").right(),
        whole("UNTIL"),
        wrap("REASON"),
    ]);
    for pause in pauses {
        let until = pause
            .until
            .map_or_else(|| "resumed manually".to_owned(), timestamp);
        table.add_row([
            Cell::new(&pause.what),
            Cell::new(age(pause.since, pause.now)),
            Cell::new(until),
            Cell::new(or_dash(pause.reason.as_deref())),
        ]);
    }
    table.fitted(width)
}

/// A pause for tests.
#[cfg(test)]
pub(crate) fn example_pause() -> ShownPause {
    let at = |text: &str| text.parse().unwrap();
    ShownPause {
        what: Target::task_type("research"),
        since: at("2026-12-01T11:55:00Z"),
        until: Some(at("2026-12-01T13:00:00Z")),
        reason: Some("prices under review".to_owned()),
        now: at("2026-12-01T12:00:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_one_sentence() {
        let mut pause = example_pause();
        assert_eq!(
            pause.to_string(),
            "type research has been paused for 5m, resumes in 60m: prices under review"
        );
        assert_eq!(
            pause.confirmation(),
            "Paused type research, resumes in 60m: prices under review"
        );
        assert_eq!(
            serde_json::to_value(&pause).unwrap(),
            serde_json::json!({
                "what": "type:research",
                "since": "2026-12-01T11:55:00Z",
                "until": "2026-12-01T13:00:00Z",
                "reason": "prices under review"
            })
        );
        pause.until = None;
        pause.reason = None;
        assert_eq!(pause.to_string(), "type research has been paused for 5m");
    }
}
