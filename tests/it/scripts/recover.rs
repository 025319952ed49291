//! Entries of dead workers are recovered, and their spending is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_broker::{Consumed, Fence, HeartbeatConnection, Recovered};
use longshore_protocol::{
    id::{AttemptId, JobId, QueueName},
    serialized::Serialized,
};
use longshore_tests::stack::eventually;

use super::fixture::{BEGUN, Fixture, ending, id, prompt, stored};

#[tokio::test]
async fn the_jobs_of_a_live_worker_are_not_recovered() {
    let fixture = Fixture::new().await;
    fixture.alive("a").await;
    let (held, job, attempt) = fixture.running("a").await;
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(fixture.snapshot().await, before);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
}

/// The broker checks who is alive before the call; the script checks again.
#[tokio::test]
async fn a_last_moment_heartbeat_prevents_recovery() {
    let fixture = Fixture::new().await;
    let (_, _, _) = fixture.running("a").await;
    fixture.alive("a").await;
    let before = fixture.snapshot().await;
    let script = concat!(
        include_str!("../../../shared/broker/lua/include/prelude.lua"),
        include_str!("../../../shared/broker/lua/include/events.lua"),
        include_str!("../../../shared/broker/lua/include/entries.lua"),
        include_str!("../../../shared/broker/lua/include/journal.lua"),
        include_str!("../../../shared/broker/lua/include/lanes.lua"),
        include_str!("../../../shared/broker/lua/include/meters.lua"),
        include_str!("../../../shared/broker/lua/include/consumption.lua"),
        include_str!("../../../shared/broker/lua/recover.lua")
    );
    let prefix = fixture.broker.keys().prefix();
    let answer: (i64, i64) = fixture
        .ask(&[
            "EVAL",
            script,
            "1",
            &fixture.stream(),
            prefix,
            "default",
            "a",
            "10",
        ])
        .await;
    assert_eq!(answer, (-1, 0));
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn an_attempt_in_flight_is_lost_and_counts_as_a_crash() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let (idle, _) = fixture.job("a").await;
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let all = Recovered {
        workers: 1,
        entries: 2,
        lost: 1,
    };
    assert_eq!(recovered, all);
    assert_eq!(fixture.events().await, [(format!("lost {attempt}"), false)]);
    assert!(fixture.hash("inflight").await.is_empty());
    let delivered = fixture.read("b", 10).await;
    let crashes: Vec<_> = delivered
        .iter()
        .map(|one| (&one.delivery.entry_id, one.crashes))
        .collect();
    assert_eq!(crashes, [(&held.entry_id, 1), (&idle.entry_id, 0)]);
}

#[tokio::test]
async fn a_pause_between_attempts_is_no_crash() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let _fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{\"tries\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((recovered.entries, recovered.lost), (1, 0));
    assert_eq!(fixture.events().await, [("failed".to_owned(), false)]);
    let delivered = fixture.read_one("b").await;
    assert_eq!(
        (
            delivered.crashes,
            delivered.checkpoint.as_ref().map(Serialized::as_str)
        ),
        (0, Some("{\"tries\":1}"))
    );
}

#[tokio::test]
async fn crashes_of_an_entry_add_up() {
    let fixture = Fixture::new().await;
    let (mut held, job, _) = fixture.running("a").await;
    for crashes in 1..=3 {
        let recovered = fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(recovered.lost, 1);
        let delivered = fixture.read_one("a").await;
        assert_eq!(
            (delivered.crashes, &delivered.delivery.entry_id),
            (crashes, &held.entry_id)
        );
        held = delivered.delivery;
        assert_eq!(
            fixture.begin(&held, &job, AttemptId::new(), None).await,
            BEGUN
        );
    }
}

#[tokio::test]
async fn recovering_twice_equals_once() {
    let fixture = Fixture::new().await;
    fixture.running("a").await;
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(recovered.entries, 1);
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_dead_worker_without_entries_is_removed() {
    let fixture = Fixture::new().await;
    fixture.alive("b").await;
    let (held, job, attempt) = fixture.running("a").await;
    let (_, _, _) = fixture.running("b").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        fixture.consumers().await,
        BTreeSet::from(["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(fixture.consumers().await, BTreeSet::from(["b".to_owned()]));
}

#[tokio::test]
async fn a_dead_worker_is_removed_only_when_all_its_entries_are_recovered() {
    let fixture = Fixture::new().await;
    let all = 450;
    for n in 0..all {
        fixture.enqueue(&prompt(&n.to_string())).await;
    }
    let left = fixture.read("a", all).await;
    assert_eq!(left.len(), all);
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        (recovered.workers, recovered.entries, recovered.lost),
        (1, all, 0)
    );
    assert_eq!(
        fixture.consumers().await,
        BTreeSet::from(["returned".to_owned()])
    );
    let again: Vec<_> = fixture
        .read("b", all)
        .await
        .into_iter()
        .map(|one| one.delivery.entry)
        .collect();
    assert_eq!(
        again,
        left.into_iter()
            .map(|one| one.delivery.entry)
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn entries_of_other_workers_are_not_recovered() {
    let fixture = Fixture::new().await;
    fixture.alive("b").await;
    let (dead, _, _) = fixture.running("a").await;
    let (held, job, attempt) = fixture.running("b").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let pending = BTreeMap::from([
        (dead.entry, "returned".to_owned()),
        (held.entry.clone(), "b".to_owned()),
    ]);
    assert_eq!(fixture.pending().await, pending);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn a_deleted_entry_does_not_block_recovery() {
    let fixture = Fixture::new().await;
    let (gone, _, _) = fixture.running("a").await;
    let (held, _) = fixture.job("a").await;
    let () = fixture.ask(&["XDEL", &fixture.stream(), &gone.entry]).await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(fixture.read_one("b").await.delivery.entry_id, held.entry_id);
    assert!(!fixture.consumers().await.contains("a"));
    assert_eq!(
        fixture.events().await.len(),
        1,
        "what it may have spent is recorded"
    );
}

#[tokio::test]
async fn a_recovered_worker_can_work_again() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert!(
        fixture
            .broker
            .deliveries()
            .held_by(&fixture.queue, &id("a"))
            .await
            .unwrap()
            .is_empty()
    );
    fixture.alive("a").await;
    let again = fixture.read_one("a").await;
    assert_eq!(again.delivery.entry_id, held.entry_id);
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("late"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Lost);
}

#[tokio::test]
async fn a_missing_queue_has_nothing_to_recover() {
    let fixture = Fixture::new().await;
    let nowhere = QueueName::parse("nowhere").unwrap();
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&nowhere, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    fixture.enqueue(&prompt("nobody read it yet")).await;
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
}

#[tokio::test]
async fn a_worker_is_dead_once_its_heartbeat_was_missing_for_long_enough() {
    let fixture = Fixture::new().await;
    let (_held, _job, _attempt) = fixture.running("a").await;
    let least = Duration::from_millis(400);
    let recover = async || {
        let recovered = fixture
            .broker
            .workers()
            .recover(&fixture.queue, least)
            .await;
        recovered.unwrap().entries
    };
    // The first check proves nothing: the key may have expired while Redis stalled.
    assert_eq!(recover().await, 0);
    // A heartbeat, and the time starts again.
    let () = fixture
        .ask(&["HDEL", &fixture.key("workers:missing"), "a"])
        .await;
    let missed = std::time::Instant::now();
    let recovered = eventually("it is dead", || async {
        match recover().await {
            0 => anyhow::bail!("it counts as alive"),
            entries => Ok(entries),
        }
    })
    .await
    .unwrap();
    assert_eq!(recovered, 1);
    assert!(missed.elapsed() >= least, "{:?}", missed.elapsed());
}

#[tokio::test]
async fn the_time_of_a_missing_worker_starts_again_after_a_pause_of_the_checks() {
    let fixture = Fixture::new().await;
    let (_held, _job, _attempt) = fixture.running("a").await;
    let now = fixture.broker.server().time_ms().await.unwrap();
    let (first, last) = (now - 60_000, now - 30_000);
    let seen = format!("{first} {last} run");
    let () = fixture
        .ask(&["HSET", &fixture.key("workers:missing"), "a", &seen])
        .await;
    let least = Duration::from_secs(10);
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, least)
        .await;
    assert_eq!(recovered.unwrap().entries, 0);
}

#[tokio::test]
async fn what_a_stopped_worker_holds_is_recovered_at_once() {
    let fixture = Fixture::new().await;
    let (_held, _job, _attempt) = fixture.running("a").await;
    let ttl = Duration::from_mins(1);
    let mut connection = HeartbeatConnection::new(&fixture.broker, &id("a"), ttl);
    connection.stop().await.unwrap();
    let least = Duration::from_mins(1);
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, least)
        .await;
    assert_eq!(recovered.unwrap().entries, 1);
}

/// Worker `a` dies.
async fn die(fixture: &Fixture) {
    let workers = fixture.broker.workers();
    let recovered = workers
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(recovered.workers, 1);
}

#[tokio::test]
async fn an_entry_with_which_workers_die_before_they_begin_it_is_pulled_alone() {
    let fixture = Fixture::new().await;
    let culprit = fixture.enqueue(&prompt("kills")).await;
    for deaths in 0..2 {
        let delivered = fixture.read_one("a").await;
        assert_eq!((delivered.unbegun, delivered.crashes), (deaths, 0));
        die(&fixture).await;
    }
    for _ in 0..3 {
        fixture.enqueue(&prompt("hello")).await;
    }
    let alone = fixture.read("a", 10).await;
    assert_eq!(alone.len(), 1);
    assert_eq!(
        (&alone[0].delivery.entry_id, alone[0].unbegun),
        (&culprit, 2)
    );
    assert_eq!(fixture.read("b", 10).await.len(), 3);

    // An attempt that begins is counted as a crash of its job instead.
    let job = JobId::from_entry(&culprit);
    let begun = fixture.begin(&alone[0].delivery, &job, AttemptId::new(), None);
    assert_eq!(begun.await, BEGUN);
    let workers = fixture.broker.workers();
    let () = fixture.ask(&["SET", &fixture.key("worker:b"), "{}"]).await;
    let recovered = workers.recover(&fixture.queue, std::time::Duration::ZERO);
    assert_eq!(recovered.await.unwrap().lost, 1);
    let delivered = fixture.read_one("a").await;
    assert_eq!((delivered.unbegun, delivered.crashes), (2, 1));
}

#[tokio::test]
async fn a_read_of_large_recovered_messages_stops_after_some_megabytes() {
    let fixture = Fixture::new().await;
    let large = prompt(&"x".repeat(1 << 20));
    for _ in 0..40 {
        fixture.enqueue(&large).await;
    }
    assert_eq!(fixture.read("a", 512).await.len(), 40);
    die(&fixture).await;
    let mut left = 40;
    while left > 0 {
        let read = fixture.read("b", 512).await.len();
        assert!((1..=24).contains(&read), "{read} messages of 1 MiB");
        left -= read;
    }
}
