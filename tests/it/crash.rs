//! Processes are killed, frozen and stopped; no job is lost and the books balance.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use longshore_broker::EntrySource;
use longshore_local::Signal;
use longshore_protocol::{
    id::{QueueName, WorkerId},
    state::{AttemptOutcome, JobState},
};
use longshore_tests::stack::{Options, Stack, eventually, prompts};
use redis::AsyncCommands as _;

use crate::machine::size;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_nothing_and_settles_nothing_twice() {
    let stack = Stack::start(Options::with_latency(Duration::from_secs(2)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut doomed = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(200)).await.unwrap();
    stack.wait_for_calls(100).await.unwrap();
    let _successor = stack.worker().unwrap();
    doomed.kill().unwrap();

    stack.successes(&ids).await.unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    assert!(
        books.count(AttemptOutcome::Lost) >= 100,
        "the calls in flight are listed as lost"
    );
    let settled: Vec<_> = books
        .ledger
        .iter()
        .filter(|row| row.outcome == AttemptOutcome::Completed && !row.duplicate)
        .map(|row| row.job_id.clone())
        .collect();
    assert_eq!(settled.len(), 200);
    assert_eq!(
        settled.iter().collect::<BTreeSet<_>>().len(),
        200,
        "each once"
    );
    let depth = stack.depth().await.unwrap();
    assert_eq!((depth.available, depth.running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_recovers_dead_workers_without_a_scheduler() {
    let stack = Stack::start(Options::with_latency(Duration::from_secs(1)))
        .await
        .unwrap();
    let mut doomed = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(10)).await.unwrap();
    stack.wait_for_calls(10).await.unwrap();
    doomed.kill().unwrap();
    let _successor = stack.worker().unwrap();
    stack.successes(&ids).await.unwrap();
    stack.books().await.unwrap().balance();
}

/// Freezes a worker until another one has answered its jobs, and resumes it.
async fn resume_frozen_worker(redis_restarts: bool) {
    let mut stack = Stack::start(Options {
        latency: Duration::from_secs(1),
        env: vec![
            (
                "LONGSHORE_LIVENESS_HEARTBEAT_EVERY".to_owned(),
                "500ms".to_owned(),
            ),
            (
                "LONGSHORE_LIVENESS_HEARTBEAT_TTL".to_owned(),
                "2s".to_owned(),
            ),
        ],
    })
    .await
    .unwrap();
    let mut frozen = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(20)).await.unwrap();
    stack.wait_for_calls(20).await.unwrap();
    frozen.signal(Signal::SIGSTOP).unwrap();
    let _successor = stack.worker().unwrap();
    let outcomes = stack.successes(&ids).await.unwrap();
    if redis_restarts {
        stack.acknowledge_only_durable_writes().await.unwrap();
        stack.redis.kill().unwrap();
        stack.redis.restart().await.unwrap();
    }

    frozen.signal(Signal::SIGCONT).unwrap();
    eventually("the late answers are recorded", || async {
        let duplicates = stack
            .ledger
            .attempt_costs()
            .await?
            .iter()
            .filter(|row| row.duplicate)
            .count();
        if duplicates < 20 {
            bail!("{duplicates} of 20");
        }
        Ok(())
    })
    .await
    .unwrap();
    if redis_restarts {
        eventually("the attempts are recorded again", async || {
            let log = std::fs::read_to_string(frozen.log())?;
            ensure!(log.contains("are recorded again"), "not yet");
            Ok(())
        })
        .await
        .unwrap();
    }
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 40, "every call, each once");
    assert_eq!(
        books.count(AttemptOutcome::Lost),
        0,
        "what was thought lost came back as duplicate"
    );
    let duplicates = books.ledger.iter().filter(|row| row.duplicate).count();
    assert_eq!(duplicates, 20, "a duplicate stays one");
    assert_eq!(
        stack.outcomes(&ids).await.unwrap(),
        outcomes,
        "no outcome changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_frozen_worker_changes_no_outcome_and_its_spend_is_recorded() {
    resume_frozen_worker(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_while_redis_restarted_settles_nothing_twice() {
    resume_frozen_worker(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finishes_its_jobs_on_sigterm() {
    let stack = Stack::start(Options::with_latency(Duration::from_secs(1)))
        .await
        .unwrap();
    let mut worker = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(50)).await.unwrap();
    stack.wait_for_calls(50).await.unwrap();
    worker.signal(Signal::SIGTERM).unwrap();
    let status = worker.wait().await.unwrap();
    assert!(status.success(), "{status}: {}", worker.log_tail());
    let ended = stack.broker.jobs().outcomes(&ids).await.unwrap();
    assert_eq!(
        ended.iter().flatten().count(),
        50,
        "all were settled before it went"
    );
    assert_eq!(
        stack.broker.events().unrecorded_count().await.unwrap(),
        0,
        "and recorded"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 50, "nothing ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_begins_no_call() {
    let stack = Stack::start(Options::with_latency(Duration::from_secs(1)))
        .await
        .unwrap();
    let mut worker = stack.worker().unwrap();
    // The answer is not JSON, and is asked for again at once.
    let job = r#"{"prompt":"[[echo=no]]","response_format":{"type":"json_object"}}"#;
    let id = stack.xadd(&[("job", job)]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    worker.signal(Signal::SIGTERM).unwrap();
    assert!(worker.wait().await.unwrap().success());
    assert_eq!(stack.simulator.stats().requests, 1);
    let _successor = stack.worker().unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(outcome.attempts, 2, "{outcome:?}");
    assert_eq!(outcome.error_class.as_deref(), Some("bad_output"));
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_hands_jobs_back_at_once() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut worker = stack.worker().unwrap();
    let id = stack.xadd(&[("prompt", "[[hang]]")]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    worker.signal(Signal::SIGTERM).unwrap();
    eventually("the worker drains", || async {
        ensure!(worker.log_tail().contains("worker draining"));
        Ok(())
    })
    .await
    .unwrap();
    worker.signal(Signal::SIGTERM).unwrap();
    // The call would last for 5 minutes, and so would the grace period.
    assert!(worker.wait().await.unwrap().success());
    assert!(worker.log_tail().contains("second signal to stop"));
    assert!(stack.broker.jobs().outcomes(&[id]).await.unwrap()[0].is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_outlast_the_grace_period_are_handed_back() {
    let mut options = Options::with_latency(Duration::from_secs(5));
    options
        .env
        .push(("LONGSHORE_GRACE".to_owned(), "1s".to_owned()));
    let stack = Stack::start(options).await.unwrap();
    let mut worker = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(5)).await.unwrap();
    stack.wait_for_calls(5).await.unwrap();
    worker.signal(Signal::SIGTERM).unwrap();
    assert!(worker.wait().await.unwrap().success());
    let _successor = stack.worker().unwrap();
    stack.successes(&ids).await.unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(
        books.count(AttemptOutcome::Cancelled),
        5,
        "the dropped calls are listed"
    );
    assert_eq!(books.count(AttemptOutcome::Completed), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_when_redis_is_killed_and_restarted() {
    let mut stack = Stack::start(Options::with_latency(Duration::from_millis(300)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    stack.acknowledge_only_durable_writes().await.unwrap();
    let ids = stack.enqueue(&prompts(100)).await.unwrap();
    assert!(stack.outcome(&ids[0]).await.unwrap().success);
    let late = stack.enqueue(&prompts(50)).await.unwrap();
    stack.redis.kill().unwrap();
    stack.redis.restart().await.unwrap();
    for outcome in stack
        .outcomes(&ids)
        .await
        .unwrap()
        .iter()
        .chain(&stack.outcomes(&late).await.unwrap())
    {
        assert_eq!(outcome.state, JobState::Completed, "{outcome:?}");
    }
    let more = stack.enqueue(&prompts(50)).await.unwrap();
    stack.successes(&more).await.unwrap();
    stack.books().await.unwrap().balance();
}

/// What a Redis that is killed may forget, as a power failure makes it forget.
enum Forgets {
    /// The ends of the jobs.
    Ends,
    /// The jobs.
    Jobs,
}

/// The file that Redis appends its commands to.
fn append_only_file(stack: &Stack) -> PathBuf {
    let folder = stack.dir().join("redis/appendonlydir");
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .find(|file| file.to_string_lossy().ends_with(".incr.aof"))
        .expect("an append-only file")
}

/// Runs jobs while Postgres is away, and takes from Redis what it wrote last.
async fn lose_last_writes(forgets: &Forgets) {
    const JOBS: usize = 20;
    let mut postgres = longshore_tests::stack::own_postgres().await.unwrap();
    let mut stack = Stack::start_with(
        Options::with_latency(Duration::from_secs(1)),
        postgres.url(),
    )
    .await
    .unwrap();
    stack.ledger.migrate().await.unwrap();
    let _worker = stack.worker().unwrap();
    let first = stack.enqueue(&prompts(1)).await.unwrap();
    stack.outcomes(&first).await.unwrap();
    postgres.stop().await.unwrap();

    let file = append_only_file(&stack);
    let before_jobs = file.metadata().unwrap().len();
    let jobs = stack.enqueue(&prompts(JOBS)).await.unwrap();
    stack.wait_for_calls(JOBS as u64).await.unwrap();
    let before_ends = file.metadata().unwrap().len();
    stack.successes(&jobs).await.unwrap();
    stack.redis.kill().unwrap();
    let kept = match forgets {
        Forgets::Ends => before_ends,
        Forgets::Jobs => before_jobs,
    };
    let writable = std::fs::File::options().write(true).open(&file).unwrap();
    writable.set_len(kept).unwrap();
    stack.redis.restart().await.unwrap();

    let calls = match forgets {
        // The jobs run again.
        Forgets::Ends => {
            stack.successes(&jobs).await.unwrap();
            1 + 2 * JOBS
        }
        Forgets::Jobs => 1 + JOBS,
    };
    postgres.restart().await.unwrap();
    eventually("the attempts are recorded", async || {
        let recorded = stack.books().await?.ledger.len();
        ensure!(recorded == calls, "{recorded} of {calls}");
        Ok(())
    })
    .await
    .unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.count(AttemptOutcome::Completed), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_whose_ends_redis_forgets_are_recorded() {
    lose_last_writes(&Forgets::Ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_jobs_that_redis_forgets_are_recorded() {
    lose_last_writes(&Forgets::Jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_while_postgres_is_down() {
    let mut postgres = longshore_tests::stack::own_postgres().await.unwrap();
    let stack = Stack::start_with(
        Options::with_latency(Duration::from_millis(200)),
        postgres.url(),
    )
    .await
    .unwrap();
    stack.ledger.migrate().await.unwrap();
    let _worker = stack.worker().unwrap();
    let before = stack.enqueue(&prompts(50)).await.unwrap();
    stack.outcomes(&before).await.unwrap();

    let away = size(Duration::ZERO, Duration::from_secs(20));
    let stopped = Instant::now();
    postgres.stop().await.unwrap();
    let mut done = 0;
    while done == 0 || stopped.elapsed() < away {
        let during = stack.enqueue(&prompts(200)).await.unwrap();
        let outcomes = stack.outcomes(&during).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.success), "jobs run");
        done += outcomes.len();
    }
    assert!(
        stack.broker.events().unrecorded_count().await.unwrap() > 0,
        "the events wait in Redis"
    );

    postgres.restart().await.unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 50 + done, "the ledger is complete");
}

fn with_short_heartbeat(latency: Duration) -> Options {
    Options {
        latency,
        env: vec![
            (
                "LONGSHORE_LIVENESS_HEARTBEAT_EVERY".to_owned(),
                "300ms".to_owned(),
            ),
            (
                "LONGSHORE_LIVENESS_HEARTBEAT_TTL".to_owned(),
                "1s".to_owned(),
            ),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_redis_cost_no_living_worker_its_jobs() {
    let mut stack = Stack::start(with_short_heartbeat(Duration::from_secs(20)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    stack.acknowledge_only_durable_writes().await.unwrap();
    let ids = stack.enqueue(&prompts(20)).await.unwrap();
    stack.wait_for_calls(20).await.unwrap();
    for _ in 0..3 {
        stack.redis.kill().unwrap();
        // Longer than a heartbeat lives: the keys of all workers have expired when Redis is back.
        tokio::time::sleep(Duration::from_secs(3)).await;
        stack.redis.restart().await.unwrap();
        // As the first round of a new leader does, before the workers have reconnected.
        let recover = async || {
            let (workers, queue) = (stack.broker.workers(), QueueName::default());
            Ok(workers.recover(&queue, Duration::from_secs(1)).await?)
        };
        let recovered = eventually("Redis answers", recover).await.unwrap();
        assert_eq!(recovered.entries, 0, "{recovered:?}");
    }
    for outcome in stack.successes(&ids).await.unwrap() {
        assert_eq!(outcome.attempts, 1, "{outcome:?}");
    }
    assert_eq!(
        stack.simulator.stats().requests,
        20,
        "each job is called once"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.count(AttemptOutcome::Lost), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_three_times_is_a_dead_letter() {
    let stack = Stack::start(with_short_heartbeat(Duration::from_mins(1)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let id = stack.xadd(&[("prompt", "poison")]).await.unwrap();
    for _ in 0..3 {
        let mut worker = stack.worker().unwrap();
        stack.wait_for_calls(1).await.unwrap();
        worker.kill().unwrap();
        eventually("the call is over", || async {
            if stack.simulator.stats().in_flight > 0 {
                bail!("it is not");
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    let _worker = stack.worker().unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(
        outcome.error_class.as_deref(),
        Some("poison"),
        "{outcome:?}"
    );
    assert_eq!(outcome.attempts, 3);
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.count(AttemptOutcome::Lost), 3, "all three are listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_workers_before_its_job_begins_is_a_dead_letter() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let id = stack.xadd(&[("prompt", "poison")]).await.unwrap();
    let queues = [QueueName::default()];
    let doomed = WorkerId::from_stored("doomed");
    for _ in 0..6 {
        let mut reader = stack
            .broker
            .queues()
            .reader(&queues, &doomed)
            .await
            .unwrap();
        let wait = Duration::from_millis(1);
        let read = reader.read(10, wait, EntrySource::All).await.unwrap();
        assert_eq!(read.len(), 1);
        let workers = stack.broker.workers();
        workers.recover(&queues[0], Duration::ZERO).await.unwrap();
    }
    let _worker = stack.worker().unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(outcome.error_class.as_deref(), Some("poison"));
    assert_eq!(
        outcome.error.as_deref(),
        Some("6 workers died before they began this job")
    );
    assert_eq!(stack.simulator.stats().requests, 0);
    let left: u64 = stack
        .connection()
        .await
        .unwrap()
        .exists(stack.broker.keys().unbegun())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_killed_scheduler() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut leader = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    let first = stack
        .xadd(&[("prompt", "now"), ("delay", "0.5")])
        .await
        .unwrap();
    assert!(stack.outcome(&first).await.unwrap().success);
    let _standby = stack.scheduler().unwrap();
    leader.kill().unwrap();
    let second = stack
        .xadd(&[("prompt", "then"), ("delay", "0.5")])
        .await
        .unwrap();
    assert!(stack.outcome(&second).await.unwrap().success);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_dead_letters_are_archived_before_they_are_removed() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let worker = stack.worker().unwrap();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stack.xadd(&[("type", "research")]).await.unwrap());
    }
    stack.outcomes(&ids).await.unwrap();
    stack.recorded().await.unwrap();
    worker.shut_down().await.unwrap();
    stack.set_env("LONGSHORE_RETENTION_DEAD_LETTERS_MAX", "2");
    let _scheduler = stack.scheduler().unwrap();
    eventually("three are removed", || async {
        match stack.broker.dead_letters().count().await? {
            2 => Ok(()),
            dead => bail!("{dead} are there"),
        }
    })
    .await
    .unwrap();
    for (at, id) in ids.iter().enumerate() {
        let rows = stack.ledger.job(id).await.unwrap().unwrap().dead_letters;
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!(
            row.letter.is_some(),
            at < 3,
            "the oldest three are archived whole"
        );
    }
}
