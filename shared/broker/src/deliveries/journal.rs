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
    /// The event to record if the worker dies.
    pub(super) event_if_lost: Serialized<Event>,
}

impl JournaledAttempt {
    /// Parses the journal's value of an entry id; `None` if no worker wrote it.
    pub(super) fn parse(entry_id: EntryId, value: &str) -> Option<Self> {
        let mut words = value.splitn(5, ' ');
        let attempt = words.next()?;
        let worker = WorkerId::from_stored(words.next()?);
        let key: usize = words.next()?.parse().ok()?;
        let amounts: usize = words.next()?.parse().ok()?;
        let event = words.next()?.get(key + amounts..)?;
        Some(Self {
            entry_id,
            attempt: attempt.parse().ok().map(AttemptId),
            worker,
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
