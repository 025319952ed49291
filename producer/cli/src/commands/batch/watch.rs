//! What the tasks of a batch wait for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use longshore_broker::{AccountHold, BrokerError, ParkedJob};
use longshore_client::{BatchReport, ChainId, ChainState, Client, Lane};
use longshore_protocol::{call::ErrorClass, clock::local_time};

use super::{
    pace::{Pace, Resets, TimeLeft},
    task_count,
};
use crate::{
    render::{
        lane::waiting_for,
        text::{grouped, one_line},
        time::{from_unix_ms, minute, span},
    },
    waiting::{WaitStatus, WorkerCheck},
    why::{find_hold, hold_with_remedy, paused_queue},
};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Tasks of one look. They stand for all that are in flight.
const SAMPLE: usize = 20;

/// The most things that are named.
const GROUPS: usize = 3;

/// An end that is nearer than this, in seconds, is shown as a span.
const NEAR: i64 = 100;

/// Looks now and then at what the tasks of a batch wait for, and how fast they end.
pub(super) struct BatchWatch<'a> {
    client: &'a Client,
    id: &'a ChainId,
    /// Where the next sample begins.
    cursor: u64,
    looked_at: Option<Instant>,
    workers: WorkerCheck,
    done: u64,
    pace: Pace,
    resets: Resets,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// What the tasks wait for; `None` if they run.
    pub(super) status: Option<WaitStatus>,
    pub(super) resets: Resets,
    pub(super) time_left: Option<TimeLeft>,
}

/// Tasks in flight that wait for the same.
#[derive(Debug)]
struct Group {
    count: u64,
    /// The longest wait, if its end is known.
    until: Option<DateTime<Utc>>,
    /// The command that ends it.
    remedy: Option<String>,
}

/// What a sample of the tasks in flight waits for.
#[derive(Debug, Default)]
struct Waits {
    /// Tasks in the sample.
    sampled: u64,
    /// By what they wait for.
    groups: BTreeMap<String, Group>,
}

impl<'a> BatchWatch<'a> {
    pub(super) fn new(client: &'a Client, id: &'a ChainId) -> Self {
        Self {
            client,
            id,
            cursor: 0,
            looked_at: None,
            workers: WorkerCheck::default(),
            done: 0,
            pace: Pace::default(),
            resets: Resets::default(),
        }
    }

    /// Looks, if it is time to. An error is that of a user who may not read all of this, or the next call reports it.
    pub(super) async fn look(&mut self, report: &BatchReport) -> Option<Look> {
        let passed = self.looked_at.map(|at| at.elapsed());
        if passed.is_some_and(|passed| passed < LOOK_EVERY) {
            return None;
        }
        self.looked_at = Some(Instant::now());
        let done = report.done();
        self.pace
            .observe(passed.unwrap_or_default(), self.resets.all_wait, done);
        let has_moved = done > self.done;
        self.done = done;
        let now = local_time();
        let waits = self.sample(now).await.ok()?;
        self.resets = waits.resets(now);
        let status = match waits.status(report, now) {
            None if !has_moved => self.idle_queue(report, now).await.ok()?,
            status => status,
        };
        let left = report.lines.saturating_sub(done);
        let time_left = self.pace.time_left(left, self.resets);
        Some(Look {
            status,
            resets: self.resets,
            time_left: time_left.filter(|_| report.state == ChainState::Running),
        })
    }

    async fn sample(&mut self, now: DateTime<Utc>) -> Result<Waits, BrokerError> {
        let broker = self.client.broker();
        let batches = broker.batches();
        let (next, mut jobs) = batches.open_jobs(self.id, self.cursor, SAMPLE).await?;
        self.cursor = next;
        jobs.truncate(SAMPLE);
        let lanes = broker.lanes();
        let found = try_join_all(jobs.iter().map(|job| lanes.parked_job(job))).await?;
        let parked: Vec<ParkedJob> = found.into_iter().flatten().collect();
        let mut waits = Waits {
            sampled: jobs.len() as u64,
            ..Waits::default()
        };
        if parked.is_empty() {
            return Ok(waits);
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
        Ok(waits)
    }

    /// Why no task runs although none is parked: the queue is paused, or no worker reads it.
    async fn idle_queue(
        &mut self,
        report: &BatchReport,
        now: DateTime<Utc>,
    ) -> Result<Option<WaitStatus>, BrokerError> {
        let broker = self.client.broker();
        if let Some(paused) = paused_queue(broker, &report.queue, now).await? {
            return Ok(Some(paused));
        }
        let missing = self.workers.missing(broker, &report.queue).await?;
        Ok(missing.map(|missing| {
            let line = format!("Waiting in queue {}", report.queue);
            WaitStatus::new("no worker", line).with_advice(Some(format!(
                "{missing}; the tasks wait in the queue. Ctrl-C stops waiting and leaves them there."
            )))
        }))
    }
}

impl Waits {
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

    fn resets(&self, now: DateTime<Utc>) -> Resets {
        let until = self.groups.values().filter_map(|group| group.until);
        let until = until.map(|until| (until - now).max(TimeDelta::zero()));
        Resets {
            all_wait: self.sampled > 0 && self.waiting() == self.sampled,
            first: until.clone().min(),
            last: until.max(),
        }
    }

    /// What at least half of the tasks in flight wait for; a few that wait do not hold up the others.
    fn status(&self, report: &BatchReport, now: DateTime<Utc>) -> Option<WaitStatus> {
        if self.groups.is_empty() || self.waiting() * 2 < self.sampled {
            return None;
        }
        let in_flight = report.sent().saturating_sub(report.done());
        let mut groups: Vec<(&String, &Group)> = self.groups.iter().collect();
        groups.sort_by(|(name_a, a), (name_b, b)| b.count.cmp(&a.count).then(name_a.cmp(name_b)));
        groups.truncate(GROUPS);
        let mut parts: Vec<String> = groups
            .iter()
            .map(|(what, group)| self.describe(what, group, in_flight, now))
            .collect();
        if report.waiting > 0 {
            parts.push(format!("{} not started", grouped(report.waiting)));
        }
        let keys: Vec<&str> = groups.iter().map(|(what, _)| what.as_str()).collect();
        let remedies: Vec<&str> = groups
            .iter()
            .filter_map(|(_, group)| group.remedy.as_deref())
            .collect();
        let remedies = (!remedies.is_empty()).then(|| remedies.join("; "));
        Some(WaitStatus::new(keys.join("\n"), parts.join("; ")).with_advice(remedies))
    }

    /// `120 tasks wait for gemini's requests a day until 2026-12-01 09:00 UTC`.
    fn describe(&self, what: &str, group: &Group, in_flight: u64, now: DateTime<Utc>) -> String {
        let is_whole = self.sampled >= in_flight;
        let count = if is_whole {
            group.count
        } else {
            group.count * in_flight / self.sampled.max(1)
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
        format!("{about}{} {verb} for {what}{until}", task_count(count))
    }
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
