//! A failed attempt that is followed by another of the same delivery.

use std::collections::BTreeMap;

use longshore_broker::{Consumed, Fence};
use longshore_protocol::id::AttemptId;

use super::room::{BEGUN, Room, limit, stored};

#[tokio::test]
async fn a_failed_attempt_is_recorded_and_the_delivery_kept() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    let (attempt, key) = (AttemptId::new(), limit("k", 1));
    assert_eq!(room.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    let fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            Some(&key),
            stored("{\"tries\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);

    assert_eq!(room.events().await, [("failed".to_owned(), false)]);
    let begun = room
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some(("-".to_owned(), "a".to_owned())));
    let checkpoint = BTreeMap::from([(held.entry_id.to_string(), "{\"tries\":1}".to_owned())]);
    assert_eq!(room.hash("checkpoints").await, checkpoint);
    assert_eq!(
        room.hash("key:k").await.into_keys().collect::<Vec<_>>(),
        [held.entry_id.as_str()]
    );
    assert_eq!(
        room.pending().await,
        BTreeMap::from([(held.entry, "a".to_owned())])
    );
}

#[tokio::test]
async fn the_same_failure_twice_is_recorded_once() {
    let room = Room::new().await;
    let (held, _, attempt) = room.running("a").await;
    let fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    let before = room.snapshot().await;
    let fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn the_failure_of_a_recovered_attempt_is_recorded_as_duplicate() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let held_by_b = room.read_one("b").await.delivery;
    for begun in [false, true] {
        if begun {
            assert_eq!(
                room.begin(&held_by_b, &job, AttemptId::new(), None).await,
                BEGUN
            );
        }
        let before = room.snapshot_but_events().await;
        let fence = room
            .broker
            .deliveries()
            .fail(
                &held,
                attempt,
                stored("failed"),
                None,
                stored("{}"),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        assert_eq!(fence, Fence::Lost);
        assert_eq!(room.snapshot_but_events().await, before);
        assert_eq!(
            room.events().await.last(),
            Some(&("failed".to_owned(), true))
        );
    }
}

/// A worker whose heartbeat was late may get its own job again and run it beside the old run.
#[tokio::test]
async fn a_stale_run_does_not_claim_the_failure_of_a_newer_one() {
    let room = Room::new().await;
    let (held, job, old) = room.running("a").await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let again = room.read_one("a").await.delivery;
    let new = AttemptId::new();
    assert_eq!(room.begin(&again, &job, new, None).await, BEGUN);
    let fence = room
        .broker
        .deliveries()
        .fail(
            &again,
            new,
            stored("new failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);

    let before = room.snapshot_but_events().await;
    let fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            old,
            stored("old failed"),
            None,
            stored("{\"old\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Lost);
    assert_eq!(room.snapshot_but_events().await, before);
    assert_eq!(
        room.events().await.last(),
        Some(&("old failed".to_owned(), true))
    );
}
