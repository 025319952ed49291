//! The journal (`{ns}:inflight`): for each begun attempt what to record if its worker dies.

use std::fmt;

use longshore_protocol::id::{AttemptId, Place, WorkerId};

/// The journal's value of an entry id; `parse_journal_value` in `journal.lua` reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct JournalEntry<'a> {
    /// `None` between two attempts.
    pub(super) attempt: Option<AttemptId>,
    pub(super) worker: &'a WorkerId,
    /// The concurrency key whose slot the job holds; empty = none.
    pub(super) key: &'a str,
    /// What the attempt reserved of meters; empty = nothing.
    pub(super) takes: &'a str,
    /// The event to record if the worker dies; between two attempts the id of the failed one.
    pub(super) event: &'a str,
}

impl fmt::Display for JournalEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempt {
            Some(attempt) => write!(f, "{attempt}")?,
            None => f.write_str("-")?,
        }
        let (key, takes) = (self.key.len(), self.takes.len());
        write!(f, " {} {key} {takes} ", self.worker)?;
        f.write_str(self.key)?;
        f.write_str(self.takes)?;
        f.write_str(self.event)
    }
}

/// A journaled attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journalled {
    /// The entry id of its job.
    pub place: Place,
    /// `None` between two attempts.
    pub attempt: Option<AttemptId>,
    pub worker: WorkerId,
    /// The event to record if the worker dies.
    pub(super) event_if_lost: String,
}

impl Journalled {
    /// Parses the journal's value of an entry id; `None` if no worker wrote it.
    pub(super) fn parse(place: Place, value: &str) -> Option<Self> {
        let mut words = value.splitn(5, ' ');
        let attempt = words.next()?;
        let worker = WorkerId::from_record(words.next()?);
        let key: usize = words.next()?.parse().ok()?;
        let takes: usize = words.next()?.parse().ok()?;
        let event = words.next()?.get(key + takes..)?;
        Some(Self {
            place,
            attempt: attempt.parse().ok().map(AttemptId),
            worker,
            event_if_lost: event.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let worker = WorkerId::from_record("w-1");
        let written = JournalEntry {
            attempt: Some(AttemptId::new()),
            worker: &worker,
            key: "k ü",
            takes: "[]",
            event: "{\"attempt\":1}",
        };
        let place = Place::from_record("1-0");
        let read = Journalled::parse(place.clone(), &written.to_string()).unwrap();
        assert_eq!(read.attempt, written.attempt);
        assert_eq!(read.worker, worker);
        assert_eq!(read.event_if_lost, written.event);

        let between = JournalEntry {
            attempt: None,
            key: "",
            takes: "",
            event: "x",
            ..written
        };
        assert_eq!(between.to_string(), "- w-1 0 0 x");
        let read = Journalled::parse(place.clone(), &between.to_string()).unwrap();
        assert_eq!(read.attempt, None);
        assert_eq!(Journalled::parse(place, "foreign"), None);
    }
}
