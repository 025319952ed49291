//! The atomic steps of a job's life in a worker's hands.

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
use crate::{BrokerError, Deliveries, StepEnd, script_batch::Arguments, scripts};

/// An entry that a worker holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The queue.
    pub queue: QueueName,
    /// The entry in the queue's stream.
    pub entry: String,
    /// Both in one.
    pub place: Place,
    /// Who holds it.
    pub worker: WorkerId,
}

/// Whether a step took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fence {
    /// The job was still ours.
    Held,
    /// Another worker has it, or had it: nothing changed.
    Lost,
}

/// An attempt that is to begin.
#[derive(Debug)]
pub struct Beginning<'a> {
    /// Its job.
    pub job: &'a JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What is recorded should the worker die.
    pub event_if_lost: &'a str,
    /// The key of which only so many may be in flight.
    pub concurrency: Option<&'a Concurrency>,
    /// What is to be remembered of the job if it waits for its key; empty: it is not laid aside for it.
    pub resume: &'a str,
    /// What the call takes of limits.
    pub takes: &'a Takes,
    /// Whether the job comes out of a limit's lane.
    pub waited: bool,
}

/// Whether an attempt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is journalled; its turn comes after this long.
    Yes(Duration),
    /// A limit has no room.
    Full,
    /// Another worker has the job.
    Lost,
    /// Somebody asked for it to be cancelled.
    Cancelled,
    /// Its concurrency key has no slot; with something to be remembered it would have been laid aside.
    Waits,
    /// It waits in the lane of its concurrency key.
    Parked,
}

/// How a job ends.
#[derive(Debug, Default)]
pub struct Ending<'a> {
    /// The attempt that was begun, if one was.
    pub attempt: Option<AttemptId>,
    /// The facts for the record.
    pub event: &'a str,
    /// The outcome, to be kept.
    pub result: &'a str,
    /// Whether it is pushed as well.
    pub reply: bool,
    /// The key whose slot it may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// Whether anything is remembered of the place, or asked of the job.
    pub remembered: bool,
    /// The dead letter that it leaves, and the letter's id.
    pub letter: Option<(&'a JobId, &'a str)>,
    /// What the attempt came to, for what it took of limits.
    pub spent: Spent,
    /// The step of a chain that it was.
    pub step: Option<StepEnd<'a>>,
    /// The jobs that it spawns, as the script reads them: see [`Child`](crate::Child).
    pub children: &'a str,
}

/// Pending entries that one `XPENDING` lists.
const PAGE: usize = 1000;

/// About as much as the short arguments of a step come to.
const SHORT_ARGUMENTS: usize = 256;

impl Deliveries<'_> {
    /// Journals an attempt, before it can cost anything, and takes what it takes of limits.
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
        let answer = self
            .broker
            .begins
            .step(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(match answer.as_str() {
            "ok" => Begun::Yes(Duration::ZERO),
            "full" => Begun::Full,
            "cancelled" => Begun::Cancelled,
            "waits" => Begun::Waits,
            "parked" => Begun::Parked,
            other => other
                .strip_prefix("ok ")
                .and_then(|wait| wait.parse().ok())
                .map_or(Begun::Lost, |wait| Begun::Yes(Duration::from_millis(wait))),
        })
    }

    /// Records an attempt that failed and is followed by another in the same place.
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
        let answer: String = self.broker.run(&call).await?;
        Ok(fence(&answer))
    }

    /// Ends a job: all of it in one step, or nothing.
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
                    .map_or_else(String::new, |end| end.to_lua_argument()),
            )
            .push_str(flag(ending.step.is_some_and(|end| end.step.needed), "1"))
            .push_str(ending.children);
        let answer = self
            .broker
            .settles
            .step(arguments)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(fence(&answer))
    }

    /// Gives an entry back at once.
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
        let answer: String = self.broker.run(&call).await?;
        Ok(fence(&answer))
    }

    /// What Redis thinks that a worker has of a queue.
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

fn fence(answer: &str) -> Fence {
    if answer == "ok" {
        Fence::Held
    } else {
        Fence::Lost
    }
}

impl Held {
    /// Begins the arguments of a step that travels with others: queue, entry, worker. There is room for so
    /// many, the longest of which are these.
    fn arguments(&self, count: usize, texts: [&str; 2]) -> Arguments {
        let long: usize = texts.into_iter().map(str::len).sum();
        let mut arguments = Arguments::with_room(count, SHORT_ARGUMENTS + long);
        arguments
            .push_str(self.queue.as_str())
            .push_str(&self.entry)
            .push_str(self.worker.as_str());
        arguments
    }

    /// Begins a script's arguments: stream, prefix, queue, entry, worker.
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
