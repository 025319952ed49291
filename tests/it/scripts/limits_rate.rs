//! Evenly paced rates: a burst, then one after another, booked a little ahead.

use std::time::Duration;

use longshore_broker::{Begun, Consumed};
use longshore_policy::limits::Pacing;

use super::{
    meters::{assert_wait, consumed, requests, tokens},
    room::{BEGUN, Room},
};

#[tokio::test]
async fn a_call_books_its_turn_a_little_ahead_only() {
    let room = Room::new().await;
    // One per second.
    let take = [requests(60)];
    for seconds in 0..=2 {
        let (_, begun) = room.try_to_take(&take).await;
        assert_wait(begun, Duration::from_secs(seconds));
    }
    let call = room.call().await;
    let before = room.snapshot().await;
    assert_eq!(room.begin_taking(&call, &take, false).await, Begun::Full);
    assert_eq!(
        room.snapshot().await,
        before,
        "a call without capacity takes nothing"
    );
}

#[tokio::test]
async fn a_full_bucket_is_spent_at_once_and_the_next_call_is_paced() {
    let room = Room::new().await;
    let pacing = Pacing::requests(600);
    for _ in 0..pacing.burst {
        room.taking(&[requests(600)]).await;
    }
    let (_, begun) = room.try_to_take(&[requests(600)]).await;
    let pace = Duration::from_micros(pacing.cost_micros(1)) + Duration::from_millis(1);
    assert_wait(begun, pace);
}

#[tokio::test]
async fn an_idle_bucket_holds_no_more_than_its_burst() {
    let room = Room::new().await;
    let () = room
        .ask(&["HSET", &room.key("quota:rpm:m"), "full_at", "1"])
        .await;
    let pacing = Pacing::requests(300);
    for _ in 0..pacing.burst {
        room.taking(&[requests(300)]).await;
    }
    let (_, begun) = room.try_to_take(&[requests(300)]).await;
    assert_ne!(begun, BEGUN);
}

#[tokio::test]
async fn a_call_larger_than_the_bucket_waits_for_a_full_one() {
    let room = Room::new().await;
    let (limit, small, large) = (6_000, 100, 1_000);
    let pacing = Pacing::tokens(limit);
    assert!(large > pacing.burst);
    room.taking(&[tokens(limit, small)]).await;

    let (_, begun) = room.try_to_take(&[tokens(limit, large)]).await;
    let full_after = Duration::from_micros(pacing.cost_micros(small)) + Duration::from_millis(1);
    assert_wait(begun, full_after);
    let (_, begun) = room.try_to_take(&[tokens(limit, small)]).await;
    assert_eq!(
        begun,
        Begun::Full,
        "all that it took has to flow back first"
    );
}

#[tokio::test]
async fn unused_tokens_are_returned_and_excess_ones_charged() {
    for (really, difference) in [(100, -2_900), (3_000, 0), (5_000, 2_000)] {
        let room = Room::new().await;
        let (limit, amount) = (60_000, 3_000);
        let call = room.taking(&[tokens(limit, amount)]).await;
        let before = room.full_at("tpm:m").await;
        room.end(&call, consumed(really, 1)).await;
        let cost = i64::try_from(Pacing::tokens(limit).cost_micros(amount)).unwrap();
        let expected = before + cost * difference / 3_000;
        let after = room.full_at("tpm:m").await;
        assert!(
            (after - expected).abs() <= 1,
            "{after} instead of {expected}"
        );
    }
}

/// A difference that rounds to zero once aborted the script in the middle of a settle.
#[tokio::test]
async fn a_difference_of_less_than_a_microsecond_is_ignored() {
    for really in [999, 1_001] {
        let room = Room::new().await;
        let call = room.taking(&[tokens(300_000_000, 1_000)]).await;
        let before = room.full_at("tpm:m").await;
        room.end(&call, consumed(really, 1)).await;
        assert_eq!(room.full_at("tpm:m").await, before);
        room.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn unknown_usage_counts_as_reserved() {
    let room = Room::new().await;
    let call = room.taking(&[tokens(60_000, 3_000), requests(60)]).await;
    let before = (room.full_at("tpm:m").await, room.full_at("rpm:m").await);
    room.end(&call, Consumed::Unknown).await;
    assert_eq!(
        (room.full_at("tpm:m").await, room.full_at("rpm:m").await),
        before
    );
}

#[tokio::test]
async fn a_request_counts_once_whatever_its_tokens() {
    let room = Room::new().await;
    let call = room.taking(&[requests(60)]).await;
    let before = room.full_at("rpm:m").await;
    room.end(&call, consumed(123_456, 1)).await;
    assert_eq!(room.full_at("rpm:m").await, before);
}
