//! Maintenance by the leader: the orphan sweep and retention.

use std::time::Duration;

use anyhow::ensure;
use longshore_broker::{Broker, OrphansRemoved};
use longshore_ledger::Prunable;
use longshore_protocol::{
    clock::local_time,
    id::{AttemptId, WorkerId},
};
use longshore_tests::stack::{Options, Stack, eventually, expect_success};

use crate::scripts::fixture::{BEGUN, Fixture, limit};

async fn sweep(broker: &Broker) -> OrphansRemoved {
    let (mut sweeping, mut swept) = broker.maintenance().begin_sweep().await.unwrap();
    while !sweeping.is_over() {
        swept = swept.and(
            broker
                .maintenance()
                .continue_sweep(&mut sweeping)
                .await
                .unwrap(),
        );
    }
    swept
}

#[tokio::test]
async fn held_resources_are_not_swept() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (second, waits) = fixture.job("a").await;
    fixture
        .begin(&second, &waits, AttemptId::new(), Some(&key))
        .await;
    fixture.job("a").await;
    let before = fixture.snapshot().await;
    assert_eq!(sweep(&fixture.broker).await, OrphansRemoved::default());
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn orphans_are_released() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = fixture.running("a").await;
    let (second, keyed) = fixture.job("a").await;
    let begun = fixture
        .begin(&second, &keyed, AttemptId::new(), Some(&key))
        .await;
    assert_eq!(begun, BEGUN);
    let (third, waits) = fixture.job("a").await;
    fixture
        .begin(&third, &waits, AttemptId::new(), Some(&key))
        .await;
    // Entries are deleted by hand, and state is written that no script writes.
    let () = fixture
        .ask(&["XDEL", &fixture.stream(), &held.entry, &second.entry])
        .await;
    for (hash, field) in [
        ("slots:slots:openai", "1-1"),
        ("key:gone", "1-4"),
        ("checkpoints", "1-2"),
        ("crashes", "1-3"),
        ("unbegun", "1-5"),
    ] {
        let () = fixture.ask(&["HSET", &fixture.key(hash), field, "7"]).await;
    }
    // Some wait for replies; one of the jobs and one of the chains are still known.
    for (field, waiting) in [
        ("gone", "1"),
        ("~gone", "@alice 1"),
        ("~~gone", "@alice 1"),
        ("known", "1"),
        ("~known", "@alice 1"),
        ("chain:1", "1"),
    ] {
        let () = fixture
            .ask(&["HSET", &fixture.key("replies:waiting"), field, waiting])
            .await;
    }
    let () = fixture
        .ask(&["SET", &fixture.key("id:known"), "hash 1-0"])
        .await;
    let () = fixture
        .ask(&["HSET", &fixture.key("chain:chain%3A1"), "state", "running"])
        .await;
    let () = fixture
        .ask(&["RPUSH", &fixture.key("lane:quota:rpm:x"), "nobody"])
        .await;

    let swept = sweep(&fixture.broker).await;
    let mut journal = swept.journal.clone();
    journal.sort();
    assert_eq!(
        journal,
        [held.entry_id.to_string(), second.entry_id.to_string()]
    );
    assert_eq!(swept.slots, ["slots:openai 1-1"]);
    assert_eq!(swept.holders, ["gone 1-4"]);
    assert_eq!(swept.memory.len(), 3);
    let mut replies = swept.replies.clone();
    replies.sort();
    assert_eq!(replies, ["gone", "~gone", "~~gone"]);
    assert_eq!(swept.lane_ids, 1);
    let lost = (format!("lost {attempt}"), false);
    assert!(
        fixture.events().await.contains(&lost),
        "the call may have been made"
    );
    let woken = fixture.read_one("b").await;
    assert!(
        woken.checkpoint.is_some(),
        "the slot went to {waits}, not to {job}"
    );
    assert_eq!(
        sweep(&fixture.broker).await,
        OrphansRemoved::default(),
        "nothing is left"
    );
}

#[tokio::test]
async fn a_dead_recorder_is_removed_once_others_have_its_facts() {
    let fixture = Fixture::new().await;
    let worker = |name: &str| WorkerId::from_stored(name);
    for name in ["ghost", "idle"] {
        fixture.broker.events().stream(&worker(name)).await.unwrap();
        let events = fixture.key("events");
        let () = fixture
            .ask(&["XGROUP", "CREATECONSUMER", &events, "ledger", name])
            .await;
    }
    let () = fixture
        .ask(&["XADD", &fixture.key("events"), "*", "e", "{}"])
        .await;
    let mut ghost = fixture
        .broker
        .events()
        .stream(&worker("ghost"))
        .await
        .unwrap();
    assert_eq!(
        ghost
            .read(10, Duration::from_millis(1))
            .await
            .unwrap()
            .len(),
        1
    );
    fixture.alive("heir").await;
    assert_eq!(
        sweep(&fixture.broker).await.recorders,
        1,
        "only the one without facts"
    );

    let mut heir = fixture
        .broker
        .events()
        .stream(&worker("heir"))
        .await
        .unwrap();
    let claimed = heir.claim(10, Duration::ZERO).await.unwrap();
    assert_eq!(claimed.len(), 1, "no fact is lost");
    assert_eq!(sweep(&fixture.broker).await.recorders, 1);
    let ids: Vec<String> = claimed.into_iter().map(|fact| fact.id).collect();
    heir.recorded(&ids, &[]).await.unwrap();
    assert_eq!(sweep(&fixture.broker).await.recorders, 0, "the heir lives");
}

/// Writes a slot whose holder does not exist, and waits until a sweep has released it.
pub(crate) async fn wait_for_sweep(stack: &Stack) {
    let slots = format!("{}slots:openai", stack.broker.keys().slots_prefix());
    let mut connection = stack.connection().await.unwrap();
    redis::cmd("HSET")
        .arg(&slots)
        .arg("1-1")
        .arg("ghost")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    eventually("the slot is released", || async {
        let there: bool = redis::AsyncCommands::exists(&mut connection.clone(), &slots).await?;
        ensure!(!there, "it is held still");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_releases_an_orphaned_slot() {
    let stack = Stack::start(Options::with_latency(Duration::from_millis(50)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    wait_for_sweep(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_jobs_leave_the_ledger_and_their_costs_stay() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let worker = stack.worker().unwrap();
    let ids = stack
        .enqueue(&vec![r#"{"prompt":"x"}"#.to_owned(); 30])
        .await
        .unwrap();
    let waits = stack
        .xadd(&[("prompt", "x"), ("delay", "3600")])
        .await
        .unwrap();
    stack.outcomes(&ids).await.unwrap();
    stack.recorded().await.unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    let last = stack
        .ledger
        .job(ids.last().unwrap())
        .await
        .unwrap()
        .unwrap();
    let ended = last.row.job.finished_at.unwrap();
    eventually("all of them are old", || async {
        ensure!((local_time() - ended).num_seconds() >= 2);
        Ok(())
    })
    .await
    .unwrap();
    worker.shut_down().await.unwrap();
    stack.set_env("LONGSHORE_RETENTION_JOBS", "1s");
    let _scheduler = stack.scheduler().unwrap();
    eventually("they have left", || async {
        for id in &ids {
            ensure!(stack.ledger.job(id).await?.is_none(), "{id} is there");
        }
        Ok(())
    })
    .await
    .unwrap();
    assert!(
        stack.ledger.job(&waits).await.unwrap().is_some(),
        "it has not ended"
    );
    let after = stack.books().await.unwrap();
    after.balance();
    assert_eq!(
        after.ledger.len(),
        30,
        "attempts are kept for ever unless somebody says otherwise"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_rows_leave_in_batches_and_jobs_still_in_redis_stay() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let ids = stack
        .enqueue(&vec![r#"{"prompt":"x"}"#.to_owned(); 25])
        .await
        .unwrap();
    let gone = stack.xadd(&[("type", "research")]).await.unwrap();
    stack.outcomes(&ids).await.unwrap();
    stack.outcome(&gone).await.unwrap();
    stack.recorded().await.unwrap();
    let purge = ["dlq", "purge", "--all", "--yes"];
    expect_success(stack.longshore(&purge).await.unwrap());
    let stays = stack.xadd(&[("type", "research")]).await.unwrap();
    stack.outcome(&stays).await.unwrap();
    stack.recorded().await.unwrap();

    let later = local_time() + Duration::from_hours(1);
    let ledger = &stack.ledger;
    let steps = [
        ledger.prune(Prunable::Attempts, later, 20).await.unwrap(),
        ledger.prune(Prunable::Attempts, later, 20).await.unwrap(),
        ledger
            .prune(Prunable::DeadLetters, later, 20)
            .await
            .unwrap(),
    ];
    assert_eq!(steps, [20, 5, 1]);
    let letters = |id| async move { ledger.job(id).await.unwrap().unwrap().dead_letters.len() };
    assert_eq!((letters(&gone).await, letters(&stays).await), (0, 1));

    let bad = stack.broker.keys().bad_events();
    redis::cmd("XADD")
        .arg(&bad)
        .arg("*")
        .arg("e")
        .arg("x")
        .query_async::<()>(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    let forget = |before: i64| stack.broker.events().remove_bad(before, 10);
    assert_eq!(forget(1).await.unwrap(), 0);
    assert_eq!(forget(later.timestamp_millis()).await.unwrap(), 1);
}

/// The partitions of attempts that hold rows, and the number of all partitions.
async fn partitions(stack: &Stack) -> (Vec<String>, i64) {
    let pool = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let used = "SELECT DISTINCT tableoid::regclass::text FROM attempts";
    let used = sqlx::query_scalar(used).fetch_all(&pool).await.unwrap();
    let all = "SELECT count(*) FROM attempt_partitions";
    let all = sqlx::query_scalar(all).fetch_one(&pool).await.unwrap();
    pool.close().await;
    (used, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_makes_partitions_of_attempts() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let run = async || {
        let ids = stack
            .enqueue(&vec![r#"{"prompt":"x"}"#.to_owned(); 10])
            .await
            .unwrap();
        stack.outcomes(&ids).await.unwrap();
        stack.recorded().await.unwrap();
    };
    run().await;
    let (used, all) = partitions(&stack).await;
    assert_eq!((used, all), (vec!["attempts_default".to_owned()], 1));

    let _scheduler = stack.scheduler().unwrap();
    eventually("there are partitions ahead", || async {
        let (used, all) = partitions(&stack).await;
        ensure!(used.len() == 1 && used[0].starts_with("attempts_until_"));
        ensure!(all >= 3, "{all}");
        Ok(())
    })
    .await
    .unwrap();
    run().await;
    let before = partitions(&stack).await;
    assert_eq!(before.0.len(), 1, "{before:?}");
    expect_success(stack.longshore(&["migrate"]).await.unwrap());
    assert_eq!(partitions(&stack).await, before);
    stack.books().await.unwrap().balance();
}
