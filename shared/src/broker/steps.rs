//! The atomic steps of a job's life in a worker's hands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::ScriptInvocation;

use super::{
    Broker, BrokerError, Spent, Takes,
    batch::Arguments,
    chain_acts::{StepEnd, step_text},
    scripts,
};
use crate::{
    chain::StepRef,
    envelope::{Concurrency, ContentHash, Unique},
    id::{AttemptId, JobId, Place, QueueName, WorkerId},
    keys::Keys,
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

/// What is to be checked before a job's first attempt.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The producer's own id, and the hash of what it stands for.
    pub id: Option<(&'a JobId, &'a ContentHash)>,
    /// The key that may be used once.
    pub unique: Option<&'a Unique>,
    /// Whether somebody waits for the outcome.
    pub reply: bool,
    /// What is recorded if the message is dropped.
    pub drop_event: &'a str,
    /// The task of a batch that it is: dropped, it has ended.
    pub task: Option<&'a StepRef>,
}

/// Whether a job may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It may.
    Yes,
    /// Another worker has it.
    Lost,
    /// The same job came before; the message was dropped.
    Duplicate,
    /// Its id belongs to another job, which stood at this place.
    Conflict(Place),
    /// Its unique key is taken by the job that stood at this place.
    Taken(Place),
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
    /// What is to be remembered of the job if it waits for its key.
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
    /// Begins the arguments of a step that travels with others: queue, entry, worker.
    fn arguments(&self, room: usize) -> Arguments {
        let mut arguments = Vec::with_capacity(room);
        arguments.extend([
            self.queue.as_str().into(),
            self.entry.as_str().into(),
            self.worker.as_str().into(),
        ]);
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

    /// Checks a job's own id and unique key.
    pub async fn admit(
        &self,
        held: &Held,
        admission: &Admission<'_>,
    ) -> Result<Admitted, BrokerError> {
        let (id, hash) = admission
            .id
            .map_or(("", ""), |(id, hash)| (id.as_str(), hash.as_str()));
        let (unique, ttl) = admission.unique.map_or(("", 0), |unique| {
            (unique.key.as_str(), unique.ttl.as_secs().max(1))
        });
        let mut call = held.invoke(&scripts::ADMIT, &self.keys);
        call.arg(id)
            .arg(hash)
            .arg(self.id_seconds())
            .arg(unique)
            .arg(ttl)
            .arg(flag(admission.reply, "1"))
            .arg(self.result_seconds())
            .arg(admission.drop_event)
            .arg(admission.task.map_or_else(String::new, step_text));
        let answer: Vec<String> = self.step(&call).await?;
        let place = |at: usize| Place::from_record(answer.get(at).map_or("", String::as_str));
        Ok(match answer.first().map(String::as_str) {
            Some("ok") => Admitted::Yes,
            Some("duplicate") => Admitted::Duplicate,
            Some("conflict") => Admitted::Conflict(place(1)),
            Some("unique") => Admitted::Taken(place(1)),
            _ => Admitted::Lost,
        })
    }

    /// Journals an attempt, before it can cost anything, and takes what it takes of limits.
    pub async fn begin(
        &self,
        held: &Held,
        beginning: &Beginning<'_>,
    ) -> Result<Begun, BrokerError> {
        let mut arguments = held.arguments(11);
        arguments.extend([
            beginning.job.as_str().into(),
            beginning.attempt.to_string().into(),
            beginning.event_if_lost.into(),
            key(beginning.concurrency).into(),
            limit(beginning.concurrency).to_string().into(),
            beginning.resume.into(),
            beginning.takes.text().into(),
            flag(beginning.waited, "1").into(),
        ]);
        let answer = self
            .begins
            .step(arguments)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(match answer.as_str() {
            "ok" => Begun::Yes(Duration::ZERO),
            "full" => Begun::Full,
            "cancelled" => Begun::Cancelled,
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
        let mut call = scripts::FAIL.key(self.keys.queue(&held.queue));
        call.arg(self.keys.prefix())
            .arg(held.place.as_str())
            .arg(held.worker.as_str())
            .arg(attempt.to_string())
            .arg(event)
            .arg(key(concurrency))
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
        let mut arguments = held.arguments(18);
        arguments.extend([
            job.as_str().into(),
            text(ending.attempt).into(),
            ending.event.into(),
            ending.result.into(),
            self.result_seconds().to_string().into(),
            flag(ending.reply, "1").into(),
            key(ending.concurrency).into(),
            flag(ending.remembered, "kept").into(),
            letter.into(),
            letter_id.into(),
            self.id_seconds().to_string().into(),
            ending.spent.text().into(),
            ending
                .step
                .map_or_else(String::new, |end| end.text())
                .into(),
            flag(ending.step.is_some_and(|end| end.step.needed), "1").into(),
            ending.children.into(),
        ]);
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
