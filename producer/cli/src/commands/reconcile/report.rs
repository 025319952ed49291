//! What differs, in words and in JSON.

use std::fmt;

use serde::Serialize;

use crate::render::text::{counted, grouped};

/// Differences that the text names one by one.
const SHOWN: usize = 50;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Facts wait for longer than the recorder takes.
    FactsLate,
    /// Facts that Postgres refused.
    FactsRefused,
    /// A job that has not ended is nowhere in Redis.
    JobNowhere,
    /// A job ended, and the record does not know.
    EndUnrecorded,
    /// A job that ended had more attempts than are recorded.
    AttemptsUnrecorded,
    /// A dead letter is not in the record.
    LetterUnrecorded,
    /// A dead letter that nobody took is not in Redis.
    LetterNowhere,
    /// A begun attempt's job is not its worker's.
    AttemptOrphaned,
    /// A call has been under way for long.
    AttemptLong,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// Of what.
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

/// How much was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    pub(super) open_jobs: usize,
    pub(super) outcomes: usize,
    pub(super) dead_letters: usize,
    pub(super) attempts_in_flight: usize,
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checked: Checked,
    /// Facts on their way to the record.
    pub(super) unrecorded_events: u64,
    pub(super) differences: Vec<Difference>,
}

impl Report {
    /// What was there before and is there still, as it is now.
    pub(super) fn still(self, fresh: Self) -> Self {
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
            "Looked at {}, {}, {} and {} in flight; {} on the way to the record.",
            counted(open_jobs, "open job"),
            counted(outcomes, "outcome"),
            counted(dead_letters, "dead letter"),
            counted(attempts_in_flight, "attempt"),
            counted(self.unrecorded_events, "event"),
        )?;
        if self.differences.is_empty() {
            return write!(f, "\nNothing differs.");
        }
        write!(f, "\n{}:", counted(self.differences.len(), "difference"))?;
        for difference in self.differences.iter().take(SHOWN) {
            write!(f, "\n  {}: {}", difference.id, difference.text)?;
        }
        if self.differences.len() > SHOWN {
            let more = grouped(self.differences.len() - SHOWN);
            write!(f, "\n  … and {more} more (--format json names them all)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ids: &[&str]) -> Report {
        let text = "the record says retryable, but it is nowhere in Redis";
        Report {
            checked: Checked {
                open_jobs: 1234,
                ..Checked::default()
            },
            unrecorded_events: 1,
            differences: ids
                .iter()
                .map(|id| Difference::new(Kind::JobNowhere, id, text))
                .collect(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        insta::assert_snapshot!(report(&["inv-1", "inv-2"]), @r"
        Looked at 1,234 open jobs, 0 outcomes, 0 dead letters and 0 attempts in flight; 1 event on the way to the record.
        2 differences:
          inv-1: the record says retryable, but it is nowhere in Redis
          inv-2: the record says retryable, but it is nowhere in Redis
        ");
        insta::assert_snapshot!(report(&[]), @r"
        Looked at 1,234 open jobs, 0 outcomes, 0 dead letters and 0 attempts in flight; 1 event on the way to the record.
        Nothing differs.
        ");
        let json = serde_json::to_value(report(&["inv-1"])).unwrap();
        assert_eq!(json["differences"][0]["kind"], "job_nowhere");
        assert_eq!(json["checked"]["open_jobs"], 1234);
    }

    #[test]
    fn what_settled_meanwhile_is_none() {
        let still = report(&["a", "b"]).still(report(&["b", "c"]));
        assert_eq!(still.differences, report(&["b"]).differences);
    }
}
