//! A dead letter as JSON.

use chrono::{DateTime, Utc};
use longshore_client::{EntryId, JobId, QueueName};
use longshore_protocol::event::DeadLetterRecord;
use serde::Serialize;

/// What a dead letter is, and why it was given up.
#[derive(Debug, Serialize)]
pub(crate) struct DeadLetterDocument<'a> {
    id: &'a JobId,
    entry_id: &'a EntryId,
    queue: &'a QueueName,
    r#type: Option<&'a str>,
    tenant: Option<&'a str>,
    chain_id: Option<&'a str>,
    reason: &'a str,
    error: &'a str,
    /// When it was written.
    at: DateTime<Utc>,
    platform: Option<&'a str>,
    attempts: u32,
    #[serde(flatten)]
    old: OldNames<'a>,
}

/// Names that fields had before; kept for one release.
#[derive(Debug, Serialize)]
struct OldNames<'a> {
    place: &'a EntryId,
    task_type: Option<&'a str>,
}

impl<'a> DeadLetterDocument<'a> {
    pub(crate) fn new(record: &'a DeadLetterRecord) -> Self {
        Self {
            id: &record.id,
            entry_id: &record.entry_id,
            queue: &record.queue,
            r#type: record.task_type.as_deref(),
            tenant: record.tenant.as_deref(),
            chain_id: record.chain_id.as_deref(),
            reason: &record.reason,
            error: &record.error,
            at: record.at,
            platform: record.platform.as_deref(),
            attempts: record.attempts,
            old: OldNames {
                place: &record.entry_id,
                task_type: record.task_type.as_deref(),
            },
        }
    }
}
