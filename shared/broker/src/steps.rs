//! The atomic steps of a job's life in a worker's hands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId, Place, QueueName, WorkerId},
    keys::Keys,
};
use redis::ScriptInvocation;

use super::{
    Broker, BrokerError, Spent, Takes, batch::Arguments, chain_acts::StepEnd,
    journal::JournalEntry, scripts,
};

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

/// Whether a job was laid aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// It waits.
    Yes,
    /// Another worker has it, or had it: nothing changed.
    Lost,
    /// Somebody asked for it to be cancelled: it is to end instead.
    Cancelled,
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
    /// The jobs that it spawns, as the script reads them: see [`Child`](super::Child).
    pub children: &'a str,
}

/// Where a job is laid aside.
#[derive(Debug)]
pub struct Parking<'a> {
    /// The attempt that was begun, if one was.
    pub attempt: Option<AttemptId>,
    /// The facts for the record.
    pub event: &'a str,
    /// Whether it waits for a newer worker, not for a time alone.
    pub for_version: bool,
    /// When it goes on.
    pub due: DateTime<Utc>,
    /// The key whose slot it may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// What is to be remembered of it.
    pub resume: &'a str,
    /// What the attempt came to, for what it took of limits.
    pub spent: Spent,
}

/// About as much as the short arguments of a step come to.
const SHORT_ARGUMENTS: usize = 256;

pub(super) fn text(attempt: Option<AttemptId>) -> String {
    attempt.map_or_else(String::new, |id| id.to_string())
}

pub(super) fn key(concurrency: Option<&Concurrency>) -> &str {
    concurrency.map_or("", |limit| &limit.key)
}

pub(super) fn limit(concurrency: Option<&Concurrency>) -> u32 {
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
            .text(self.queue.as_str())
            .text(&self.entry)
            .text(self.worker.as_str());
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

impl Broker {
    pub(super) async fn step<T: redis::FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, BrokerError> {
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Journals an attempt, before it can cost anything, and takes what it takes of limits.
    pub async fn begin(
        &self,
        held: &Held,
        beginning: &Beginning<'_>,
    ) -> Result<Begun, BrokerError> {
        let mut arguments = held.arguments(
            scripts::BEGIN_ARITY,
            [beginning.event_if_lost, beginning.resume],
        );
        arguments
            .text(beginning.job.as_str())
            .shown(beginning.attempt)
            .shown(JournalEntry {
                attempt: Some(beginning.attempt),
                worker: &held.worker,
                key: key(beginning.concurrency),
                takes: beginning.takes.text(),
                event: beginning.event_if_lost,
            })
            .text(key(beginning.concurrency))
            .shown(limit(beginning.concurrency))
            .text(beginning.resume)
            .text(beginning.takes.text())
            .text(flag(beginning.waited, "1"));
        let answer = self
            .begins
            .step(arguments)
            .await
            .map_err(|source| self.failed(source))?;
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
        &self,
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
            key: key(concurrency),
            takes: "",
            event: &failed,
        };
        let mut call = scripts::FAIL_ATTEMPT.key(self.keys.queue(&held.queue));
        call.arg(self.keys.prefix())
            .arg(held.place.as_str())
            .arg(held.worker.as_str())
            .arg(&failed)
            .arg(event)
            .arg(between.to_string())
            .arg(resume)
            .arg(spent.text());
        let answer: String = self.step(&call).await?;
        Ok(fence(&answer))
    }

    /// Ends a job: all of it in one step, or nothing.
    pub async fn settle(
        &self,
        held: &Held,
        job: &JobId,
        ending: &Ending<'_>,
    ) -> Result<Fence, BrokerError> {
        let (letter_id, letter) = ending
            .letter
            .map_or(("", ""), |(id, letter)| (id.as_str(), letter));
        let mut arguments = held.arguments(scripts::SETTLE_ARITY, [ending.event, ending.result]);
        arguments
            .text(job.as_str())
            .text(&text(ending.attempt))
            .text(ending.event)
            .text(ending.result)
            .shown(self.result_seconds())
            .text(flag(ending.reply, "1"))
            .text(key(ending.concurrency))
            .text(flag(ending.remembered, "kept"))
            .text(letter)
            .text(letter_id)
            .shown(self.id_seconds())
            .text(&ending.spent.text())
            .text(&ending.step.map_or_else(String::new, |end| end.text()))
            .text(flag(ending.step.is_some_and(|end| end.step.needed), "1"))
            .text(ending.children);
        let answer = self
            .settles
            .step(arguments)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(fence(&answer))
    }

    /// Lays a job aside until a time.
    pub async fn park(
        &self,
        held: &Held,
        job: &JobId,
        parking: &Parking<'_>,
    ) -> Result<Parked, BrokerError> {
        let mut call = held.invoke(&scripts::PARK, &self.keys);
        call.arg(job.as_str())
            .arg(text(parking.attempt))
            .arg(parking.event)
            .arg(if parking.for_version {
                "version"
            } else {
                "time"
            })
            .arg(parking.due.timestamp_millis())
            .arg(key(parking.concurrency))
            .arg(parking.resume)
            .arg(parking.spent.text());
        let answer: String = self.step(&call).await?;
        Ok(match answer.as_str() {
            "ok" => Parked::Yes,
            "cancelled" => Parked::Cancelled,
            _ => Parked::Lost,
        })
    }

    /// Gives an entry back at once.
    pub async fn hand_back(
        &self,
        held: &Held,
        attempt: Option<AttemptId>,
        event: &str,
        resume: &str,
        spent: Spent,
    ) -> Result<Fence, BrokerError> {
        let mut call = held.invoke(&scripts::HAND_BACK, &self.keys);
        call.arg(text(attempt))
            .arg(event)
            .arg(resume)
            .arg(spent.text());
        let answer: String = self.step(&call).await?;
        Ok(fence(&answer))
    }
}
