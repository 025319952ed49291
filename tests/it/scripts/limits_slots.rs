//! Slots: a number at once, and at most half of what is left of a day.

use longshore_broker::{Begun, Consumed};
use longshore_policy::limits::MeterAmount;

use super::{
    fixture::{BEGUN, Fixture},
    meters::{BEFORE, NOW, consumed, ids, slots, window},
};

/// One of `slots` slots, of which at most half of what is left of `limit` requests are available.
fn half(slots: u32, limit: u64) -> MeterAmount {
    MeterAmount::Slots {
        meter: "slots:m".to_owned(),
        limit: slots,
        half_of: Some(("rpd:m".to_owned(), limit)),
    }
}

#[tokio::test]
async fn slots_are_limited_and_a_settle_frees_one() {
    let fixture = Fixture::new().await;
    let first = fixture.taking(&[slots(2)]).await;
    let second = fixture.taking(&[slots(2)]).await;
    let (third, begun) = fixture.try_to_take(&[slots(2)]).await;
    assert_eq!(begun, Begun::Full);
    let held = [
        first.delivery.entry_id.clone(),
        second.delivery.entry_id.clone(),
    ];
    assert_eq!(fixture.holders().await, held);

    fixture.end(&first, consumed(1, 1)).await;
    assert_eq!(
        fixture.begin_taking(&third, &[slots(2)], false).await,
        BEGUN
    );
    for call in [second, third] {
        fixture.end(&call, Consumed::Unknown).await;
    }
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn half_of_what_is_left_of_the_day_runs_at_once() {
    let fixture = Fixture::new().await;
    let day = window("rpd:m", NOW, 11, 1);
    let amounts = [day, half(10, 11)];
    // With 8 requests left there are 4 slots, and the fourth call amounts the last one; with 6 there are 3,
    // with 5 only 2.
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(fixture.taking(&amounts).await);
    }
    assert_eq!(fixture.try_to_take(&amounts).await.1, Begun::Full);
    for call in calls {
        fixture.end(&call, consumed(1, 1)).await;
    }
    for _ in 0..2 {
        fixture.taking(&amounts).await;
    }
    assert_eq!(fixture.try_to_take(&amounts).await.1, Begun::Full);
}

#[tokio::test]
async fn one_slot_always_remains() {
    let fixture = Fixture::new().await;
    let amounts = [window("rpd:m", NOW, 1, 1), half(10, 1)];
    let call = fixture.taking(&amounts).await;
    fixture.end(&call, consumed(1, 1)).await;
    fixture.taking(&[half(10, 1)]).await;
    assert_eq!(fixture.try_to_take(&[half(10, 1)]).await.1, Begun::Full);
}

/// Otherwise the first calls of a day would wait for all of the day before.
#[tokio::test]
async fn a_new_day_has_all_slots_free() {
    let fixture = Fixture::new().await;
    let before = [window("rpd:m", BEFORE, 4, 1), slots(10)];
    for _ in 0..4 {
        fixture.taking(&before).await;
    }
    let after = [window("rpd:m", NOW, 12, 1), half(10, 12)];
    fixture.taking(&after).await;
}

#[tokio::test]
async fn a_freed_slot_goes_to_the_first_parked_job_at_once() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[slots(1)]).await;
    let first = fixture.waiter(vec![slots(1)]).await;
    let second = fixture.waiter(vec![slots(1)]).await;
    assert_eq!(
        fixture.lane("slots:m").await,
        [first.as_str(), second.as_str()]
    );
    fixture.end(&call, consumed(1, 1)).await;

    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), [first.as_str()]);
    assert_eq!(fixture.lane("slots:m").await, [second.as_str()]);
    let waiting = fixture.broker.lanes().parked_job(&second).await.unwrap();
    assert_eq!(waiting.expect("it waits").lane, "quota:slots:m");
}

#[tokio::test]
async fn no_more_jobs_are_released_than_slots_were_freed_before_any_begins() {
    let fixture = Fixture::new().await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(fixture.taking(&[slots(4)]).await);
    }
    for _ in 0..6 {
        fixture.waiter(vec![slots(4)]).await;
    }
    for call in calls.iter().take(3) {
        fixture.end(call, consumed(1, 1)).await;
    }
    assert_eq!(fixture.release_to("b").await.len(), 3);
}

#[tokio::test]
async fn a_job_cancelled_in_the_lane_is_skipped() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[slots(1)]).await;
    let first = fixture.waiter(vec![slots(1)]).await;
    let second = fixture.waiter(vec![slots(1)]).await;
    assert!(fixture.broker.jobs().cancel(&first, None).await.unwrap());
    let cancelled = fixture.release_to("b").await;
    assert_eq!(ids(&cancelled), [first.as_str()]);
    fixture.end(&call, consumed(1, 1)).await;
    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), [second.as_str()]);
}

#[tokio::test]
async fn a_job_does_not_take_a_slot_twice() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[slots(1)]).await;
    assert_eq!(fixture.begin_taking(&call, &[slots(1)], false).await, BEGUN);
    assert_eq!(fixture.holders().await.len(), 1);
    fixture.end(&call, consumed(1, 1)).await;
    assert!(fixture.holders().await.is_empty());
}
