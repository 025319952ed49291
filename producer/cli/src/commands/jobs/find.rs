//! Where a job is now.

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, BrokerError, Waiting},
    envelope::{Envelope, Limits, RawMessage, parse},
    id::{AttemptId, JobId, Place, QueueName, WorkerId},
    keys::RESUME_FIELD,
    letter::Letter,
    outcome::Outcome,
    resume::Resume,
};
use serde::Serialize;

use super::lane::Lane;
use crate::commands::words;

/// Entries of a queue that are searched for a producer's own id, and how many at a time.
const SEARCHED: usize = 10_000;
pub(super) const PAGE: usize = 200;

/// Bytes of messages that are read while searching or counting.
pub(super) const READ_BYTES: usize = 64 * 1024 * 1024;

/// Jobs that were begun before, searched for one of them.
const MOVED_SEARCHED: usize = 200_000;

/// Where a job is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Location {
    /// It has an outcome.
    Ended,
    /// It is a dead letter whose outcome is no longer kept.
    Dead,
    /// It waits in a lane.
    Waiting {
        /// The queue that it will go to.
        queue: QueueName,
        /// What it waits for.
        lane: Lane,
        /// When it goes on, if that is known.
        due_at: Option<DateTime<Utc>>,
    },
    /// It stands in its queue, and nobody has it.
    Available {
        /// The queue.
        queue: QueueName,
        /// Where.
        place: Place,
        /// Whether it was given back, so that it goes before all that are new.
        given_back: bool,
    },
    /// A worker has it.
    Running {
        /// The queue.
        queue: QueueName,
        /// Where.
        place: Place,
        /// Who has it.
        worker: WorkerId,
        /// Since when.
        since: DateTime<Utc>,
        /// The call that is under way; none between two calls.
        attempt_id: Option<String>,
    },
    /// It is not in Redis.
    Nowhere {
        /// Whether every place was looked at.
        complete: bool,
    },
}

/// What Redis knows of a job.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub(super) location: Location,
    /// Its outcome, if it ended.
    pub(super) outcome: Option<Outcome>,
    /// The dead letter that it left, and when it died.
    pub(super) letter: Option<(DateTime<Utc>, Letter)>,
    /// Its message, without our marks.
    pub(super) message: Option<RawMessage>,
    /// What is remembered of it between its runs.
    pub(super) resume: Option<Resume>,
    /// Whether somebody asked for it to be cancelled.
    pub(super) cancel_asked: bool,
}

impl Found {
    /// What its producer said, if the message is at hand and can be read.
    pub(super) fn envelope(&self, limits: &Limits) -> Option<Envelope> {
        let kept;
        let message = if let Some(message) = &self.message {
            message
        } else {
            kept = RawMessage {
                fields: self.letter.as_ref()?.1.message.fields()?,
            };
            &kept
        };
        parse(message, limits).ok().map(|parsed| parsed.envelope)
    }

    fn is_waiting(&mut self, waiting: Waiting) {
        self.location = Location::Waiting {
            lane: Lane::parse(&waiting.lane),
            queue: waiting.queue,
            due_at: waiting.due_ms.map(words::of_ms),
        };
        self.message = Some(waiting.message);
        self.resume = Some(waiting.resume);
    }
}

/// Looks a job up. It may move while we look, so that what is found nowhere is looked for again.
pub(super) async fn find(broker: &Broker, id: &JobId) -> Result<Found, BrokerError> {
    let found = look(broker, id).await?;
    if matches!(found.location, Location::Nowhere { .. }) {
        return look(broker, id).await;
    }
    Ok(found)
}

/// Whether a job is nowhere in Redis; `false` where that cannot be said for certain.
pub(crate) async fn is_nowhere(broker: &Broker, id: &JobId) -> Result<bool, BrokerError> {
    let found = find(broker, id).await?;
    Ok(matches!(
        found.location,
        Location::Nowhere { complete: true }
    ))
}

async fn look(broker: &Broker, id: &JobId) -> Result<Found, BrokerError> {
    let mut found = Found {
        location: Location::Ended,
        outcome: broker
            .outcomes(std::slice::from_ref(id))
            .await?
            .into_iter()
            .flatten()
            .next(),
        letter: broker
            .dead_letter(id.as_str())
            .await?
            .map(|(died, letter, _)| (words::of_ms(died), letter)),
        message: None,
        resume: None,
        cancel_asked: broker.is_cancelled(id).await?,
    };
    if found.outcome.is_some() {
        return Ok(found);
    }
    if let Some((_, letter)) = &found.letter {
        found.resume = Some(letter.resume.clone());
        found.location = Location::Dead;
        return Ok(found);
    }
    if let Some(waiting) = broker.waiting(id).await? {
        found.is_waiting(waiting);
        return Ok(found);
    }
    let (place, mut complete) = place(broker, id).await?;
    let Some((place, message)) = place else {
        if !id.is_server_form() {
            let (aside, all) = aside(broker, id).await?;
            complete &= all;
            if let Some(waiting) = aside {
                found.is_waiting(waiting);
                return Ok(found);
            }
        }
        found.location = Location::Nowhere { complete };
        return Ok(found);
    };
    found.message = Some(unmarked(message));
    found.resume = broker
        .resumes(std::slice::from_ref(&place))
        .await?
        .into_iter()
        .flatten()
        .next();
    found.location = stands(broker, place).await?;
    Ok(found)
}

/// The place where a job stands in its queue, with its message; and whether all were looked at.
async fn place(
    broker: &Broker,
    id: &JobId,
) -> Result<(Option<(Place, RawMessage)>, bool), BrokerError> {
    let first = if id.is_server_form() {
        Some(Place::from_record(id.as_str()))
    } else {
        broker.place_of(id).await?
    };
    if let Some(place) = first
        && let Some(message) = broker.standing(&place).await?
    {
        return Ok((Some((place, message)), true));
    }
    let (moved, mut complete) = broker.moved_to(id, MOVED_SEARCHED).await?;
    if let Some(place) = moved
        && let Some(message) = broker.standing(&place).await?
    {
        return Ok((Some((place, message)), true));
    }
    // No worker has seen it yet: only its message tells its id.
    if !id.is_server_form() {
        for queue in broker.queues().await? {
            let (found, all) = search(broker, &queue, id).await?;
            if found.is_some() {
                return Ok((found, true));
            }
            complete &= all;
        }
    }
    Ok((None, complete))
}

async fn search(
    broker: &Broker,
    queue: &QueueName,
    id: &JobId,
) -> Result<(Option<(Place, RawMessage)>, bool), BrokerError> {
    let (mut from, mut seen, mut bytes) = ("-".to_owned(), 0, 0);
    while seen < SEARCHED && bytes < READ_BYTES {
        let page = broker.entries(queue, &from, "+", PAGE, false).await?;
        let Some((last, _)) = page.last() else {
            return Ok((None, true));
        };
        from = format!("({last}");
        seen += page.len();
        bytes += page
            .iter()
            .map(|(_, message)| message.size())
            .sum::<usize>();
        if let Some((entry, message)) = page.into_iter().find(|(_, message)| names(message, id)) {
            return Ok((Some((Place::new(queue, &entry), message)), true));
        }
    }
    Ok((None, false))
}

/// The job of a producer's own id among those that wait for their tenants' turns; and whether all were
/// looked at.
async fn aside(broker: &Broker, id: &JobId) -> Result<(Option<Waiting>, bool), BrokerError> {
    let (candidates, complete) = broker.laid_aside_with(id.as_str(), READ_BYTES).await?;
    for candidate in candidates {
        let waiting = broker.waiting(&candidate).await?;
        if let Some(waiting) = waiting.filter(|waiting| names(&waiting.message, id)) {
            return Ok((Some(waiting), true));
        }
    }
    Ok((None, complete))
}

/// Whether a message gives itself this id.
fn names(message: &RawMessage, id: &JobId) -> bool {
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

/// A message without our marks.
pub(super) fn unmarked(message: RawMessage) -> RawMessage {
    RawMessage {
        fields: message
            .fields
            .into_iter()
            .filter(|(name, _)| name != RESUME_FIELD)
            .collect(),
    }
}

/// In whose hands the entry at a place is.
async fn stands(broker: &Broker, place: Place) -> Result<Location, BrokerError> {
    let (queue, entry) = place.parts();
    let queue = QueueName::from_record(queue);
    let delivered = broker
        .pending(&queue, entry, entry, 1)
        .await?
        .into_iter()
        .next();
    let given_back = delivered.is_some();
    let Some((worker, since)) =
        delivered.and_then(|pending| Some((pending.worker?, pending.since)))
    else {
        return Ok(Location::Available {
            queue: queue.base(),
            place,
            given_back,
        });
    };
    let attempt = broker
        .begun(&place)
        .await?
        .map(|(attempt, _)| attempt)
        .filter(|attempt| attempt != "-");
    let since = attempt
        .as_deref()
        .and_then(begun_at)
        .unwrap_or_else(|| Utc::now() - since);
    Ok(Location::Running {
        queue: queue.base(),
        place,
        worker,
        since,
        attempt_id: attempt,
    })
}

/// When an attempt began: its id is ordered by time.
fn begun_at(attempt: &str) -> Option<DateTime<Utc>> {
    AttemptId(attempt.parse().ok()?).made_at()
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
    fn a_message_is_known_by_the_id_that_it_gives_itself() {
        let id = JobId::parse("inv-42").unwrap();
        assert!(names(&message(&[("id", "inv-42"), ("prompt", "x")]), &id));
        assert!(names(
            &message(&[("job", r#"{"prompt":"x","id":"inv-42"}"#)]),
            &id
        ));
        assert!(!names(
            &message(&[("job", r#"{"prompt":"inv-42","metadata":{"id":"inv-42"}}"#)]),
            &id
        ));
        assert!(!names(&message(&[("prompt", "inv-42")]), &id));
    }

    #[test]
    fn an_attempt_tells_when_it_began() {
        let attempt = AttemptId::new();
        let age = Utc::now() - begun_at(&attempt.to_string()).unwrap();
        assert!(age.num_seconds() < 5);
        assert_eq!(begun_at("-"), None);
    }

    #[test]
    fn our_marks_are_not_the_producers() {
        let plain = unmarked(message(&[("_resume", "1"), ("prompt", "x")]));
        assert_eq!(plain, message(&[("prompt", "x")]));
    }
}
