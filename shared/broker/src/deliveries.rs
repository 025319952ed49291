//! Delivered entries: the scripts of a job's life on a worker.

mod admission;
mod in_flight;
mod journal;
mod parking;
mod reservation;

use std::time::Duration;

use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId, Place, QueueName, WorkerId},
    keys::{Keys, WORKERS_GROUP},
};
use redis::{AsyncCommands as _, ScriptInvocation, streams::StreamPendingCountReply};

use self::journal::JournalEntry;
pub use self::{
    admission::{Admission, Admitted},
    in_flight::Holding,
    journal::Journalled,
    parking::{Parked, Parking, Paused, Pausing},
    reservation::{Offer, Reservation, Reserved, Spent, Takes},
};
use crate::{BrokerError, Deliveries, SpawnedJob, StepEnd, script_batch::Arguments, scripts};

/// A worker's hold on a delivered entry.
#[derive(Debug, Clone)]
pub struct Held {
    pub queue: QueueName,
    /// The entry's id in the queue's stream.
    pub entry: String,
    /// The entry id with the queue.
    pub place: Place,
    pub worker: WorkerId,
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

/// An attempt to begin.
#[derive(Debug)]
pub struct Beginning<'a> {
    pub job: &'a JobId,
    pub attempt: AttemptId,
    /// The event to record if the worker dies.
    pub event_if_lost: &'a str,
    /// The concurrency key that the attempt needs a slot of.
    pub concurrency: Option<&'a Concurrency>,
    /// The checkpoint to park the job with if its key has no slot; empty = do not park it.
    pub resume: &'a str,
    /// What the call reserves of meters.
    pub takes: &'a Takes,
    /// Whether the job comes from the lane of a limit.
    pub waited: bool,
}

/// The result of beginning an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The attempt is journaled; wait this long for the call's turn.
    Yes(Duration),
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
    pub event: &'a str,
    /// The outcome to store.
    pub result: &'a str,
    /// Whether the outcome is pushed as a reply.
    pub reply: bool,
    /// The concurrency key whose slot the job may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// Whether Redis stores anything under the entry id, or a cancel request.
    pub remembered: bool,
    /// The dead letter to store, after its id.
    pub letter: Option<(&'a JobId, &'a str)>,
    /// What the attempt consumed of its reservation.
    pub spent: Spent,
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
    fn from_reply(script: &'static str, reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Held),
            "gone" => Ok(Self::Lost),
            other => Err(BrokerError::unexpected_reply(script, other)),
        }
    }
}

impl Begun {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Yes(Duration::ZERO)),
            "gone" => Ok(Self::Lost),
            "cancelled" => Ok(Self::Cancelled),
            "parked" => Ok(Self::Parked),
            "waits" => Ok(Self::Waits),
            "full" => Ok(Self::Full),
            other => other
                .strip_prefix("ok ")
                .and_then(|wait_ms| wait_ms.parse().ok())
                .map(|wait_ms| Self::Yes(Duration::from_millis(wait_ms)))
                .ok_or_else(|| BrokerError::unexpected_reply("begin", other)),
        }
    }
}

impl Deliveries<'_> {
    /// Journals an attempt before it can cost anything, and reserves what it needs of meters.
    pub async fn begin(self, held: &Held, beginning: &Beginning<'_>) -> Result<Begun, BrokerError> {
        let mut arguments = held.arguments(
            scripts::BEGIN_ARITY,
            [beginning.event_if_lost, beginning.resume],
        );
        arguments
            .push_str(beginning.job.as_str())
            .push_display(beginning.attempt)
            .push_display(JournalEntry {
                attempt: Some(beginning.attempt),
                worker: &held.worker,
                key: concurrency_key(beginning.concurrency),
                takes: beginning.takes.as_str(),
                event: beginning.event_if_lost,
            })
            .push_str(concurrency_key(beginning.concurrency))
            .push_display(concurrency_limit(beginning.concurrency))
            .push_str(beginning.resume)
            .push_str(beginning.takes.as_str())
            .push_str(flag(beginning.waited, "1"));
        let reply = self
            .broker
            .begins
            .run(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Begun::from_reply(&reply)
    }

    /// Records a failed attempt that another one follows; the entry stays with the worker.
    pub async fn fail(
        self,
        held: &Held,
        attempt: AttemptId,
        event: &str,
        concurrency: Option<&Concurrency>,
        resume: &str,
        spent: Spent,
    ) -> Result<Fence, BrokerError> {
        let failed = attempt.to_string();
        let between = JournalEntry {
            attempt: None,
            worker: &held.worker,
            key: concurrency_key(concurrency),
            takes: "",
            event: &failed,
        };
        let mut call = scripts::FAIL_ATTEMPT.key(self.broker.keys.queue(&held.queue));
        call.arg(self.broker.keys.prefix())
            .arg(held.place.as_str())
            .arg(held.worker.as_str())
            .arg(&failed)
            .arg(event)
            .arg(between.to_string())
            .arg(resume)
            .arg(spent.to_lua_argument());
        let reply: String = self.broker.run(&call).await?;
        Fence::from_reply("fail_attempt", &reply)
    }

    /// Settles a job: all of its effects in one step, or none.
    pub async fn settle(
        self,
        held: &Held,
        job: &JobId,
        ending: &Ending<'_>,
    ) -> Result<Fence, BrokerError> {
        let (letter_id, letter) = ending
            .letter
            .map_or(("", ""), |(id, letter)| (id.as_str(), letter));
        let mut arguments = held.arguments(scripts::SETTLE_ARITY, [ending.event, ending.result]);
        arguments
            .push_str(job.as_str())
            .push_str(&attempt_argument(ending.attempt))
            .push_str(ending.event)
            .push_str(ending.result)
            .push_display(self.broker.result_seconds())
            .push_str(flag(ending.reply, "1"))
            .push_str(concurrency_key(ending.concurrency))
            .push_str(flag(ending.remembered, "kept"))
            .push_str(letter)
            .push_str(letter_id)
            .push_display(self.broker.id_seconds())
            .push_str(&ending.spent.to_lua_argument())
            .push_str(
                &ending
                    .step
                    .map_or_else(String::new, StepEnd::to_lua_argument),
            )
            .push_str(flag(ending.step.is_some_and(|end| end.step.needed), "1"))
            .push_str(&SpawnedJob::to_lua_argument(ending.spawned)?);
        let reply = self
            .broker
            .settles
            .run(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Fence::from_reply("settle", &reply)
    }

    /// Hands an entry back for the next worker.
    pub async fn hand_back(
        self,
        held: &Held,
        attempt: Option<AttemptId>,
        event: &str,
        resume: &str,
        spent: Spent,
    ) -> Result<Fence, BrokerError> {
        let mut call = held.invoke(&scripts::HAND_BACK, self.broker.keys());
        call.arg(attempt_argument(attempt))
            .arg(event)
            .arg(resume)
            .arg(spent.to_lua_argument());
        let reply: String = self.broker.run(&call).await?;
        Fence::from_reply("hand_back", &reply)
    }

    /// The entries of a queue that Redis lists as delivered to a worker.
    pub async fn held_by(
        self,
        queue: &QueueName,
        worker: &WorkerId,
    ) -> Result<Vec<Held>, BrokerError> {
        let key = self.broker.keys().queue(queue);
        let mut held = Vec::new();
        let mut start = "-".to_owned();
        loop {
            let page: StreamPendingCountReply = self
                .broker
                .shared()
                .xpending_consumer_count(&key, WORKERS_GROUP, &start, "+", PAGE, worker.as_str())
                .await
                .map_err(|source| self.broker.failed(source))?;
            let full = page.ids.len() == PAGE;
            held.extend(page.ids.into_iter().map(|pending| Held {
                queue: queue.clone(),
                place: Place::new(queue, &pending.id),
                entry: pending.id,
                worker: worker.clone(),
            }));
            match held.last() {
                Some(last) if full => start = format!("({}", last.entry),
                _ => return Ok(held),
            }
        }
    }
}

pub(super) fn attempt_argument(attempt: Option<AttemptId>) -> String {
    attempt.map_or_else(String::new, |id| id.to_string())
}

pub(super) fn concurrency_key(concurrency: Option<&Concurrency>) -> &str {
    concurrency.map_or("", |limit| &limit.key)
}

pub(super) fn concurrency_limit(concurrency: Option<&Concurrency>) -> u32 {
    concurrency.map_or(0, |limit| limit.limit.get())
}

pub(super) fn flag(set: bool, word: &'static str) -> &'static str {
    if set { word } else { "" }
}

impl Held {
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
        let cases = [
            (vec!["ok"], Begun::Yes(Duration::ZERO)),
            (vec!["ok 250"], Begun::Yes(Duration::from_millis(250))),
            (vec!["gone"], Begun::Lost),
            (vec!["cancelled"], Begun::Cancelled),
            (vec!["parked"], Begun::Parked),
            (vec!["waits"], Begun::Waits),
            (vec!["full"], Begun::Full),
        ];
        check_replies("begin", &cases, |reply| Begun::from_reply(&reply.join(" ")));
        assert!(Begun::from_reply("ok soon").is_err());
    }

    #[test]
    fn every_reply_of_a_fenced_script_is_parsed() {
        for script in ["fail_attempt", "settle", "hand_back"] {
            let cases = [("ok", Fence::Held), ("gone", Fence::Lost)];
            check_words(script, &cases, |reply| Fence::from_reply(script, reply));
        }
    }
}
