//! The journal (`{ns}:inflight`): for each begun attempt what to record if its worker dies.

use std::fmt;

use longshore_protocol::{
    event::Event,
    id::{AttemptId, EntryId, WorkerId},
    serialized::Serialized,
};

/// The journal's value of an entry id; `parse_journal_value` in `journal.lua` reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct JournalEntry<'a> {
    /// `None` between two attempts.
    pub(super) attempt: Option<AttemptId>,
    pub(super) worker: &'a WorkerId,
    /// The concurrency key whose slot the job holds; empty = none.
    pub(super) key: &'a str,
    /// What the attempt reserved of meters; empty = nothing.
    pub(super) amounts: &'a str,
    /// The event to record if the worker dies; between two attempts the id of the failed one.
    pub(super) event: &'a str,
}

impl fmt::Display for JournalEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempt {
            Some(attempt) => write!(f, "{attempt}")?,
            None => f.write_str("-")?,
        }
        let (key, amounts) = (self.key.len(), self.amounts.len());
        write!(f, " {} {key} {amounts} ", self.worker)?;
        f.write_str(self.key)?;
        f.write_str(self.amounts)?;
        f.write_str(self.event)
    }
}

/// A journaled attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaledAttempt {
    /// The entry id of its job.
    pub entry_id: EntryId,
    /// `None` between two attempts.
    pub attempt: Option<AttemptId>,
    pub worker: WorkerId,
    /// What it reserved of meters, as JSON.
    amounts: String,
    /// The event to record if the worker dies.
    pub event_if_lost: Serialized<Event>,
}

impl JournaledAttempt {
    /// Whether it reserved something of a window: it is counted there when it ends.
    pub fn is_counted_in(&self, meter: &str, window: i64) -> bool {
        let amounts: Vec<Vec<serde_json::Value>> =
            serde_json::from_str(&self.amounts).unwrap_or_default();
        amounts.iter().any(|amount| match amount.as_slice() {
            [kind, name, start, ..] => {
                kind == "w" && name == meter && start.as_i64() == Some(window)
            }
            _ => false,
        })
    }

    /// Parses the journal's value of an entry id; `None` if no worker wrote it.
    pub(super) fn parse(entry_id: EntryId, value: &str) -> Option<Self> {
        let mut words = value.splitn(5, ' ');
        let attempt = words.next()?;
        let worker = WorkerId::from_stored(words.next()?);
        let key: usize = words.next()?.parse().ok()?;
        let amounts: usize = words.next()?.parse().ok()?;
        let rest = words.next()?;
        let event = rest.get(key + amounts..)?;
        let amounts = rest.get(key..key + amounts)?.to_owned();
        Some(Self {
            entry_id,
            attempt: attempt.parse().ok().map(AttemptId),
            worker,
            amounts,
            event_if_lost: Serialized::from_stored(event),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let worker = WorkerId::from_stored("w-1");
        let written = JournalEntry {
            attempt: Some(AttemptId::new()),
            worker: &worker,
            key: "k ü",
            amounts: "[]",
            event: "{\"attempt\":1}",
        };
        let entry_id = EntryId::from_stored("1-0");
        let read = JournaledAttempt::parse(entry_id.clone(), &written.to_string()).unwrap();
        assert_eq!(read.attempt, written.attempt);
        assert_eq!(read.worker, worker);
        assert_eq!(read.event_if_lost.as_str(), written.event);
        assert!(!read.is_counted_in("budget:b", 5));

        let counted = JournalEntry {
            amounts: r#"[["r","rpm:a",1,2,3],["w","budget:b",5,0,9,1,1,"wait"]]"#,
            ..written
        };
        let read = JournaledAttempt::parse(entry_id.clone(), &counted.to_string()).unwrap();
        assert!(read.is_counted_in("budget:b", 5));
        assert!(!read.is_counted_in("budget:b", 6));
        assert!(!read.is_counted_in("budget:c", 5));

        let between = JournalEntry {
            attempt: None,
            key: "",
            amounts: "",
            event: "x",
            ..written
        };
        assert_eq!(between.to_string(), "- w-1 0 0 x");
        let read = JournaledAttempt::parse(entry_id.clone(), &between.to_string()).unwrap();
        assert_eq!(read.attempt, None);
        assert_eq!(JournaledAttempt::parse(entry_id, "foreign"), None);
    }
}
