//! Parking a delivered job.

use chrono::{DateTime, Utc};
use longshore_policy::pause::PausedLane;
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use crate::{
    BrokerError, Deliveries, Held, Spent,
    deliveries::{attempt_argument, concurrency_key},
    scripts,
};

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

impl Deliveries<'_> {
    /// Lays a job aside until a time.
    pub async fn park(
        self,
        held: &Held,
        job: &JobId,
        parking: &Parking<'_>,
    ) -> Result<Parked, BrokerError> {
        let mut call = held.invoke(&scripts::PARK, self.broker.keys());
        call.arg(job.as_str())
            .arg(attempt_argument(parking.attempt))
            .arg(parking.event)
            .arg(if parking.for_version {
                "version"
            } else {
                "time"
            })
            .arg(parking.due.timestamp_millis())
            .arg(concurrency_key(parking.concurrency))
            .arg(parking.resume)
            .arg(parking.spent.to_lua_argument());
        let answer: String = self.broker.run(&call).await?;
        Ok(match answer.as_str() {
            "ok" => Parked::Yes,
            "cancelled" => Parked::Cancelled,
            _ => Parked::Lost,
        })
    }

    /// Lays a job aside until something is resumed.
    pub async fn park_paused(
        self,
        held: &Held,
        job: &JobId,
        pausing: &Pausing<'_>,
    ) -> Result<Paused, BrokerError> {
        let mut call = held.invoke(&scripts::PARK, self.broker.keys());
        call.arg(job.as_str())
            .arg(attempt_argument(pausing.attempt))
            .arg(pausing.event)
            .arg(pausing.lane.as_str())
            .arg(pausing.order)
            .arg(concurrency_key(pausing.concurrency))
            .arg(pausing.resume)
            .arg(pausing.spent.to_lua_argument());
        let answer: String = self.broker.run(&call).await?;
        Ok(match answer.as_str() {
            "ok" => Paused::Yes,
            "resumed" => Paused::Resumed,
            "cancelled" => Paused::Cancelled,
            _ => Paused::Lost,
        })
    }
}
