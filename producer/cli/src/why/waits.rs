//! What the jobs of a chain or batch wait for, by a sample of those in flight.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use longshore_broker::{AccountHold, Broker, BrokerError, ParkedJob};
use longshore_client::{ChainId, Lane, QueueName};
use longshore_protocol::call::ErrorClass;

use super::{
    parked::{find_hold, hold_with_remedy},
    status::paused_queue,
};
use crate::{
    render::{
        lane::waiting_for,
        text::{counted, grouped, one_line},
        time::{from_unix_ms, minute, span},
    },
    waiting::{WaitStatus, WorkerCheck},
};

/// Jobs of one sample. They stand for all that are in flight.
const SAMPLE: usize = 20;

/// The most things that are named.
const GROUPS: usize = 3;

/// An end that is nearer than this, in seconds, is shown as a span.
const NEAR: i64 = 100;

/// What a sample of the jobs in flight waits for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Jobs in the sample.
    sampled: u64,
    /// By what they wait for.
    groups: BTreeMap<String, Group>,
}

/// Jobs in flight that wait for the same.
#[derive(Debug)]
struct Group {
    count: u64,
    /// The longest wait, if its end is known.
    until: Option<DateTime<Utc>>,
    /// The command that ends it.
    remedy: Option<String>,
}

/// The jobs that a sample stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampled {
    /// What they are called: `job` or `task`.
    pub(crate) noun: &'static str,
    pub(crate) in_flight: u64,
    /// Those that are not enqueued yet.
    pub(crate) not_started: u64,
}

impl Waits {
    /// Reads the next sample, after the cursor of the one before (0 = the first). Returns the next cursor as well.
    pub(crate) async fn sample(
        broker: &Broker,
        chain: &ChainId,
        cursor: u64,
        now: DateTime<Utc>,
    ) -> Result<(u64, Self), BrokerError> {
        let (next, mut jobs) = broker
            .chains()
            .jobs_in_flight(chain, cursor, SAMPLE)
            .await?;
        jobs.truncate(SAMPLE);
        let lanes = broker.lanes();
        let found = try_join_all(jobs.iter().map(|job| lanes.parked_job(job))).await?;
        let parked: Vec<ParkedJob> = found.into_iter().flatten().collect();
        let mut waits = Self {
            sampled: jobs.len() as u64,
            ..Self::default()
        };
        if parked.is_empty() {
            return Ok((next, waits));
        }
        let holds = broker.limits().account_holds(now).await?;
        for job in &parked {
            waits.add(job, &holds);
        }
        for job in &parked {
            if let Lane::Quota(meter) = Lane::parse(&job.lane)
                && let Some(group) = waits.groups.get_mut(&waiting_for(&job.lane))
                && group.until.is_none()
            {
                let turn = lanes.limit_position(&meter, &job.entry_id).await?;
                group.until = turn.at_ms.map(from_unix_ms);
            }
        }
        Ok((next, waits))
    }

    /// Whether every job of the sample waits.
    pub(crate) fn all_wait(&self) -> bool {
        self.sampled > 0 && self.waiting() == self.sampled
    }

    /// When waits end, as far as that is known.
    pub(crate) fn ends(&self) -> impl Iterator<Item = DateTime<Utc>> + Clone {
        self.groups.values().filter_map(|group| group.until)
    }

    /// What at least half of the jobs in flight wait for; a few that wait do not hold up the others.
    pub(crate) fn status(&self, sampled: Sampled, now: DateTime<Utc>) -> Option<WaitStatus> {
        if self.groups.is_empty() || self.waiting() * 2 < self.sampled {
            return None;
        }
        let mut groups: Vec<(&String, &Group)> = self.groups.iter().collect();
        groups.sort_by(|(name_a, a), (name_b, b)| b.count.cmp(&a.count).then(name_a.cmp(name_b)));
        groups.truncate(GROUPS);
        let mut parts: Vec<String> = groups
            .iter()
            .map(|(what, group)| self.describe(what, group, sampled, now))
            .collect();
        if sampled.not_started > 0 {
            parts.push(format!("{} not started", grouped(sampled.not_started)));
        }
        let keys: Vec<&str> = groups.iter().map(|(what, _)| what.as_str()).collect();
        let remedies: Vec<&str> = groups
            .iter()
            .filter_map(|(_, group)| group.remedy.as_deref())
            .collect();
        let remedies = (!remedies.is_empty()).then(|| remedies.join("; "));
        Some(WaitStatus::new(keys.join("\n"), parts.join("; ")).with_advice(remedies))
    }

    fn add(&mut self, job: &ParkedJob, holds: &[AccountHold]) {
        let due = job.due_ms.map(from_unix_ms);
        let hold = due.and_then(|due| find_hold(holds, due, Some(&job.checkpoint)));
        let what = match (Lane::parse(&job.lane), hold) {
            (Lane::Time, Some(hold)) => format!("account {}, on hold", hold.account),
            (Lane::Time, None) => next_attempt(job),
            _ => waiting_for(&job.lane),
        };
        let group = self.groups.entry(what).or_insert_with(|| Group {
            count: 0,
            until: None,
            remedy: hold.map(hold_with_remedy),
        });
        group.count += 1;
        group.until = group.until.max(due);
    }

    fn waiting(&self) -> u64 {
        self.groups.values().map(|group| group.count).sum()
    }

    /// `120 tasks wait for gemini's requests a day until 2026-12-01 09:00 UTC`.
    fn describe(&self, what: &str, group: &Group, sampled: Sampled, now: DateTime<Utc>) -> String {
        let is_whole = self.sampled >= sampled.in_flight;
        let count = if is_whole {
            group.count
        } else {
            group.count * sampled.in_flight / self.sampled.max(1)
        };
        let (about, verb) = (
            if is_whole { "" } else { "about " },
            if count == 1 { "waits" } else { "wait" },
        );
        let until = match group.until {
            Some(until) if until <= now => String::new(),
            Some(until) if (until - now).num_seconds() < NEAR => {
                format!(" for {} more", span(until - now))
            }
            Some(until) => format!(" until {}", minute(until)),
            None => String::new(),
        };
        let jobs = counted(count, sampled.noun);
        format!("{about}{jobs} {verb} for {what}{until}")
    }
}

/// Why no job of a queue runs although none is parked: the queue is paused, or no worker reads it.
pub(crate) async fn idle_queue(
    broker: &Broker,
    queue: &QueueName,
    workers: &mut WorkerCheck,
    noun: &str,
    now: DateTime<Utc>,
) -> Result<Option<WaitStatus>, BrokerError> {
    if let Some(paused) = paused_queue(broker, queue, now).await? {
        return Ok(Some(paused));
    }
    let missing = workers.missing(broker, queue).await?;
    Ok(missing.map(|missing| {
        let line = format!("Waiting in queue {queue}");
        WaitStatus::new("no worker", line).with_advice(Some(format!(
            "{missing}; the {noun}s wait in the queue. Ctrl-C stops waiting and leaves them there."
        )))
    }))
}

/// What a job waits for that is parked for a time.
fn next_attempt(job: &ParkedJob) -> String {
    match job.checkpoint.history.last() {
        None => waiting_for(&job.lane),
        Some(last) => match last.error_class {
            ErrorClass::RateLimited => format!("the rate limit of {}", last.platform),
            ErrorClass::QuotaExhausted => format!("the quota of {}", last.platform),
            class => {
                let failure = format!("{class} at {}", last.platform);
                format!(
                    "the next attempt after a failure ({})",
                    one_line(&failure, 80)
                )
            }
        },
    }
}

#[cfg(test)]
mod tests;
