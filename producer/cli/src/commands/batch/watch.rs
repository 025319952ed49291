//! What the tasks of a batch wait for, and how fast they end.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_client::{BatchReport, ChainId, ChainState, Client};
use longshore_protocol::clock::local_time;

use super::pace::{Pace, Resets, TimeLeft};
use crate::{
    waiting::{WaitStatus, WorkerCheck},
    why::{Sampled, Waits, idle_queue},
};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

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
        let broker = self.client.broker();
        let sample = Waits::sample(broker, self.id, self.cursor, now);
        let (next, waits) = sample.await.ok()?;
        self.cursor = next;
        self.resets = resets(&waits, now);
        let sampled = Sampled {
            noun: "task",
            in_flight: report.sent().saturating_sub(done),
            not_started: report.waiting,
        };
        let status = match waits.status(sampled, now) {
            None if !has_moved => {
                let (queue, workers) = (&report.queue, &mut self.workers);
                idle_queue(broker, queue, workers, "task", now).await.ok()?
            }
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
}

fn resets(waits: &Waits, now: DateTime<Utc>) -> Resets {
    let until = waits
        .ends()
        .map(|until| (until - now).max(TimeDelta::zero()));
    Resets {
        all_wait: waits.all_wait(),
        first: until.clone().min(),
        last: until.max(),
    }
}
