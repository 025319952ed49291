//! An attempt is journalled before it can cost anything.

use std::collections::BTreeMap;

use longshore_broker::{Begun, Consumed, Fence};
use longshore_protocol::id::AttemptId;

use super::room::{BEGUN, Room, ending, limit, stored};

#[tokio::test]
async fn an_attempt_is_journalled_with_its_event_for_a_dead_worker() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(room.begin(&held, &job, attempt, None).await, BEGUN);

    let journal = BTreeMap::from([(
        held.entry_id.to_string(),
        format!("{attempt} a 0 0 lost {attempt}"),
    )]);
    assert_eq!(room.hash("inflight").await, journal);
    let begun = room
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some((attempt.to_string(), "a".to_owned())));
    assert_eq!(room.events().await, []);
}

#[tokio::test]
async fn beginning_an_attempt_twice_equals_once() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    let (attempt, key) = (AttemptId::new(), limit("k", 1));
    assert_eq!(room.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    let before = room.snapshot().await;
    assert_eq!(room.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn the_next_attempt_replaces_the_last_in_the_journal() {
    let room = Room::new().await;
    let (held, job, first) = room.running("a").await;
    let _fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            first,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    let second = AttemptId::new();
    assert_eq!(room.begin(&held, &job, second, None).await, BEGUN);
    let begun = room
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some((second.to_string(), "a".to_owned())));
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(first))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(second))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn a_cancelled_job_does_not_begin() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    let before = room.snapshot().await;
    let key = limit("k", 1);
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        Begun::Cancelled
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_cannot_begin() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    room.steal(&held, "b").await;
    let before = room.snapshot().await;
    let key = limit("k", 1);
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        Begun::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn an_ended_job_does_not_begin_again() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    let before = room.snapshot().await;
    assert_eq!(room.begin(&held, &job, attempt, None).await, Begun::Lost);
    assert_eq!(room.snapshot().await, before);
}
