//! Processes are killed at random; every job must end once.

use std::{collections::BTreeMap, time::Duration};

use longshore_protocol::state::AttemptOutcome;
use longshore_tests::stack::{Options, Process, Stack, eventually};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const JOBS: usize = 400;
const KILLS: usize = 10;

/// Two workers and a scheduler that may be killed at any time.
pub(crate) struct KillableProcesses {
    workers: [Process; 2],
    scheduler: Process,
}

/// A stack with short heartbeats and a Redis that loses nothing when it is killed.
pub(crate) async fn killable_stack(latency: Duration) -> Stack {
    let stack = Stack::start(Options {
        latency,
        env: [
            ("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "300ms"),
            ("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "1s"),
            ("LONGSHORE_CONCURRENCY", "20"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    })
    .await
    .unwrap();
    stack.acknowledge_only_durable_writes().await.unwrap();
    stack
}

impl KillableProcesses {
    pub(crate) fn start(stack: &Stack) -> Self {
        Self {
            workers: [stack.worker().unwrap(), stack.worker().unwrap()],
            scheduler: stack.scheduler().unwrap(),
        }
    }

    /// Kills one of them or Redis, `times` times, and starts another in its place.
    pub(crate) async fn kill(&mut self, stack: &mut Stack, times: usize, seed: u64) {
        let [first, second] = &mut self.workers;
        let mut chance = StdRng::seed_from_u64(seed);
        for _ in 0..times {
            // The kills are random on purpose; there is no condition to wait for.
            tokio::time::sleep(Duration::from_millis(chance.random_range(200..1500))).await;
            match chance.random_range(0..4) {
                0 => replace(&mut self.scheduler, stack.scheduler().unwrap()),
                1 => {
                    stack.redis.kill().unwrap();
                    stack.redis.restart().await.unwrap();
                }
                2 => replace(first, stack.worker().unwrap()),
                _ => replace(second, stack.worker().unwrap()),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_ends_once_whatever_is_killed() {
    let mut stack = killable_stack(Duration::from_millis(400)).await;
    let jobs: Vec<String> = (0..JOBS)
        .map(|at| match at % 4 {
            0 => format!(r#"{{"prompt":"job {at}","delay":{}}}"#, at % 7),
            1 => format!(r#"{{"prompt":"job {at}","concurrency_key":"k","concurrency_limit":10}}"#),
            2 => format!(r#"{{"prompt":"[[fail_first=1:503]] job {at}","retry":{{"base_delay":0.2,"max_delay":0.2}}}}"#),
            _ => format!(r#"{{"prompt":"job {at}","id":"own-{at}"}}"#),
        })
        .collect();
    let mut ids = stack.enqueue(&jobs).await.unwrap();
    for (at, id) in ids.iter_mut().enumerate().filter(|(at, _)| at % 4 == 3) {
        *id = longshore_protocol::id::JobId::parse(&format!("own-{at}")).unwrap();
    }

    let mut processes = KillableProcesses::start(&stack);
    processes.kill(&mut stack, KILLS, 11).await;

    let outcomes = stack.outcomes(&ids).await.unwrap();
    let poisoned = outcomes
        .iter()
        .filter(|one| one.error_class.as_deref() == Some("poison"))
        .count();
    let answered = outcomes.iter().filter(|one| one.success).count();
    assert_eq!(
        answered + poisoned,
        JOBS,
        "{:?}",
        outcomes.iter().find(|one| !one.success)
    );
    let books = stack.books().await.unwrap();
    books.balance();
    let mut settled: BTreeMap<_, u32> = BTreeMap::new();
    for row in books
        .ledger
        .iter()
        .filter(|row| row.outcome == AttemptOutcome::Completed && !row.duplicate)
    {
        *settled.entry(&row.job_id).or_default() += 1;
    }
    assert_eq!(settled.len(), answered);
    assert!(
        settled.values().all(|times| *times == 1),
        "each settled once"
    );
    assert_nothing_is_left(&stack).await;
}

fn replace(old: &mut Process, new: Process) {
    old.kill().unwrap();
    *old = new;
}

/// Asserts that no job is queued, parked or in flight, and that no state is left.
async fn assert_nothing_is_left(stack: &Stack) {
    let keys = stack.broker.keys();
    let depth = stack.depth().await.unwrap();
    assert_eq!((depth.available, depth.running), (0, 0));
    assert_eq!(stack.broker.lanes().sizes().await.unwrap(), []);
    let connection = stack.connection().await.unwrap();
    for key in [
        keys.inflight(),
        keys.checkpoints(),
        keys.crashes(),
        keys.parked(),
        format!("{}:key:k", keys.prefix()),
    ] {
        eventually("nothing is left", || {
            let mut connection = connection.clone();
            let key = key.clone();
            async move {
                match redis::AsyncCommands::hlen::<_, u64>(&mut connection, &key).await? {
                    0 => Ok(()),
                    left => anyhow::bail!("{left} in {key}"),
                }
            }
        })
        .await
        .unwrap();
    }
}
