//! Entries of dead workers are recovered, and their spending is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_broker::{Consumed, Fence, HeartbeatConnection, Recovered};
use longshore_protocol::{
    id::{AttemptId, QueueName},
    serialized::Serialized,
};
use longshore_tests::stack::eventually;
use secrecy::SecretString;

use super::room::{BEGUN, Room, ending, id, prompt, stored};

#[tokio::test]
async fn the_jobs_of_a_live_worker_are_not_recovered() {
    let room = Room::new().await;
    room.alive("a").await;
    let (held, job, attempt) = room.running("a").await;
    let before = room.snapshot().await;
    assert_eq!(
        room.broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(room.snapshot().await, before);
    assert_eq!(
        room.broker
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
    let room = Room::new().await;
    let (_, _, _) = room.running("a").await;
    room.alive("a").await;
    let before = room.snapshot().await;
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
    let prefix = room.broker.keys().prefix();
    let answer: (i64, i64) = room
        .ask(&[
            "EVAL",
            script,
            "1",
            &room.stream(),
            prefix,
            "default",
            "a",
            "10",
        ])
        .await;
    assert_eq!(answer, (-1, 0));
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn an_attempt_in_flight_is_lost_and_counts_as_a_crash() {
    let room = Room::new().await;
    let (held, _, attempt) = room.running("a").await;
    let (idle, _) = room.job("a").await;
    let recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let all = Recovered {
        workers: 1,
        entries: 2,
        lost: 1,
    };
    assert_eq!(recovered, all);
    assert_eq!(room.events().await, [(format!("lost {attempt}"), false)]);
    assert!(room.hash("inflight").await.is_empty());
    let delivered = room.read("b", 10).await;
    let crashes: Vec<_> = delivered
        .iter()
        .map(|one| (&one.delivery.entry_id, one.crashes))
        .collect();
    assert_eq!(crashes, [(&held.entry_id, 1), (&idle.entry_id, 0)]);
}

#[tokio::test]
async fn a_pause_between_attempts_is_no_crash() {
    let room = Room::new().await;
    let (held, _, attempt) = room.running("a").await;
    let _fence = room
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
    let recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((recovered.entries, recovered.lost), (1, 0));
    assert_eq!(room.events().await, [("failed".to_owned(), false)]);
    let delivered = room.read_one("b").await;
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
    let room = Room::new().await;
    let (mut held, job, _) = room.running("a").await;
    for crashes in 1..=3 {
        let recovered = room
            .broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(recovered.lost, 1);
        let delivered = room.read_one("a").await;
        assert_eq!(
            (delivered.crashes, &delivered.delivery.entry_id),
            (crashes, &held.entry_id)
        );
        held = delivered.delivery;
        assert_eq!(room.begin(&held, &job, AttemptId::new(), None).await, BEGUN);
    }
}

#[tokio::test]
async fn recovering_twice_equals_once() {
    let room = Room::new().await;
    room.running("a").await;
    let recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(recovered.entries, 1);
    let before = room.snapshot().await;
    assert_eq!(
        room.broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_dead_worker_without_entries_is_removed() {
    let room = Room::new().await;
    room.alive("b").await;
    let (held, job, attempt) = room.running("a").await;
    let (_, _, _) = room.running("b").await;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        room.consumers().await,
        BTreeSet::from(["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(
        room.broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    assert_eq!(room.consumers().await, BTreeSet::from(["b".to_owned()]));
}

#[tokio::test]
async fn a_dead_worker_is_removed_only_when_all_its_entries_are_recovered() {
    let room = Room::new().await;
    let all = 450;
    for n in 0..all {
        room.enqueue(&prompt(&n.to_string())).await;
    }
    let left = room.read("a", all).await;
    assert_eq!(left.len(), all);
    let recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        (recovered.workers, recovered.entries, recovered.lost),
        (1, all, 0)
    );
    assert_eq!(
        room.consumers().await,
        BTreeSet::from(["returned".to_owned()])
    );
    let again: Vec<_> = room
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
    let room = Room::new().await;
    room.alive("b").await;
    let (dead, _, _) = room.running("a").await;
    let (held, job, attempt) = room.running("b").await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let places = BTreeMap::from([
        (dead.entry, "returned".to_owned()),
        (held.entry.clone(), "b".to_owned()),
    ]);
    assert_eq!(room.pending().await, places);
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn a_deleted_entry_does_not_block_recovery() {
    let room = Room::new().await;
    let (gone, _, _) = room.running("a").await;
    let (held, _) = room.job("a").await;
    let () = room.ask(&["XDEL", &room.stream(), &gone.entry]).await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(room.read_one("b").await.delivery.entry_id, held.entry_id);
    assert!(!room.consumers().await.contains("a"));
    assert_eq!(
        room.events().await.len(),
        1,
        "what it may have spent is recorded"
    );
}

#[tokio::test]
async fn a_recovered_worker_can_work_again() {
    let room = Room::new().await;
    let (held, _, attempt) = room.running("a").await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert!(
        room.broker
            .deliveries()
            .held_by(&room.queue, &id("a"))
            .await
            .unwrap()
            .is_empty()
    );
    room.alive("a").await;
    let again = room.read_one("a").await;
    assert_eq!(again.delivery.entry_id, held.entry_id);
    let fence = room
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
    let room = Room::new().await;
    let nowhere = QueueName::parse("nowhere").unwrap();
    assert_eq!(
        room.broker
            .workers()
            .recover(&nowhere, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
    room.enqueue(&prompt("nobody read it yet")).await;
    assert_eq!(
        room.broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap(),
        Recovered::default()
    );
}

#[tokio::test]
async fn a_worker_is_dead_once_its_heartbeat_was_missing_for_long_enough() {
    let room = Room::new().await;
    let (_held, _job, _attempt) = room.running("a").await;
    let least = Duration::from_millis(400);
    let recover = async || {
        let recovered = room.broker.workers().recover(&room.queue, least).await;
        recovered.unwrap().entries
    };
    // The first check proves nothing: the key may have expired while Redis stalled.
    assert_eq!(recover().await, 0);
    // A heartbeat, and the time starts again.
    let () = room.ask(&["HDEL", &room.key("workers:missing"), "a"]).await;
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
    let room = Room::new().await;
    let (_held, _job, _attempt) = room.running("a").await;
    let now = room.broker.server().time_ms().await.unwrap();
    let (first, last) = (now - 60_000, now - 30_000);
    let seen = format!("{first} {last} run");
    let () = room
        .ask(&["HSET", &room.key("workers:missing"), "a", &seen])
        .await;
    let least = Duration::from_secs(10);
    let recovered = room.broker.workers().recover(&room.queue, least).await;
    assert_eq!(recovered.unwrap().entries, 0);
}

#[tokio::test]
async fn what_a_stopped_worker_holds_is_recovered_at_once() {
    let room = Room::new().await;
    let (_held, _job, _attempt) = room.running("a").await;
    let (url, keys) = (room.url.clone(), room.broker.keys().clone());
    tokio::task::spawn_blocking(move || {
        let url = SecretString::from(url);
        let ttl = Duration::from_mins(1);
        HeartbeatConnection::new(&url, &keys, &id("a"), ttl)
            .unwrap()
            .stop()
    })
    .await
    .unwrap()
    .unwrap();
    let least = Duration::from_mins(1);
    let recovered = room.broker.workers().recover(&room.queue, least).await;
    assert_eq!(recovered.unwrap().entries, 1);
}
