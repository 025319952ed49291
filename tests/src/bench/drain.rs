//! Watching a worker drain a queue, by polling Redis.

use std::time::{Duration, Instant};

use anyhow::bail;
use longshore_local::ChildProcess;
use longshore_protocol::id::QueueName;
use redis::{aio::MultiplexedConnection, streams::StreamInfoGroupsReply};

use super::process;
use crate::stack::Stack;

/// How often Redis is polled.
const EVERY: Duration = Duration::from_millis(4);

/// A worker that settles nothing for this long has failed.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A sample of the state in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Entries that were ever read.
    pub(super) read: usize,
    /// Jobs that have not ended.
    pub(super) queued: usize,
    /// Events that are not recorded.
    pub(super) facts: usize,
}

/// Samples a queue and its events repeatedly.
pub(super) struct Watch {
    connection: MultiplexedConnection,
    queue: String,
    events: String,
}

impl Watch {
    pub(super) async fn new(stack: &Stack) -> anyhow::Result<Self> {
        Ok(Self {
            connection: stack.connection().await?,
            queue: stack.broker.keys().queue(&QueueName::default()),
            events: stack.broker.keys().events(),
        })
    }

    pub(super) async fn sample(&mut self) -> anyhow::Result<Sample> {
        let (groups, queued, facts): (StreamInfoGroupsReply, usize, usize) = redis::pipe()
            .cmd("XINFO")
            .arg("GROUPS")
            .arg(&self.queue)
            .cmd("XLEN")
            .arg(&self.queue)
            .cmd("XLEN")
            .arg(&self.events)
            .query_async(&mut self.connection)
            .await?;
        let read = groups
            .groups
            .iter()
            .filter_map(|group| group.entries_read)
            .sum();
        Ok(Sample {
            read,
            queued,
            facts,
        })
    }

    /// Samples until the condition holds; fails when the worker ends or nothing changes any more.
    pub(super) async fn until(
        &mut self,
        worker: &mut ChildProcess,
        mut holds: impl FnMut(&Sample) -> bool,
    ) -> anyhow::Result<Instant> {
        let mut changed = (Instant::now(), None);
        loop {
            let sample = self.sample().await?;
            let now = Instant::now();
            if holds(&sample) {
                return Ok(now);
            }
            if changed.1 != Some(sample) {
                changed = (now, Some(sample));
            } else if changed.0.elapsed() > TIMEOUT {
                bail!(
                    "nothing has changed for {TIMEOUT:?}: {sample:?}; {}",
                    worker.log_tail()
                );
            }
            if let Some(status) = worker.try_wait()? {
                return Err(worker.exited(status).into());
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// The result of draining a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    /// From the worker's first read until all jobs were settled.
    pub(super) settled: Duration,
    /// From there until every event was in the ledger.
    pub(super) recorded: Duration,
    /// Processor time of the worker, of Redis and of Postgres, until then.
    pub(super) cpu: [Duration; 3],
    /// The most memory that the worker used.
    pub(super) peak_mib: f64,
}

/// Watches a new worker settle `jobs` of the queued jobs. Waits for the events only if the queue becomes
/// empty.
pub(super) async fn drain(
    stack: &Stack,
    mut worker: ChildProcess,
    postgres: u32,
    jobs: usize,
) -> anyhow::Result<Drained> {
    let mut watch = Watch::new(stack).await?;
    let whole = watch.sample().await?.queued;
    let rest = whole.saturating_sub(jobs);
    let before = [
        Duration::ZERO,
        process::cpu(stack.redis.pid())?,
        process::cpu_of_family(postgres)?,
    ];
    let began = watch.until(&mut worker, |sample| sample.read > 0).await?;
    let settled = watch
        .until(&mut worker, |sample| sample.queued <= rest)
        .await?;
    let recorded = if rest == 0 {
        watch.until(&mut worker, |sample| sample.facts == 0).await?
    } else {
        settled
    };
    let after = [
        process::cpu(worker.pid())?,
        process::cpu(stack.redis.pid())?,
        process::cpu_of_family(postgres)?,
    ];
    let mut cpu = after;
    for (used, before) in cpu.iter_mut().zip(before) {
        *used = used.saturating_sub(before);
    }
    let drained = Drained {
        settled: settled - began,
        recorded: recorded - began,
        cpu,
        peak_mib: process::peak_mib(worker.pid())?,
    };
    if rest == 0 {
        worker.stop(Duration::from_secs(10)).await?;
    } else {
        // An orderly stop would only delay the next measurement.
        worker.kill()?;
    }
    Ok(drained)
}
