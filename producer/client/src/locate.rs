//! Finds a job in Redis.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, ParkedJob};
use longshore_protocol::{
    checkpoint::Checkpoint,
    clock::local_time,
    dead_letter::DeadLetter,
    envelope::{Envelope, MessageLimits, RawMessage, parse},
    id::{AttemptId, EntryId, JobId, QueueName, WorkerId},
    keys::CHECKPOINT_FIELD,
    outcome::Outcome,
};
use serde::Serialize;

use crate::{client::Client, error::ClientError, lane::Lane};

/// Entries of a queue that are searched for a job's own id.
const SEARCHED_ENTRIES: usize = 10_000;

/// Entries read by one call.
const PAGE: usize = 200;

/// Maximum bytes of messages read during a search.
const SEARCHED_BYTES: usize = 64 * 1024 * 1024;

/// Maximum number of moved jobs searched.
const SEARCHED_MOVES: usize = 200_000;

/// Checkpoints that are searched for a job that left the entry where it was.
const SEARCHED_CHECKPOINTS: usize = 2_000;

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Location {
    /// It has an outcome.
    Ended,
    /// It is a dead letter whose outcome is no longer in Redis.
    Dead,
    /// It is parked in a lane.
    Waiting {
        /// The queue that it will return to.
        queue: QueueName,
        /// What it waits for.
        lane: Lane,
        /// When it is released, if known.
        due_at: Option<DateTime<Utc>>,
    },
    /// It is in its queue, and no worker holds it.
    Available {
        /// Its queue.
        queue: QueueName,
        /// Its stream entry.
        entry_id: EntryId,
        /// Whether a worker handed it back: workers take it before new jobs.
        handed_back: bool,
    },
    /// A worker holds it.
    Running {
        /// Its queue.
        queue: QueueName,
        /// Its stream entry.
        entry_id: EntryId,
        /// The worker.
        worker: WorkerId,
        /// Since when.
        since: DateTime<Utc>,
        /// The call in progress; `None` between two calls.
        attempt_id: Option<String>,
    },
    /// It is not in Redis.
    Nowhere {
        /// Whether every queue and lane was searched to its end.
        complete: bool,
    },
}

/// The state of a job in Redis.
#[derive(Debug)]
pub struct JobSnapshot {
    /// Where it is.
    pub location: Location,
    /// Its outcome, if it ended.
    pub outcome: Option<Outcome>,
    /// Its dead letter, and when it died.
    pub dead_letter: Option<(DateTime<Utc>, DeadLetter)>,
    /// The entry that it was parked from, if it is parked.
    pub parked_from: Option<EntryId>,
    /// Its message, without Longshore's own fields.
    pub message: Option<RawMessage>,
    /// What is remembered of it between attempts.
    pub checkpoint: Option<Checkpoint>,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
}

impl JobSnapshot {
    /// The job as its producer wrote it, if the message is in Redis and can be parsed.
    pub fn envelope(&self, limits: &MessageLimits) -> Option<Envelope> {
        let kept;
        let message = if let Some(message) = &self.message {
            message
        } else {
            kept = RawMessage {
                fields: self.dead_letter.as_ref()?.1.message.fields()?,
            };
            &kept
        };
        parse(message, limits).ok().map(|parsed| parsed.envelope)
    }

    /// Whether the job is certainly not in Redis.
    pub fn is_nowhere(&self) -> bool {
        matches!(self.location, Location::Nowhere { complete: true })
    }

    fn set_parked(&mut self, parked: ParkedJob) {
        self.location = Location::Waiting {
            lane: Lane::parse(&parked.lane),
            queue: parked.queue,
            due_at: parked.due_ms.map(from_unix_ms),
        };
        self.parked_from = Some(parked.entry_id);
        self.message = Some(parked.message);
        self.checkpoint = Some(parked.checkpoint);
    }

    async fn set_entry(
        &mut self,
        broker: &Broker,
        entry_id: EntryId,
        message: RawMessage,
    ) -> Result<(), BrokerError> {
        self.message = Some(without_marks(message));
        self.checkpoint = broker
            .jobs()
            .checkpoints(std::slice::from_ref(&entry_id))
            .await?
            .into_iter()
            .flatten()
            .next();
        self.location = entry_location(broker, entry_id).await?;
        Ok(())
    }
}

impl Client {
    /// Finds a job in Redis. A job may move during the search, so a search without a result is repeated
    /// once.
    pub async fn locate(&self, id: &JobId) -> Result<JobSnapshot, ClientError> {
        let found = locate_once(self.broker(), id).await?;
        if matches!(found.location, Location::Nowhere { .. }) {
            return Ok(locate_once(self.broker(), id).await?);
        }
        Ok(found)
    }

    /// Finds a job that has not ended and was at this entry, with a few commands: unlike [`Client::locate`], it reads no
    /// outcome and searches no queue. A job that moved among thousands of others is not found.
    pub async fn locate_near(
        &self,
        id: &JobId,
        entry_id: &EntryId,
    ) -> Result<JobSnapshot, ClientError> {
        Ok(locate_near(self.broker(), id, entry_id).await?)
    }
}

async fn locate_near(
    broker: &Broker,
    id: &JobId,
    entry_id: &EntryId,
) -> Result<JobSnapshot, BrokerError> {
    let mut found = JobSnapshot {
        location: Location::Nowhere { complete: false },
        outcome: None,
        dead_letter: None,
        parked_from: None,
        message: None,
        checkpoint: None,
        cancel_requested: broker.jobs().is_cancel_requested(id).await?,
    };
    let parked = match broker.lanes().parked_job(id).await? {
        // Until a worker has checked its own id, a job is parked under another.
        None => broker.lanes().parked_entry(entry_id).await?,
        parked => parked,
    };
    if let Some(parked) = parked {
        found.set_parked(parked);
        return Ok(found);
    }
    if let Some(message) = broker.queues().message_at(entry_id).await? {
        found.set_entry(broker, entry_id.clone(), message).await?;
        return Ok(found);
    }
    let (moved, _) = broker
        .jobs()
        .find_by_checkpoint(id, SEARCHED_CHECKPOINTS)
        .await?;
    if let Some(moved) = moved
        && let Some(message) = broker.queues().message_at(&moved).await?
    {
        found.set_entry(broker, moved, message).await?;
    }
    Ok(found)
}

async fn locate_once(broker: &Broker, id: &JobId) -> Result<JobSnapshot, BrokerError> {
    let mut found = JobSnapshot {
        location: Location::Ended,
        outcome: broker
            .jobs()
            .outcomes(std::slice::from_ref(id))
            .await?
            .into_iter()
            .flatten()
            .next(),
        dead_letter: broker
            .dead_letters()
            .newest(id.as_str())
            .await?
            .map(|(died_ms, dead_letter, _)| (from_unix_ms(died_ms), dead_letter)),
        parked_from: None,
        message: None,
        checkpoint: None,
        cancel_requested: broker.jobs().is_cancel_requested(id).await?,
    };
    if found.outcome.is_some() {
        return Ok(found);
    }
    if let Some((_, dead_letter)) = &found.dead_letter {
        found.checkpoint = Some(dead_letter.checkpoint.clone());
        found.location = Location::Dead;
        return Ok(found);
    }
    if let Some(parked) = broker.lanes().parked_job(id).await? {
        found.set_parked(parked);
        return Ok(found);
    }
    let (entry, mut complete) = find_entry(broker, id).await?;
    let Some((entry_id, message)) = entry else {
        if !id.is_server_form() {
            let (parked, all) = find_parked(broker, id).await?;
            complete &= all;
            if let Some(parked) = parked {
                found.set_parked(parked);
                return Ok(found);
            }
        }
        found.location = Location::Nowhere { complete };
        return Ok(found);
    };
    found.set_entry(broker, entry_id, message).await?;
    Ok(found)
}

/// The stream entry of a job with its message; and whether all entries were searched.
async fn find_entry(
    broker: &Broker,
    id: &JobId,
) -> Result<(Option<(EntryId, RawMessage)>, bool), BrokerError> {
    let first = if id.is_server_form() {
        Some(EntryId::from_stored(id.as_str()))
    } else {
        broker.jobs().first_entry_id(id).await?
    };
    if let Some(entry_id) = first
        && let Some(message) = broker.queues().message_at(&entry_id).await?
    {
        return Ok((Some((entry_id, message)), true));
    }
    let (moved, mut complete) = broker.jobs().find_by_checkpoint(id, SEARCHED_MOVES).await?;
    if let Some(entry_id) = moved
        && let Some(message) = broker.queues().message_at(&entry_id).await?
    {
        return Ok((Some((entry_id, message)), true));
    }
    // A job that no worker has read has its id only in its message, also when it was moved within its queue.
    if !id.is_server_form() {
        for stream in broker.queues().streams().await? {
            let (found, all) = search_stream(broker, &stream, id).await?;
            if found.is_some() {
                return Ok((found, true));
            }
            complete &= all;
        }
    }
    Ok((None, complete))
}

async fn search_stream(
    broker: &Broker,
    stream: &QueueName,
    id: &JobId,
) -> Result<(Option<(EntryId, RawMessage)>, bool), BrokerError> {
    let (mut from, mut seen, mut bytes) = ("-".to_owned(), 0, 0);
    while seen < SEARCHED_ENTRIES && bytes < SEARCHED_BYTES {
        let page = broker
            .queues()
            .entries(stream, &from, "+", PAGE, false)
            .await?;
        let Some((last, _)) = page.last() else {
            return Ok((None, true));
        };
        from = format!("({last}");
        seen += page.len();
        bytes += page
            .iter()
            .map(|(_, message)| message.size())
            .sum::<usize>();
        if let Some((entry, message)) = page.into_iter().find(|(_, message)| has_id(message, id)) {
            return Ok((Some((EntryId::new(stream, &entry), message)), true));
        }
    }
    Ok((None, false))
}

/// The job with this id of its own among the jobs that wait for their tenant's turn, and whether all
/// of them were searched.
async fn find_parked(
    broker: &Broker,
    id: &JobId,
) -> Result<(Option<ParkedJob>, bool), BrokerError> {
    let (candidates, complete) = broker
        .lanes()
        .find_parked_containing(id.as_str(), SEARCHED_BYTES)
        .await?;
    for candidate in candidates {
        let parked = broker.lanes().parked_entry(&candidate).await?;
        if let Some(parked) = parked.filter(|parked| has_id(&parked.message, id)) {
            return Ok((Some(parked), true));
        }
    }
    Ok((None, complete))
}

/// Whether the message names this id as its own.
fn has_id(message: &RawMessage, id: &JobId) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        id: Option<String>,
    }
    message
        .fields
        .iter()
        .any(|(name, value)| match name.as_slice() {
            b"id" => value == id.as_str().as_bytes(),
            b"job" => serde_json::from_slice::<Named>(value)
                .is_ok_and(|named| named.id.as_deref() == Some(id.as_str())),
            _ => false,
        })
}

/// A message without the fields that Longshore adds to it.
pub fn without_marks(message: RawMessage) -> RawMessage {
    RawMessage {
        fields: message
            .fields
            .into_iter()
            .filter(|(name, _)| name != CHECKPOINT_FIELD)
            .collect(),
    }
}

/// Whether a worker holds the entry, and which.
async fn entry_location(broker: &Broker, entry_id: EntryId) -> Result<Location, BrokerError> {
    let (queue, entry) = entry_id.parts();
    let queue = QueueName::from_stored(queue);
    let delivered = broker
        .queues()
        .pending_entries(&queue, entry, entry, 1)
        .await?
        .into_iter()
        .next();
    let handed_back = delivered.is_some();
    let Some((worker, held_for)) =
        delivered.and_then(|pending| Some((pending.worker?, pending.since)))
    else {
        return Ok(Location::Available {
            queue: queue.base(),
            entry_id,
            handed_back,
        });
    };
    let attempt_id = broker
        .deliveries()
        .begun_attempt(&entry_id)
        .await?
        .map(|(attempt, _)| attempt)
        .filter(|attempt| attempt != "-");
    let since = attempt_id
        .as_deref()
        .and_then(attempt_began_at)
        .unwrap_or_else(|| local_time() - held_for);
    Ok(Location::Running {
        queue: queue.base(),
        entry_id,
        worker,
        since,
        attempt_id,
    })
}

/// When an attempt began, from the time in its id.
fn attempt_began_at(attempt_id: &str) -> Option<DateTime<Utc>> {
    AttemptId(attempt_id.parse().ok()?).made_at()
}

fn from_unix_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(&str, &str)]) -> RawMessage {
        RawMessage {
            fields: fields
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
        }
    }

    #[test]
    fn a_job_is_found_by_the_id_in_its_message() {
        let id = JobId::parse("inv-42").unwrap();
        assert!(has_id(&message(&[("id", "inv-42"), ("prompt", "x")]), &id));
        assert!(has_id(
            &message(&[("job", r#"{"prompt":"x","id":"inv-42"}"#)]),
            &id
        ));
        assert!(!has_id(
            &message(&[("job", r#"{"prompt":"inv-42","metadata":{"id":"inv-42"}}"#)]),
            &id
        ));
        assert!(!has_id(&message(&[("prompt", "inv-42")]), &id));
    }

    #[test]
    fn an_attempt_id_has_the_start_time() {
        let attempt = AttemptId::new();
        let age = local_time() - attempt_began_at(&attempt.to_string()).unwrap();
        assert!(age.num_seconds() < 5);
        assert_eq!(attempt_began_at("-"), None);
    }

    #[test]
    fn internal_fields_are_removed() {
        let plain = without_marks(message(&[("_checkpoint", "1"), ("prompt", "x")]));
        assert_eq!(plain, message(&[("prompt", "x")]));
    }
}
