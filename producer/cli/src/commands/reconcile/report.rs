//! Differences, as text and JSON.

use std::fmt;

use serde::Serialize;

use crate::render::text::{counted, grouped};

/// Maximum number of differences in the text.
const SHOWN: usize = 50;

/// The kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Events wait for longer than recording takes.
    #[serde(rename = "facts_late")]
    EventsLate,
    /// Postgres refused events.
    #[serde(rename = "facts_refused")]
    EventsRefused,
    /// An open job is not in Redis.
    #[serde(rename = "job_nowhere")]
    JobMissing,
    /// The ledger does not have the end of a job.
    EndUnrecorded,
    /// An ended job had more attempts than are recorded.
    AttemptsUnrecorded,
    /// A dead letter is not in the ledger.
    #[serde(rename = "letter_unrecorded")]
    DeadLetterUnrecorded,
    /// A dead letter that was neither replayed nor purged is not in Redis.
    #[serde(rename = "letter_nowhere")]
    DeadLetterMissing,
    /// A total of costs is not the sum of its attempts.
    CostTotalWrong,
    /// The worker of an attempt in flight does not hold its job.
    AttemptOrphaned,
    /// A call has been in flight for long.
    AttemptLong,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// The id of the job or attempt, or the Redis key.
    pub(super) id: String,
    pub(super) text: String,
}

impl Difference {
    pub(super) fn new(kind: Kind, id: impl fmt::Display, text: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.to_string(),
            text: text.into(),
        }
    }
}

/// How many items were checked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    pub(super) open_jobs: usize,
    pub(super) outcomes: usize,
    pub(super) dead_letters: usize,
    pub(super) attempts_in_flight: usize,
}

/// The result of a comparison.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checked: Checked,
    /// Events that are not recorded yet.
    pub(super) unrecorded_events: u64,
    pub(super) differences: Vec<Difference>,
}

impl Report {
    /// Keeps the differences that `fresh` still has, with their current text.
    pub(super) fn retain_remaining(self, fresh: Self) -> Self {
        let before = self.differences;
        let differs = |now: &Difference| {
            before
                .iter()
                .any(|then| (then.kind, &then.id) == (now.kind, &now.id))
        };
        Self {
            differences: fresh.differences.into_iter().filter(differs).collect(),
            ..fresh
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked {
            open_jobs,
            outcomes,
            dead_letters,
            attempts_in_flight,
        } = self.checked;
        write!(
            f,
            "Checked {}, {}, {} and {} in flight; {} not yet recorded.",
            counted(open_jobs, "open job"),
            counted(outcomes, "outcome"),
            counted(dead_letters, "dead letter"),
            counted(attempts_in_flight, "attempt"),
            counted(self.unrecorded_events, "event"),
        )?;
        if self.differences.is_empty() {
            return write!(f, "\nNo differences.");
        }
        write!(f, "\n{}:", counted(self.differences.len(), "difference"))?;
        for difference in self.differences.iter().take(SHOWN) {
            write!(f, "\n  {}: {}", difference.id, difference.text)?;
        }
        if self.differences.len() > SHOWN {
            let more = grouped(self.differences.len() - SHOWN);
            write!(f, "\n  … and {more} more (--format json shows all)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ids: &[&str]) -> Report {
        let text = "the ledger says retryable, but it is not in Redis";
        Report {
            checked: Checked {
                open_jobs: 1234,
                ..Checked::default()
            },
            unrecorded_events: 1,
            differences: ids
                .iter()
                .map(|id| Difference::new(Kind::JobMissing, id, text))
                .collect(),
        }
    }

    #[test]
    fn differences_are_listed() {
        insta::assert_snapshot!(report(&["inv-1", "inv-2"]), @r"
        Checked 1,234 open jobs, 0 outcomes, 0 dead letters and 0 attempts in flight; 1 event not yet recorded.
        2 differences:
          inv-1: the ledger says retryable, but it is not in Redis
          inv-2: the ledger says retryable, but it is not in Redis
        ");
        insta::assert_snapshot!(report(&[]), @r"
        Checked 1,234 open jobs, 0 outcomes, 0 dead letters and 0 attempts in flight; 1 event not yet recorded.
        No differences.
        ");
        let json = serde_json::to_value(report(&["inv-1"])).unwrap();
        assert_eq!(json["differences"][0]["kind"], "job_nowhere");
        assert_eq!(json["checked"]["open_jobs"], 1234);
    }

    #[test]
    fn resolved_differences_are_dropped() {
        let remaining = report(&["a", "b"]).retain_remaining(report(&["b", "c"]));
        assert_eq!(remaining.differences, report(&["b"]).differences);
    }
}
