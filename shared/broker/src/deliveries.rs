//! Delivered entries: the scripts of a job's life on a worker.

mod admission;
mod in_flight;
mod journal;
mod parking;
mod reservation;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    checkpoint::Checkpoint,
    dead_letter::DeadLetter,
    envelope::{Concurrency, RawMessage},
    event::Event,
    id::{AttemptId, EntryId, JobId, QueueName, WorkerId},
    keys::{Keys, WORKERS_GROUP},
    outcome::Outcome,
    reply::ReplyTo,
    serialized::Serialized,
};
use redis::{AsyncCommands as _, ScriptInvocation, streams::StreamPendingCountReply};

use self::journal::JournalEntry;
pub use self::{
    admission::{Admission, Admitted},
    in_flight::JobInFlight,
    journal::JournaledAttempt,
    parking::{AskedReview, ParkForPause, ParkUntil, Parked},
    reservation::{
        AlsoParked, Consumed, MeterAmounts, Reservation, ReservationCandidate, Reserved,
    },
};
use crate::{BrokerError, Deliveries, SpawnedJob, StepEnd, script_batch::Arguments, scripts};

/// A worker's hold on a delivered entry.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub queue: QueueName,
    /// The entry's id in the queue's stream.
    pub entry: String,
    /// The entry id with the queue.
    pub entry_id: EntryId,
    pub worker: WorkerId,
    /// The message, which parking stores encrypted instead of the entry's fields. `None` without keys.
    pub to_encrypt: Option<Arc<RawMessage>>,
}

/// Whether a step was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fence {
    /// The worker still held the entry.
    Held,
    /// Nothing changed: another worker holds the entry, or has settled it.
    Lost,
}

/// The start of an attempt.
#[derive(Debug)]
pub struct AttemptStart<'a> {
    pub job: &'a JobId,
    pub attempt: AttemptId,
    /// The event to record if the worker dies.
    pub event_if_lost: Option<&'a Serialized<Event>>,
    /// The concurrency key that the attempt needs a slot of.
    pub concurrency: Option<&'a Concurrency>,
    /// The checkpoint to park the job with if its key has no slot; `None` = do not park it.
    pub checkpoint: Option<&'a Serialized<Checkpoint>>,
    /// What the call reserves of meters.
    pub amounts: &'a MeterAmounts,
    /// Whether the job comes from the lane of a limit.
    pub waited: bool,
}

/// The turn of a call whose attempt is journaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// How long to wait for it.
    pub wait: Duration,
    /// When it was reserved, if it counts in a window. The ledger has to know this time: a limit that is introduced later
    /// tells by it which calls the window counted.
    pub reserved_at: Option<DateTime<Utc>>,
}

impl Turn {
    fn parse(wait_ms: &str, reserved_at: &str) -> Option<Self> {
        let reserved_at = match reserved_at {
            "" => None,
            ms => Some(DateTime::from_timestamp_millis(ms.parse().ok()?)?),
        };
        Some(Self {
            wait: Duration::from_millis(wait_ms.parse().ok()?),
            reserved_at,
        })
    }
}

/// The result of start an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The attempt is journaled.
    Yes(Turn),
    /// A limit has no room.
    Full,
    /// Another worker holds the entry.
    Lost,
    /// The cancellation of the job is requested.
    Cancelled,
    /// The concurrency key has no slot, and there is no checkpoint to park the job with.
    Waits,
    /// Parked for its concurrency key.
    Parked,
}

/// How a job ends.
#[derive(Debug, Default)]
pub struct Ending<'a> {
    /// The attempt that began, if any.
    pub attempt: Option<AttemptId>,
    /// The event to record.
    pub event: Option<&'a Serialized<Event>>,
    /// The outcome to store.
    pub outcome: Option<&'a Serialized<Outcome>>,
    /// Where the outcome is pushed.
    pub reply: Option<&'a ReplyTo>,
    /// Whether its producer chose the id.
    pub owns_id: bool,
    /// Whether the outcome is kept as long as one with a reply.
    pub keep_result: bool,
    /// The concurrency key whose slot the job may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// Whether Redis stores anything under the entry id, or a cancel request.
    pub has_stored_state: bool,
    /// The dead letter to store, after its id.
    pub dead_letter: Option<(&'a JobId, &'a Serialized<DeadLetter>)>,
    /// What the attempt consumed of its reservation.
    pub consumed: Consumed,
    /// The step of a chain that ends with the job.
    pub step: Option<StepEnd<'a>>,
    /// The jobs to spawn.
    pub spawned: &'a [SpawnedJob],
}

/// Pending entries that one `XPENDING` lists.
const PAGE: usize = 1000;

/// The usual size of the short arguments of a call, in bytes.
const SHORT_ARGUMENTS: usize = 256;

impl Fence {
    pub(super) fn from_reply(script: &'static str, reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Held),
            "gone" => Ok(Self::Lost),
            other => Err(BrokerError::unexpected_reply(script, other)),
        }
    }

    /// Also the error of a chain that did not continue.
    fn from_settle_reply(reply: &str) -> Result<(Self, Option<&str>), BrokerError> {
        match reply.split_once(' ') {
            Some(("ok", error)) => Ok((Self::Held, Some(error))),
            Some(("error", error)) => Err(BrokerError::Script {
                script: "settle",
                error: error.to_owned(),
            }),
            _ => Self::from_reply("settle", reply).map(|fence| (fence, None)),
        }
    }
}

impl Begun {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Yes(Turn::default())),
            "gone" => Ok(Self::Lost),
            "cancelled" => Ok(Self::Cancelled),
            "parked" => Ok(Self::Parked),
            "waits" => Ok(Self::Waits),
            "full" => Ok(Self::Full),
            other => other
                .strip_prefix("ok ")
                .and_then(|turn| turn.split_once(' '))
                .and_then(|(wait_ms, reserved_at)| Turn::parse(wait_ms, reserved_at))
                .map(Self::Yes)
                .ok_or_else(|| BrokerError::unexpected_reply("begin", other)),
        }
    }
}

impl Deliveries<'_> {
    /// Journals an attempt before it can cost anything, and reserves what it needs of meters.
    pub async fn begin(
        self,
        delivery: &Delivery,
        start: &AttemptStart<'_>,
    ) -> Result<Begun, BrokerError> {
        let event = Serialized::argument(start.event_if_lost);
        let checkpoint = Serialized::argument(start.checkpoint);
        let message = match start.checkpoint {
            Some(_) => self.broker.parked_argument(delivery)?,
            None => String::new(),
        };
        let mut arguments = delivery.arguments(scripts::BEGIN_ARITY, [event, checkpoint]);
        arguments
            .push_str(start.job.as_str())
            .push_display(start.attempt)
            .push_display(JournalEntry {
                attempt: Some(start.attempt),
                worker: &delivery.worker,
                key: concurrency_key(start.concurrency),
                amounts: start.amounts.as_str(),
                event,
            })
            .push_str(concurrency_key(start.concurrency))
            .push_display(concurrency_limit(start.concurrency))
            .push_str(checkpoint)
            .push_str(start.amounts.as_str())
            .push_str(flag(start.waited, "1"))
            .push_str(&message);
        let reply = self
            .broker
            .begins
            .run(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Begun::from_reply(&reply)
    }

    /// Records an attempt that another one follows; the entry stays with the worker.
    pub async fn fail(
        self,
        delivery: &Delivery,
        attempt: AttemptId,
        event: Option<&Serialized<Event>>,
        concurrency: Option<&Concurrency>,
        checkpoint: Option<&Serialized<Checkpoint>>,
        consumed: Consumed,
    ) -> Result<Fence, BrokerError> {
        let failed = attempt.to_string();
        let between = between_attempts(delivery, &failed, concurrency);
        let mut call = scripts::FAIL_ATTEMPT.key(self.broker.keys.queue(&delivery.queue));
        call.arg(self.broker.keys.prefix())
            .arg(delivery.entry_id.as_str())
            .arg(delivery.worker.as_str())
            .arg(&failed)
            .arg(Serialized::argument(event))
            .arg(between.to_string())
            .arg(Serialized::argument(checkpoint))
            .arg(consumed.to_lua_argument());
        let reply: String = self.broker.run(&call).await?;
        Fence::from_reply("fail_attempt", &reply)
    }

    /// Stores the checkpoint of a job after the attempt `last` of this delivery. Of a delivery without an attempt, `last`
    /// is a new id, and the first call `is_first`.
    pub async fn keep(
        self,
        delivery: &Delivery,
        (last, is_first): (AttemptId, bool),
        concurrency: Option<&Concurrency>,
        checkpoint: Option<&Serialized<Checkpoint>>,
    ) -> Result<Fence, BrokerError> {
        let last = last.to_string();
        let between = between_attempts(delivery, &last, concurrency);
        let mut call = scripts::KEEP_CHECKPOINT.key(self.broker.keys.queue(&delivery.queue));
        call.arg(self.broker.keys.prefix())
            .arg(delivery.entry.as_str())
            .arg(delivery.entry_id.as_str())
            .arg(delivery.worker.as_str())
            .arg(between.to_string())
            .arg(flag(is_first, "1"))
            .arg(Serialized::argument(checkpoint));
        let reply: String = self.broker.run(&call).await?;
        Fence::from_reply("keep_checkpoint", &reply)
    }

    /// Settles a job: all of its effects in one step, or none.
    pub async fn settle(
        self,
        delivery: &Delivery,
        job: &JobId,
        ending: &Ending<'_>,
    ) -> Result<Fence, BrokerError> {
        let (letter_id, letter) = ending
            .dead_letter
            .map_or(("", ""), |(id, letter)| (id.as_str(), letter.as_str()));
        let event = Serialized::argument(ending.event);
        let outcome = Serialized::argument(ending.outcome);
        let result_seconds = if ending.reply.is_some() || ending.keep_result {
            self.broker.result_seconds()
        } else {
            self.broker.unrequested_result_seconds()
        };
        let mut arguments = delivery.arguments(scripts::SETTLE_ARITY, [event, outcome]);
        arguments
            .push_str(job.as_str())
            .push_str(&attempt_argument(ending.attempt))
            .push_str(event)
            .push_str(outcome)
            .push_display(result_seconds)
            .push_str(&reply_argument(ending.reply))
            .push_str(concurrency_key(ending.concurrency))
            .push_str(flag(ending.has_stored_state, "kept"))
            .push_str(letter)
            .push_str(letter_id)
            .push_display(self.broker.id_seconds())
            .push_str(&ending.consumed.to_lua_argument())
            .push_str(
                &ending
                    .step
                    .map_or_else(String::new, StepEnd::to_lua_argument),
            )
            .push_str(flag(
                ending.step.is_some_and(|end| end.step.keeps_outcome),
                "1",
            ))
            .push_str(&SpawnedJob::to_lua_argument(ending.spawned, self.broker)?)
            .push_str(flag(ending.owns_id, "1"));
        let reply = self
            .broker
            .settles
            .run(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let (fence, chain_error) = Fence::from_settle_reply(&reply)?;
        if let Some(error) = chain_error {
            tracing::error!(job_id = %job, "job settled, but its chain did not continue: {error}");
        }
        Ok(fence)
    }

    /// Hands an entry back for the next worker.
    pub async fn hand_back(
        self,
        delivery: &Delivery,
        attempt: Option<AttemptId>,
        event: Option<&Serialized<Event>>,
        checkpoint: Option<&Serialized<Checkpoint>>,
        consumed: Consumed,
    ) -> Result<Fence, BrokerError> {
        let mut call = delivery.invoke(&scripts::HAND_BACK, self.broker.keys());
        call.arg(attempt_argument(attempt))
            .arg(Serialized::argument(event))
            .arg(Serialized::argument(checkpoint))
            .arg(consumed.to_lua_argument());
        let reply: String = self.broker.run(&call).await?;
        Fence::from_reply("hand_back", &reply)
    }

    /// The entries of a queue that Redis lists as delivered to a worker.
    pub async fn held_by(
        self,
        queue: &QueueName,
        worker: &WorkerId,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let key = self.broker.keys().queue(queue);
        let mut delivery = Vec::new();
        let mut start = "-".to_owned();
        loop {
            let page: StreamPendingCountReply = self
                .broker
                .shared()
                .xpending_consumer_count(&key, WORKERS_GROUP, &start, "+", PAGE, worker.as_str())
                .await
                .map_err(|source| self.broker.failed(source))?;
            let full = page.ids.len() == PAGE;
            delivery.extend(page.ids.into_iter().map(|pending| Delivery {
                queue: queue.clone(),
                entry_id: EntryId::new(queue, &pending.id),
                entry: pending.id,
                worker: worker.clone(),
                to_encrypt: None,
            }));
            match delivery.last() {
                Some(last) if full => start = format!("({}", last.entry),
                _ => return Ok(delivery),
            }
        }
    }
}

pub(super) fn attempt_argument(attempt: Option<AttemptId>) -> String {
    attempt.map_or_else(String::new, |id| id.to_string())
}

/// The journal's value of a job between two attempts.
fn between_attempts<'a>(
    delivery: &'a Delivery,
    last: &'a str,
    concurrency: Option<&'a Concurrency>,
) -> JournalEntry<'a> {
    JournalEntry {
        attempt: None,
        worker: &delivery.worker,
        key: concurrency_key(concurrency),
        amounts: "",
        event: last,
    }
}

pub(super) fn concurrency_key(concurrency: Option<&Concurrency>) -> &str {
    concurrency.map_or("", |limit| &limit.key)
}

pub(super) fn concurrency_limit(concurrency: Option<&Concurrency>) -> u32 {
    concurrency.map_or(0, |limit| limit.limit.get())
}

/// For whom a reply is, as `replies.lua` reads it.
pub(super) fn reply_argument(reply: Option<&ReplyTo>) -> String {
    reply.map_or_else(String::new, |to| match to {
        ReplyTo::Anyone => "1".to_owned(),
        ReplyTo::Reader(_) => to.to_string(),
    })
}

pub(super) fn flag(set: bool, word: &'static str) -> &'static str {
    if set { word } else { "" }
}

impl Delivery {
    /// The first arguments of a batched script: queue, entry, worker. Reserves space for `count` arguments, of which
    /// `texts` are the longest.
    fn arguments(&self, count: usize, texts: [&str; 2]) -> Arguments {
        let long: usize = texts.into_iter().map(str::len).sum();
        let mut arguments = Arguments::with_room(count, SHORT_ARGUMENTS + long);
        arguments
            .push_str(self.queue.as_str())
            .push_str(&self.entry)
            .push_str(self.worker.as_str());
        arguments
    }

    /// The first arguments of a script: stream, namespace, queue, entry, worker.
    pub(super) fn invoke<'a>(
        &self,
        script: &'a redis::Script,
        keys: &Keys,
    ) -> ScriptInvocation<'a> {
        let mut call = script.key(keys.queue(&self.queue));
        call.arg(keys.prefix())
            .arg(self.queue.as_str())
            .arg(&self.entry)
            .arg(self.worker.as_str());
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::{check_replies, check_words};

    #[test]
    fn every_reply_of_begin_is_parsed() {
        let turn = |reserved_at| Turn {
            wait: Duration::from_millis(250),
            reserved_at,
        };
        let cases = [
            (vec!["ok"], Begun::Yes(Turn::default())),
            (vec!["ok 250 "], Begun::Yes(turn(None))),
            (
                vec!["ok 250 1700000000000"],
                Begun::Yes(turn(DateTime::from_timestamp(1_700_000_000, 0))),
            ),
            (vec!["gone"], Begun::Lost),
            (vec!["cancelled"], Begun::Cancelled),
            (vec!["parked"], Begun::Parked),
            (vec!["waits"], Begun::Waits),
            (vec!["full"], Begun::Full),
        ];
        check_replies("begin", &cases, |reply| Begun::from_reply(&reply.join(" ")));
        assert!(Begun::from_reply("ok soon").is_err());
        assert!(Begun::from_reply("ok 250 soon").is_err());
    }

    #[test]
    fn every_reply_of_settle_is_parsed() {
        let cases = [
            (vec!["ok"], Some((Fence::Held, false))),
            (vec!["ok WRONGTYPE"], Some((Fence::Held, true))),
            (vec!["gone"], Some((Fence::Lost, false))),
            (vec!["error WRONGTYPE"], None),
        ];
        check_replies("settle", &cases, |reply| {
            match Fence::from_settle_reply(&reply.join(" ")) {
                Ok((fence, error)) => Ok(Some((fence, error.is_some()))),
                Err(BrokerError::Script { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        });
    }

    #[test]
    fn every_reply_of_a_fenced_script_is_parsed() {
        for script in ["fail_attempt", "hand_back"] {
            let cases = [("ok", Fence::Held), ("gone", Fence::Lost)];
            check_words(script, &cases, |reply| Fence::from_reply(script, reply));
        }
    }
}
