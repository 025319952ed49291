//! Concurrency keys: a limited number at once, and no slot is ever lost.

use std::collections::BTreeSet;

use longshore_broker::{Begun, Consumed, Delivery, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use super::room::{BEGUN, Room, checkpoint_of, future, limit, parking, stored};

/// A job that took a slot.
pub(super) async fn holder(room: &Room, key: &Concurrency) -> (Delivery, JobId, AttemptId) {
    let (held, job) = room.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(room.begin(&held, &job, attempt, Some(key)).await, BEGUN);
    (held, job, attempt)
}

/// A job that found no free slot and is parked.
pub(super) async fn waiter(room: &Room, key: &Concurrency) -> JobId {
    let (held, job) = room.job("a").await;
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(key)).await,
        Begun::Parked
    );
    job
}

pub(super) async fn holders(room: &Room, key: &str) -> BTreeSet<String> {
    room.hash(&format!("key:{key}")).await.into_keys().collect()
}

pub(super) async fn waiting(room: &Room, key: &str) -> Vec<String> {
    room.ask(&["LRANGE", &room.key(&format!("lane:key:{key}")), "0", "-1"])
        .await
}

pub(super) fn end(attempt: Option<AttemptId>, key: &Concurrency) -> Ending<'_> {
    Ending {
        attempt,
        concurrency: Some(key),
        has_stored_state: true,
        outcome: stored("outcome"),
        ..Ending::default()
    }
}

#[tokio::test]
async fn a_key_has_limited_slots_and_the_rest_are_parked_in_order() {
    let room = Room::new().await;
    let key = limit("k", 2);
    let first = holder(&room, &key).await;
    let second = holder(&room, &key).await;
    let third = waiter(&room, &key).await;
    let fourth = waiter(&room, &key).await;

    let held: BTreeSet<String> = [&first, &second]
        .iter()
        .map(|(held, ..)| held.entry_id.to_string())
        .collect();
    assert_eq!(holders(&room, "k").await, held);
    assert_eq!(waiting(&room, "k").await, [third.as_str(), fourth.as_str()]);
    assert_eq!(
        room.ask::<u64>(&["XLEN", &room.stream()]).await,
        2,
        "who waits is not in the queue"
    );
    assert_eq!(room.pending().await.len(), 2);
}

#[tokio::test]
async fn keys_do_not_affect_each_other() {
    let room = Room::new().await;
    let _one = holder(&room, &limit("k", 1)).await;
    let _other = holder(&room, &limit("l", 1)).await;
    let (held, job) = room.job("a").await;
    assert_eq!(room.begin(&held, &job, AttemptId::new(), None).await, BEGUN);
    waiter(&room, &limit("k", 1)).await;
}

#[tokio::test]
async fn a_job_with_a_slot_takes_no_second_one() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&room, &key).await;
    let _fence = room
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            Some(&key),
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        BEGUN
    );
    assert_eq!(holders(&room, "k").await.len(), 1);
}

#[tokio::test]
async fn settling_passes_the_slot_to_the_next_in_order() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (mut held, mut job, mut attempt) = holder(&room, &key).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(waiter(&room, &key).await);
    }
    for next in order {
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&held, &job, &end(Some(attempt), &key))
                .await
                .unwrap(),
            Fence::Held
        );
        // A new job finds no free slot, although none is in flight.
        let passer = waiter_behind(&room, &key).await;
        let delivered = room.read_one("b").await;
        assert!(
            delivered
                .checkpoint
                .as_ref()
                .is_some_and(|text| text.as_str().contains(next.as_str())),
            "{next}: {delivered:?}"
        );
        assert_eq!(
            holders(&room, "k").await,
            BTreeSet::from([delivered.delivery.entry_id.to_string()])
        );
        (held, job, attempt) = (delivered.delivery, next, AttemptId::new());
        assert_eq!(room.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
        assert_eq!(
            waiting(&room, "k").await.last().map(String::as_str),
            Some(passer.as_str())
        );
    }
}

/// A job that arrives when the next one of the lane is already in the queue.
async fn waiter_behind(room: &Room, key: &Concurrency) -> JobId {
    // Removed for a moment, so that the read returns the last one.
    let let_go = room.read_one("b").await.delivery;
    let job = waiter(room, key).await;
    let _fence = room
        .broker
        .deliveries()
        .hand_back(
            &let_go,
            None,
            stored(""),
            stored(""),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    job
}

#[tokio::test]
async fn a_job_parked_by_time_passes_its_slot_on() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&room, &key).await;
    let next = waiter(&room, &key).await;
    let text = checkpoint_of(&job, 1);
    let wait = ParkUntil {
        attempt: Some(attempt),
        concurrency: Some(&key),
        ..parking(future(), &text)
    };
    assert_eq!(
        room.broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Yes
    );
    assert_eq!(
        room.broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Lost
    );
    let delivered = room.read_one("b").await;
    assert!(
        delivered
            .checkpoint
            .is_some_and(|text| text.as_str().contains(next.as_str()))
    );
    assert_eq!(
        holders(&room, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
}

#[tokio::test]
async fn a_job_that_ends_before_it_begins_passes_its_slot_on() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&room, &key).await;
    let second = waiter(&room, &key).await;
    let third = waiter(&room, &key).await;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );

    // The second is cancelled when it already has the slot.
    assert!(room.broker.jobs().cancel(&second).await.unwrap());
    let held = room.read_one("a").await.delivery;
    assert_eq!(
        room.begin(&held, &second, AttemptId::new(), Some(&key))
            .await,
        Begun::Cancelled
    );
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &second, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );

    let held = room.read_one("a").await.delivery;
    let attempt = AttemptId::new();
    assert_eq!(room.begin(&held, &third, attempt, Some(&key)).await, BEGUN);
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &third, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_slot_is_not_given_to_a_job_cancelled_in_the_lane() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&room, &key).await;
    let second = waiter(&room, &key).await;
    let third = waiter(&room, &key).await;
    assert!(room.broker.jobs().cancel(&second).await.unwrap());
    let cancelled = room.read_one("b").await.delivery;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );

    let delivered = room.read_one("b").await;
    assert!(
        delivered
            .checkpoint
            .is_some_and(|text| text.as_str().contains(third.as_str()))
    );
    assert_eq!(
        holders(&room, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
    // Its end returns no slot, because it had none.
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&cancelled, &second, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        holders(&room, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&delivered.delivery, &third, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_job_keeps_its_slot_when_handed_back_or_recovered() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&room, &key).await;
    waiter(&room, &key).await;
    let slots = BTreeSet::from([held.entry_id.to_string()]);

    let fence = room
        .broker
        .deliveries()
        .hand_back(
            &held,
            Some(attempt),
            stored("handed back"),
            stored(""),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(
        (fence, holders(&room, "k").await),
        (Fence::Held, slots.clone())
    );
    let held = room.read_one("b").await.delivery;
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        BEGUN
    );

    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(holders(&room, "k").await, slots);
    let held = room.read_one("c").await.delivery;
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        BEGUN
    );
    assert_eq!(holders(&room, "k").await, slots);
}

#[tokio::test]
async fn a_late_or_repeated_settle_passes_no_slot_on() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (stopped, job, old) = holder(&room, &key).await;
    waiter(&room, &key).await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let held = room.read_one("b").await.delivery;
    let new = AttemptId::new();
    assert_eq!(room.begin(&held, &job, new, Some(&key)).await, BEGUN);
    let before = room.snapshot_but_events().await;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&stopped, &job, &end(Some(old), &key))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(room.snapshot_but_events().await, before);

    waiter(&room, &key).await;
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &end(Some(new), &key))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &end(Some(new), &key))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(
        waiting(&room, "k").await.len(),
        1,
        "one slot, one hand-over"
    );
}
