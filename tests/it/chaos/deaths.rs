//! Deaths of workers, by the jobs that they had.
//!
//! A job whose worker dies three times while it runs is a dead letter, by design. So that no job of a run deserves
//! that, a worker that runs a job which has been through two deaths is spared.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::{
    id::{EntryId, QueueName},
    keys::WORKERS_GROUP,
};
use longshore_tests::stack::Stack;
use redis::{
    AsyncCommands as _,
    aio::MultiplexedConnection,
    streams::{StreamInfoConsumersReply, StreamPendingCountReply},
};

/// Deaths of workers that a job survives while it runs, and before it begins.
const SURVIVED_RUNNING: u32 = 2;
const SURVIVED_UNBEGUN: u32 = 5;

/// The most entries that a worker has.
const MOST_ENTRIES: usize = 1000;

/// Deaths that jobs have been through, by entry id.
#[derive(Default)]
pub(super) struct Deaths {
    running: BTreeMap<String, u32>,
    unbegun: BTreeMap<String, u32>,
}

impl Deaths {
    /// Whether all jobs of a worker survive its death.
    pub(super) fn all_survive(&self, jobs: &WorkerJobs) -> bool {
        let survive = |deaths: &BTreeMap<String, u32>, jobs: &BTreeSet<String>, survived: u32| {
            jobs.iter()
                .all(|job| deaths.get(job).is_none_or(|deaths| *deaths < survived))
        };
        survive(&self.running, &jobs.running, SURVIVED_RUNNING)
            && survive(&self.unbegun, &jobs.unbegun, SURVIVED_UNBEGUN)
    }

    /// Counts the death of a worker for its jobs.
    pub(super) fn count(&mut self, jobs: WorkerJobs) {
        for job in jobs.running {
            *self.running.entry(job).or_default() += 1;
        }
        for job in jobs.unbegun {
            *self.unbegun.entry(job).or_default() += 1;
        }
    }
}

/// The jobs of one worker, by entry id.
#[derive(Debug)]
pub(super) struct WorkerJobs {
    /// With an attempt in the journal.
    running: BTreeSet<String>,
    /// Delivered, and not in the journal.
    unbegun: BTreeSet<String>,
}

impl WorkerJobs {
    /// Of the worker with this process id, which is stopped.
    pub(super) async fn read(stack: &Stack, pid: u32) -> anyhow::Result<Self> {
        let mut connection = stack.connection().await?;
        // What the worker sent before it was stopped is executed before the next command of this connection.
        let _pong: String = connection.ping().await?;
        // A worker's id contains its process id.
        let mark = format!("-{pid}-");
        let journal: BTreeMap<String, String> =
            connection.hgetall(stack.broker.keys().inflight()).await?;
        let mut unbegun = delivered(stack, &mark, &mut connection).await?;
        let mut running = BTreeSet::new();
        for (entry_id, value) in journal {
            let mut words = value.split(' ');
            let (attempt, worker) = (words.next(), words.next());
            if worker.is_some_and(|worker| worker.contains(&mark)) {
                unbegun.remove(&entry_id);
                // `-` stands between two attempts.
                if attempt != Some("-") {
                    running.insert(entry_id);
                }
            }
        }
        Ok(Self { running, unbegun })
    }
}

/// The entry ids that are pending for the worker with this mark in its id.
async fn delivered(
    stack: &Stack,
    mark: &str,
    connection: &mut MultiplexedConnection,
) -> anyhow::Result<BTreeSet<String>> {
    let mut delivered = BTreeSet::new();
    let queue = QueueName::default();
    for stream in [queue.ready(), queue] {
        let key = stack.broker.keys().queue(&stream);
        let info: StreamInfoConsumersReply =
            connection.xinfo_consumers(&key, WORKERS_GROUP).await?;
        for consumer in info.consumers.iter().filter(|one| one.name.contains(mark)) {
            let pending: StreamPendingCountReply = connection
                .xpending_consumer_count(
                    &key,
                    WORKERS_GROUP,
                    "-",
                    "+",
                    MOST_ENTRIES,
                    &consumer.name,
                )
                .await?;
            let entries = pending.ids.into_iter();
            delivered.extend(entries.map(|entry| EntryId::new(&stream, &entry.id).to_string()));
        }
    }
    Ok(delivered)
}
