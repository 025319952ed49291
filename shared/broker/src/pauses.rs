//! Pausing and resuming (`pauses.lua`).

use std::{collections::BTreeMap, time::Duration};

use longshore_policy::pause::{Pause, PausedLane, Pauses, Target};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};
use redis::AsyncCommands as _;

use super::{
    Broker, BrokerError, Held, LetGo, Spent, scripts,
    steps::{key, text},
};

/// The control message that says that something was paused or resumed.
pub const PAUSED_MESSAGE: &str = "paused";

/// How a job is laid aside until something is resumed.
#[derive(Debug)]
pub struct Pausing<'a> {
    /// The attempt that was begun, if one was.
    pub attempt: Option<AttemptId>,
    /// The facts for the record.
    pub event: &'a str,
    /// What it waits for.
    pub lane: &'a PausedLane,
    /// Its place among those that wait: [`pause::order`](longshore_policy::pause::order).
    pub order: &'a str,
    /// The key whose slot it may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// What is to be remembered of it.
    pub resume: &'a str,
    /// What the attempt came to, for what it took of limits.
    pub spent: Spent,
}

/// Whether a job was laid aside until something is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// It waits.
    Yes,
    /// It is resumed already: nothing changed.
    Resumed,
    /// Another worker has it, or had it: nothing changed.
    Lost,
    /// Somebody asked for it to be cancelled: it is to end instead.
    Cancelled,
}

impl Broker {
    /// Pauses something, until it is resumed or for a time.
    pub async fn pause(
        &self,
        target: &Target,
        lasts: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<Pause, BrokerError> {
        let lasts = lasts.map_or_else(String::new, |lasts| lasts.as_millis().to_string());
        let mut call = scripts::PAUSE.key(self.keys().paused());
        call.arg(self.keys().prefix())
            .arg(target.as_str())
            .arg(lasts)
            .arg(reason.unwrap_or_default());
        let pause: String = self.step(&call).await?;
        serde_json::from_str(&pause).map_err(|error| Self::foreign(self.keys().paused(), error))
    }

    /// Resumes something; `false` when it was not paused.
    pub async fn resume(&self, target: &Target) -> Result<bool, BrokerError> {
        let mut call = scripts::RESUME.key(self.keys().paused());
        call.arg(self.keys().prefix()).arg(target.as_str());
        self.step(&call).await
    }

    /// All that is paused.
    pub async fn pauses(&self) -> Result<Pauses, BrokerError> {
        let found: BTreeMap<String, String> = self
            .shared()
            .hgetall(self.keys().paused())
            .await
            .map_err(|source| self.failed(source))?;
        let parsed = found.into_iter().map(|(name, text)| {
            serde_json::from_str(&text)
                .map(|pause| (name, pause))
                .map_err(|error| Self::foreign(self.keys().paused(), error))
        });
        Ok(Pauses::from_record(parsed.collect::<Result<_, _>>()?))
    }

    /// Ends pauses whose time is over, and lets go of at most `limit` jobs that waited for what is resumed.
    pub async fn let_go_resumed(&self, limit: usize) -> Result<LetGo, BrokerError> {
        let mut call = scripts::RELEASE_RESUMED.key(self.keys().paused());
        call.arg(self.keys().prefix()).arg(limit);
        let some: (usize, f64) = self.step(&call).await?;
        Ok(LetGo::from(some))
    }

    /// Lays a job aside until something is resumed.
    pub async fn park_paused(
        &self,
        held: &Held,
        job: &JobId,
        pausing: &Pausing<'_>,
    ) -> Result<Paused, BrokerError> {
        let mut call = held.invoke(&scripts::PARK, self.keys());
        call.arg(job.as_str())
            .arg(text(pausing.attempt))
            .arg(pausing.event)
            .arg(pausing.lane.as_str())
            .arg(pausing.order)
            .arg(key(pausing.concurrency))
            .arg(pausing.resume)
            .arg(pausing.spent.text());
        let answer: String = self.step(&call).await?;
        Ok(match answer.as_str() {
            "ok" => Paused::Yes,
            "resumed" => Paused::Resumed,
            "cancelled" => Paused::Cancelled,
            _ => Paused::Lost,
        })
    }

    /// The lanes of jobs that wait until something is resumed, by name.
    pub(super) async fn paused_lanes(&self) -> Result<Vec<String>, BrokerError> {
        self.shared()
            .smembers(self.keys().paused_lanes())
            .await
            .map_err(|source| self.failed(source))
    }
}
