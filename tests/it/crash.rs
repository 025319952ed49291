//! Processes die, freeze and are told to go; jobs do not notice, and the books balance.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::bail;
use longshore::local::Signal;
use longshore_protocol::{
    id::QueueName,
    state::{AttemptOutcome, JobState},
};
use longshore_tests::stack::{Options, Stack, eventually};

use crate::measured::size;

fn jobs(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect()
}

async fn in_mid_call(stack: &Stack, count: u64) {
    eventually("calls are in flight", || async {
        match stack.simulator.stats().in_flight {
            calls if calls >= count => Ok(()),
            calls => bail!("{calls} calls are in flight"),
        }
    })
    .await
    .unwrap();
}

fn slow(latency: Duration) -> Options {
    Options {
        latency,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_nothing_and_settles_nothing_twice() {
    let stack = Stack::start(slow(Duration::from_secs(2))).await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut doomed = stack.worker().unwrap();
    let ids = stack.enqueue(&jobs(200)).await.unwrap();
    in_mid_call(&stack, 100).await;
    let _heir = stack.worker().unwrap();
    doomed.kill().unwrap();

    let outcomes = stack.outcomes(&ids).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.success));
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
    let depth = stack.broker.depth(&QueueName::default()).await.unwrap();
    assert_eq!((depth.available, depth.running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_scheduler_runs_a_worker_recovers_the_dead() {
    let stack = Stack::start(slow(Duration::from_secs(1))).await.unwrap();
    let mut doomed = stack.worker().unwrap();
    let ids = stack.enqueue(&jobs(10)).await.unwrap();
    in_mid_call(&stack, 10).await;
    doomed.kill().unwrap();
    let _heir = stack.worker().unwrap();
    assert!(
        stack
            .outcomes(&ids)
            .await
            .unwrap()
            .iter()
            .all(|outcome| outcome.success)
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_that_wakes_up_changes_nothing_but_its_spend_is_recorded() {
    let stack = Stack::start(Options {
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
    let ids = stack.enqueue(&jobs(20)).await.unwrap();
    in_mid_call(&stack, 20).await;
    frozen.signal(Signal::SIGSTOP).unwrap();
    let _heir = stack.worker().unwrap();
    let outcomes = stack.outcomes(&ids).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.success));

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
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 40, "every call, each once");
    assert_eq!(
        books.count(AttemptOutcome::Lost),
        0,
        "what was thought lost came back as duplicate"
    );
    assert_eq!(
        stack.outcomes(&ids).await.unwrap(),
        outcomes,
        "no outcome changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_go_finishes_what_it_has() {
    let stack = Stack::start(slow(Duration::from_secs(1))).await.unwrap();
    let mut worker = stack.worker().unwrap();
    let ids = stack.enqueue(&jobs(50)).await.unwrap();
    in_mid_call(&stack, 50).await;
    worker.signal(Signal::SIGTERM).unwrap();
    let status = worker.wait().await.unwrap();
    assert!(status.success(), "{status}: {}", worker.log_tail());
    let ended = stack.broker.outcomes(&ids).await.unwrap();
    assert_eq!(
        ended.iter().flatten().count(),
        50,
        "all were settled before it went"
    );
    assert_eq!(stack.broker.unrecorded().await.unwrap(), 0, "and recorded");
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 50, "nothing ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_period_is_handed_back() {
    let mut options = slow(Duration::from_secs(5));
    options
        .env
        .push(("LONGSHORE_GRACE".to_owned(), "1s".to_owned()));
    let stack = Stack::start(options).await.unwrap();
    let mut worker = stack.worker().unwrap();
    let ids = stack.enqueue(&jobs(5)).await.unwrap();
    in_mid_call(&stack, 5).await;
    worker.signal(Signal::SIGTERM).unwrap();
    assert!(worker.wait().await.unwrap().success());
    let _heir = stack.worker().unwrap();
    let outcomes = stack.outcomes(&ids).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.success));
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
async fn a_redis_that_is_killed_and_comes_back_loses_no_job() {
    let mut stack = Stack::start(slow(Duration::from_millis(300)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    stack.acknowledge_what_is_on_disk().await.unwrap();
    let ids = stack.enqueue(&jobs(100)).await.unwrap();
    assert!(stack.outcome(&ids[0]).await.unwrap().success);
    let late = stack.enqueue(&jobs(50)).await.unwrap();
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
    let more = stack.enqueue(&jobs(50)).await.unwrap();
    assert!(
        stack
            .outcomes(&more)
            .await
            .unwrap()
            .iter()
            .all(|outcome| outcome.success)
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_go_away_in_mid_run() {
    let mut postgres = longshore_tests::stack::own_postgres().await.unwrap();
    let stack = Stack::start_with(slow(Duration::from_millis(200)), postgres.url())
        .await
        .unwrap();
    stack.ledger.migrate().await.unwrap();
    let _worker = stack.worker().unwrap();
    let before = stack.enqueue(&jobs(50)).await.unwrap();
    stack.outcomes(&before).await.unwrap();

    let away = size(Duration::ZERO, Duration::from_secs(20));
    let stopped = Instant::now();
    postgres.stop().await.unwrap();
    let mut done = 0;
    while done == 0 || stopped.elapsed() < away {
        let during = stack.enqueue(&jobs(200)).await.unwrap();
        let outcomes = stack.outcomes(&during).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.success), "jobs go on");
        done += outcomes.len();
    }
    assert!(
        stack.broker.unrecorded().await.unwrap() > 0,
        "the facts wait in Redis"
    );

    postgres.restart().await.unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 50 + done, "the ledger is complete");
}

fn watchful(latency: Duration) -> Options {
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
async fn a_job_that_kills_its_worker_three_times_is_a_dead_letter() {
    let stack = Stack::start(watchful(Duration::from_mins(1)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let id = stack.xadd(&[("prompt", "poison")]).await.unwrap();
    for _ in 0..3 {
        let mut worker = stack.worker().unwrap();
        in_mid_call(&stack, 1).await;
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
async fn dead_letters_past_their_time_are_archived_before_they_leave() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let worker = stack.worker().unwrap();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stack.xadd(&[("type", "research")]).await.unwrap());
    }
    stack.outcomes(&ids).await.unwrap();
    stack.recorded().await.unwrap();
    drop(worker);
    stack.set_env("LONGSHORE_RETENTION_DEAD_LETTERS_MAX", "2");
    let _scheduler = stack.scheduler().unwrap();
    eventually("three have left", || async {
        match stack.broker.dead_count().await? {
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
