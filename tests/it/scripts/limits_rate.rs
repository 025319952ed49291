//! Evenly paced rates: a burst, then one after another, booked a little ahead.

use std::time::Duration;

use longshore_broker::{Begun, Consumed};
use longshore_policy::limits::Pacing;

use super::{
    fixture::{BEGUN, Fixture},
    meters::{assert_wait, consumed, requests, tokens},
};

#[tokio::test]
async fn a_call_books_its_turn_a_little_ahead_only() {
    let fixture = Fixture::new().await;
    // One per second.
    let take = [requests(60)];
    for seconds in 0..=2 {
        let (_, begun) = fixture.try_to_take(&take).await;
        assert_wait(begun, Duration::from_secs(seconds));
    }
    let call = fixture.call().await;
    let before = fixture.snapshot().await;
    assert_eq!(fixture.begin_taking(&call, &take, false).await, Begun::Full);
    assert_eq!(
        fixture.snapshot().await,
        before,
        "a call without capacity takes nothing"
    );
}

#[tokio::test]
async fn a_full_bucket_is_spent_at_once_and_the_next_call_is_paced() {
    let fixture = Fixture::new().await;
    let pacing = Pacing::requests(600);
    for _ in 0..pacing.burst {
        fixture.taking(&[requests(600)]).await;
    }
    let (_, begun) = fixture.try_to_take(&[requests(600)]).await;
    let pace = Duration::from_micros(pacing.cost_micros(1)) + Duration::from_millis(1);
    assert_wait(begun, pace);
}

#[tokio::test]
async fn an_idle_bucket_holds_no_more_than_its_burst() {
    let fixture = Fixture::new().await;
    let () = fixture
        .ask(&["HSET", &fixture.key("quota:rpm:m"), "full_at", "1"])
        .await;
    let pacing = Pacing::requests(300);
    for _ in 0..pacing.burst {
        fixture.taking(&[requests(300)]).await;
    }
    let (_, begun) = fixture.try_to_take(&[requests(300)]).await;
    assert_ne!(begun, BEGUN);
}

#[tokio::test]
async fn a_call_larger_than_the_bucket_waits_for_a_full_one() {
    let fixture = Fixture::new().await;
    let (limit, small, large) = (6_000, 100, 1_000);
    let pacing = Pacing::tokens(limit);
    assert!(large > pacing.burst);
    fixture.taking(&[tokens(limit, small)]).await;

    let (_, begun) = fixture.try_to_take(&[tokens(limit, large)]).await;
    let full_after = Duration::from_micros(pacing.cost_micros(small)) + Duration::from_millis(1);
    assert_wait(begun, full_after);
    let (_, begun) = fixture.try_to_take(&[tokens(limit, small)]).await;
    assert_eq!(
        begun,
        Begun::Full,
        "all that it took has to flow back first"
    );
}

#[tokio::test]
async fn unused_tokens_are_returned_and_excess_ones_charged() {
    for (really, difference) in [(100, -2_900), (3_000, 0), (5_000, 2_000)] {
        let fixture = Fixture::new().await;
        let (limit, amount) = (60_000, 3_000);
        let call = fixture.taking(&[tokens(limit, amount)]).await;
        let before = fixture.full_at("tpm:m").await;
        fixture.end(&call, consumed(really, 1)).await;
        let cost = i64::try_from(Pacing::tokens(limit).cost_micros(amount)).unwrap();
        let expected = before + cost * difference / 3_000;
        let after = fixture.full_at("tpm:m").await;
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
        let fixture = Fixture::new().await;
        let call = fixture.taking(&[tokens(300_000_000, 1_000)]).await;
        let before = fixture.full_at("tpm:m").await;
        fixture.end(&call, consumed(really, 1)).await;
        assert_eq!(fixture.full_at("tpm:m").await, before);
        fixture.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn unknown_usage_counts_as_reserved() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[tokens(60_000, 3_000), requests(60)]).await;
    let before = (
        fixture.full_at("tpm:m").await,
        fixture.full_at("rpm:m").await,
    );
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(
        (
            fixture.full_at("tpm:m").await,
            fixture.full_at("rpm:m").await
        ),
        before
    );
}

#[tokio::test]
async fn a_request_counts_once_whatever_its_tokens() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[requests(60)]).await;
    let before = fixture.full_at("rpm:m").await;
    fixture.end(&call, consumed(123_456, 1)).await;
    assert_eq!(fixture.full_at("rpm:m").await, before);
}
