//! The journal (`{ns}:inflight`): what is known of each begun attempt, should its worker die.

use std::fmt;

use longshore_protocol::id::{AttemptId, Place, WorkerId};

/// What the journal holds of a place; `parse_journal_value` in `journal.lua` reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct JournalEntry<'a> {
    /// Which attempt; none between two of them.
    pub(super) attempt: Option<AttemptId>,
    /// Who makes it.
    pub(super) worker: &'a WorkerId,
    /// The concurrency key whose slot its job has; empty for none.
    pub(super) key: &'a str,
    /// What it has taken of limits; empty for nothing.
    pub(super) takes: &'a str,
    /// What is recorded should the worker die; between two attempts the id of the one that failed.
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

/// A begun attempt, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journalled {
    /// Where its job stands.
    pub place: Place,
    /// Which; none between two attempts.
    pub attempt: Option<AttemptId>,
    /// Who makes it.
    pub worker: WorkerId,
    /// What is recorded should the worker die.
    pub(super) event_if_lost: String,
}

impl Journalled {
    /// What the journal holds of `place`; `None` when no worker wrote it.
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
