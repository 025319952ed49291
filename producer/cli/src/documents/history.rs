//! A job in Postgres, with its attempts and dead letters, as JSON.

use chrono::{DateTime, Utc};
use longshore_client::EntryId;
use longshore_ledger::JobHistory;
use longshore_protocol::event::DeadLetterResolution;
use serde::Serialize;

use super::{AttemptDocument, DeadLetterDocument, JobDocument};

/// A job in Postgres with everything that belongs to it.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryDocument<'a> {
    #[serde(flatten)]
    job: JobDocument<'a>,
    /// The attempts, in order.
    history: Vec<AttemptDocument<'a>>,
    dead_letters: Vec<RecordedDeadLetter<'a>>,
    dropped: Vec<DroppedMessage<'a>>,
}

#[derive(Debug, Serialize)]
struct RecordedDeadLetter<'a> {
    #[serde(flatten)]
    dead_letter: DeadLetterDocument<'a>,
    archived_at: Option<DateTime<Utc>>,
    resolution: Option<DeadLetterResolution>,
    gone_at: Option<DateTime<Utc>>,
}

/// A message that was dropped as a duplicate of the job.
#[derive(Debug, Serialize)]
struct DroppedMessage<'a> {
    entry_id: &'a EntryId,
    at: DateTime<Utc>,
}

impl<'a> HistoryDocument<'a> {
    pub(crate) fn new(record: &'a JobHistory) -> Self {
        let dead_letters = record.dead_letters.iter().map(|row| RecordedDeadLetter {
            dead_letter: DeadLetterDocument::new(&row.dead),
            archived_at: row.archived_at,
            resolution: row.resolution,
            gone_at: row.gone_at,
        });
        let dropped = record.dropped.iter().map(|message| DroppedMessage {
            entry_id: &message.entry_id,
            at: message.at,
        });
        Self {
            job: JobDocument::new(&record.row, None),
            history: record.history.iter().map(AttemptDocument::new).collect(),
            dead_letters: dead_letters.collect(),
            dropped: dropped.collect(),
        }
    }
}
