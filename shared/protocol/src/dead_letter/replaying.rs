//! Turns a dead letter back into a job.

use chrono::{DateTime, Utc};

use super::{DeadLetter, StoredDeadLetter};
use crate::{
    checkpoint::Checkpoint,
    encryption::Keyring,
    envelope::{MessageLimits, RawMessage, parse},
    event::{DeadLetterEnd, DeadLetterResolution, Event, JobRecord},
    id::{EntryId, JobId, QueueName},
    serialized::Serialized,
    state::JobState,
};

/// A dead letter prepared for its return to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedReplay {
    /// The entry that the dead letter came from.
    pub entry_id: EntryId,
    /// Its job.
    pub id: JobId,
    /// When it was written (ms).
    pub died_ms: i64,
    /// The queue that it returns to.
    pub queue: QueueName,
    /// Its message.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The job's new checkpoint.
    pub checkpoint: Serialized<Checkpoint>,
    /// The event for the ledger.
    pub event: Serialized<Event>,
}

impl PreparedReplay {
    /// Prepares a dead letter, encrypted again if there are keys; `None` if its message was stored truncated.
    pub fn new(
        (died_ms, letter, _): &StoredDeadLetter,
        limits: &MessageLimits,
        keyring: &Keyring,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let mut message = RawMessage {
            fields: letter.message.fields()?,
        };
        let checkpoint = letter.checkpoint.clone().replayed();
        let event = Event {
            job: job(letter, &checkpoint, &message, limits).map(Box::new),
            dead_end: Some(Box::new(DeadLetterEnd {
                id: letter.record.id.clone(),
                at: letter.record.at,
                resolution: DeadLetterResolution::Replayed,
                gone_at: now,
            })),
            ..Event::default()
        };
        keyring.seal_message(&mut message).ok()?;
        Some(Self {
            entry_id: letter.record.entry_id.clone(),
            id: letter.record.id.clone(),
            died_ms: *died_ms,
            queue: letter.record.queue.clone(),
            // Both have only text keys, so neither fails to serialize.
            checkpoint: Serialized::new(&*keyring.sealed(&checkpoint).ok()?).ok()?,
            event: Serialized::new(&*keyring.sealed(&event).ok()?).ok()?,
            fields: message.fields,
        })
    }
}

/// The job's record in state `available`. `None` if the message does not identify the job, or if
/// somebody changed its id: admission checks the new id first.
fn job(
    letter: &DeadLetter,
    checkpoint: &Checkpoint,
    message: &RawMessage,
    limits: &MessageLimits,
) -> Option<JobRecord> {
    let envelope = parse(message, limits).ok()?.envelope;
    if envelope
        .id
        .as_ref()
        .is_some_and(|id| *id != letter.record.id)
    {
        return None;
    }
    let queue = letter.record.queue.clone();
    let job = JobRecord::unended(Some(&envelope), queue, JobState::Available, checkpoint);
    Some(JobRecord {
        // It failed before, but not in its current state.
        error: None,
        error_class: None,
        ..job
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dead_letter::StoredMessage, event::DeadLetterRecord};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn letter(id: &str, fields: &[(&str, &str)]) -> DeadLetter {
        let id = JobId::parse(id).unwrap();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        DeadLetter {
            record: DeadLetterRecord {
                id: id.clone(),
                entry_id: EntryId::from_stored("1-0"),
                queue: QueueName::default(),
                reason: "timeout".to_owned(),
                error: "All platforms failed.".to_owned(),
                at: NOW,
                task_type: Some("research".to_owned()),
                platform: Some("sim".to_owned()),
                tenant: None,
                chain_id: None,
                attempts: 3,
            },
            message: StoredMessage::whole(&fields),
            checkpoint: Checkpoint::fresh(id, NOW),
        }
    }

    fn event_of(letter: &DeadLetter) -> Event {
        let standing = (5, letter.clone(), String::new());
        let ready = PreparedReplay::new(
            &standing,
            &MessageLimits::default(),
            &Keyring::default(),
            NOW,
        )
        .unwrap();
        ready.event.parse().unwrap()
    }

    #[test]
    fn a_replayed_job_keeps_its_id_and_history_and_is_available() {
        let mut dead = letter(
            "inv-42",
            &[("job", r#"{"id":"inv-42","type":"research","prompt":"x"}"#)],
        );
        dead.checkpoint.admitted = true;
        dead.checkpoint.attempts = 3;
        dead.checkpoint.tries.insert("openai".to_owned(), 3);
        dead.checkpoint.exhausted = vec!["sim".to_owned()];
        dead.checkpoint.waits_since = Some(dead.record.at);
        let checkpoint = dead.checkpoint.clone().replayed();
        assert!(
            checkpoint.admitted
                && checkpoint.exhausted.is_empty()
                && checkpoint.waits_since.is_none()
        );
        assert_eq!((checkpoint.attempts, checkpoint.replays), (3, 1));
        assert!(checkpoint.tries.is_empty());
        let event = event_of(&dead);
        let end = event.dead_end.unwrap();
        assert_eq!((end.id.as_str(), end.at), ("inv-42", dead.record.at));
        let job = event.job.unwrap();
        assert_eq!(job.labels.job_id.as_str(), "inv-42");
        assert_eq!(
            (job.state, job.attempts, job.error),
            (JobState::Available, 3, None)
        );
    }

    #[test]
    fn nothing_is_recorded_of_what_is_not_known_to_be_this_job() {
        for unknown in [
            letter("7-0", &[("job", "{")]),
            letter("7-0", &[("id", "inv-42"), ("prompt", "x")]),
        ] {
            let event = event_of(&unknown);
            assert!(event.job.is_none() && event.dead_end.is_some());
        }
        assert!(event_of(&letter("7-0", &[("prompt", "x")])).job.is_some());
    }

    #[test]
    fn what_was_not_kept_whole_is_not_replayed() {
        let mut dead = letter("7-0", &[]);
        dead.message = StoredMessage::head(&[]);
        let standing = (5, dead, String::new());
        assert!(
            PreparedReplay::new(
                &standing,
                &MessageLimits::default(),
                &Keyring::default(),
                NOW
            )
            .is_none()
        );
    }
}
