//! Concurrency keys: a limited number at once, and no slot is ever lost.

use std::collections::BTreeSet;

use longshore_broker::{Begun, Consumed, Delivery, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use super::fixture::{BEGUN, Fixture, checkpoint_of, future, limit, parking, stored};

/// A job that took a slot.
pub(super) async fn holder(fixture: &Fixture, key: &Concurrency) -> (Delivery, JobId, AttemptId) {
    let (held, job) = fixture.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, attempt, Some(key)).await, BEGUN);
    (held, job, attempt)
}

/// A job that found no free slot and is parked.
pub(super) async fn waiter(fixture: &Fixture, key: &Concurrency) -> JobId {
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(key))
            .await,
        Begun::Parked
    );
    job
}

pub(super) async fn holders(fixture: &Fixture, key: &str) -> BTreeSet<String> {
    fixture
        .hash(&format!("key:{key}"))
        .await
        .into_keys()
        .collect()
}

pub(super) async fn waiting(fixture: &Fixture, key: &str) -> Vec<String> {
    fixture
        .ask(&[
            "LRANGE",
            &fixture.key(&format!("lane:key:{key}")),
            "0",
            "-1",
        ])
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
    let fixture = Fixture::new().await;
    let key = limit("k", 2);
    let first = holder(&fixture, &key).await;
    let second = holder(&fixture, &key).await;
    let third = waiter(&fixture, &key).await;
    let fourth = waiter(&fixture, &key).await;

    let held: BTreeSet<String> = [&first, &second]
        .iter()
        .map(|(held, ..)| held.entry_id.to_string())
        .collect();
    assert_eq!(holders(&fixture, "k").await, held);
    assert_eq!(
        waiting(&fixture, "k").await,
        [third.as_str(), fourth.as_str()]
    );
    assert_eq!(
        fixture.ask::<u64>(&["XLEN", &fixture.stream()]).await,
        2,
        "who waits is not in the queue"
    );
    assert_eq!(fixture.pending().await.len(), 2);
}

#[tokio::test]
async fn keys_do_not_affect_each_other() {
    let fixture = Fixture::new().await;
    let _one = holder(&fixture, &limit("k", 1)).await;
    let _other = holder(&fixture, &limit("l", 1)).await;
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture.begin(&held, &job, AttemptId::new(), None).await,
        BEGUN
    );
    waiter(&fixture, &limit("k", 1)).await;
}

#[tokio::test]
async fn a_job_with_a_slot_takes_no_second_one() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&fixture, &key).await;
    let _fence = fixture
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
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    assert_eq!(holders(&fixture, "k").await.len(), 1);
}

#[tokio::test]
async fn settling_passes_the_slot_to_the_next_in_order() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (mut held, mut job, mut attempt) = holder(&fixture, &key).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(waiter(&fixture, &key).await);
    }
    for next in order {
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .settle(&held, &job, &end(Some(attempt), &key))
                .await
                .unwrap(),
            Fence::Held
        );
        // A new job finds no free slot, although none is in flight.
        let passer = waiter_behind(&fixture, &key).await;
        let delivered = fixture.read_one("b").await;
        assert!(
            delivered
                .checkpoint
                .as_ref()
                .is_some_and(|text| text.as_str().contains(next.as_str())),
            "{next}: {delivered:?}"
        );
        assert_eq!(
            holders(&fixture, "k").await,
            BTreeSet::from([delivered.delivery.entry_id.to_string()])
        );
        (held, job, attempt) = (delivered.delivery, next, AttemptId::new());
        assert_eq!(fixture.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
        assert_eq!(
            waiting(&fixture, "k").await.last().map(String::as_str),
            Some(passer.as_str())
        );
    }
}

/// A job that arrives when the next one of the lane is already in the queue.
async fn waiter_behind(fixture: &Fixture, key: &Concurrency) -> JobId {
    // Removed for a moment, so that the read returns the last one.
    let let_go = fixture.read_one("b").await.delivery;
    let job = waiter(fixture, key).await;
    let _fence = fixture
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
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&fixture, &key).await;
    let next = waiter(&fixture, &key).await;
    let text = checkpoint_of(&job, 1);
    let wait = ParkUntil {
        attempt: Some(attempt),
        concurrency: Some(&key),
        ..parking(future(), &text)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Yes
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Lost
    );
    let delivered = fixture.read_one("b").await;
    assert!(
        delivered
            .checkpoint
            .is_some_and(|text| text.as_str().contains(next.as_str()))
    );
    assert_eq!(
        holders(&fixture, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
}

#[tokio::test]
async fn a_job_that_ends_before_it_begins_passes_its_slot_on() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&fixture, &key).await;
    let second = waiter(&fixture, &key).await;
    let third = waiter(&fixture, &key).await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );

    // The second is cancelled when it already has the slot.
    assert!(fixture.broker.jobs().cancel(&second, None).await.unwrap());
    let held = fixture.read_one("a").await.delivery;
    assert_eq!(
        fixture
            .begin(&held, &second, AttemptId::new(), Some(&key))
            .await,
        Begun::Cancelled
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &second, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );

    let held = fixture.read_one("a").await.delivery;
    let attempt = AttemptId::new();
    assert_eq!(
        fixture.begin(&held, &third, attempt, Some(&key)).await,
        BEGUN
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &third, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_slot_is_not_given_to_a_job_cancelled_in_the_lane() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&fixture, &key).await;
    let second = waiter(&fixture, &key).await;
    let third = waiter(&fixture, &key).await;
    assert!(fixture.broker.jobs().cancel(&second, None).await.unwrap());
    let cancelled = fixture.read_one("b").await.delivery;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end(Some(attempt), &key))
            .await
            .unwrap(),
        Fence::Held
    );

    let delivered = fixture.read_one("b").await;
    assert!(
        delivered
            .checkpoint
            .is_some_and(|text| text.as_str().contains(third.as_str()))
    );
    assert_eq!(
        holders(&fixture, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
    // Its end returns no slot, because it had none.
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&cancelled, &second, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        holders(&fixture, "k").await,
        BTreeSet::from([delivered.delivery.entry_id.to_string()])
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&delivered.delivery, &third, &end(None, &key))
            .await
            .unwrap(),
        Fence::Held
    );
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_job_keeps_its_slot_when_handed_back_or_recovered() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job, attempt) = holder(&fixture, &key).await;
    waiter(&fixture, &key).await;
    let slots = BTreeSet::from([held.entry_id.to_string()]);

    let fence = fixture
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
        (fence, holders(&fixture, "k").await),
        (Fence::Held, slots.clone())
    );
    let held = fixture.read_one("b").await.delivery;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );

    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(holders(&fixture, "k").await, slots);
    let held = fixture.read_one("c").await.delivery;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    assert_eq!(holders(&fixture, "k").await, slots);
}

#[tokio::test]
async fn a_late_or_repeated_settle_passes_no_slot_on() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (stopped, job, old) = holder(&fixture, &key).await;
    waiter(&fixture, &key).await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let held = fixture.read_one("b").await.delivery;
    let new = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, new, Some(&key)).await, BEGUN);
    let before = fixture.snapshot_but_events().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&stopped, &job, &end(Some(old), &key))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);

    waiter(&fixture, &key).await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end(Some(new), &key))
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end(Some(new), &key))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(
        waiting(&fixture, "k").await.len(),
        1,
        "one slot, one hand-over"
    );
}
