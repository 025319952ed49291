//! Repeated calls, as after a lost reply, and a job delivered twice to one worker: nothing is reserved or
//! returned twice, and no reservation is left.

use longshore_broker::{Begun, Consumed, Ending, Fence, ParkUntil, Parked, Reserved, Turn};
use longshore_protocol::id::AttemptId;

use super::{
    fixture::{BEGUN, Fixture, checkpoint_of, ending, future, parking, stored},
    meters::{Call, budget, consumed, requests, slots, tokens},
};

#[tokio::test]
async fn beginning_twice_reserves_once() {
    let fixture = Fixture::new().await;
    let amounts = [budget(10, 3), tokens(60_000, 9), requests(6_000), slots(2)];
    let call = fixture.taking(&amounts).await;
    let before = fixture.snapshot().await;
    assert_eq!(fixture.begin_taking(&call, &amounts, false).await, BEGUN);
    assert_eq!(fixture.snapshot().await, before);
    // The same when there is no room for another.
    let amounts = [budget(10, 7)];
    let other = fixture.taking(&amounts).await;
    let before = fixture.snapshot().await;
    assert_eq!(fixture.begin_taking(&other, &amounts, false).await, BEGUN);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn reserving_twice_reserves_once() {
    let fixture = Fixture::new().await;
    fixture.taking(&[slots(1)]).await;
    let call = fixture.call().await;
    let candidates = [vec![slots(1)], vec![budget(10, 3)], vec![budget(10, 4)]];
    let second = Reserved::Yes(1, Turn::default());
    assert_eq!(fixture.reserve(&call, &candidates, false).await, second);
    let before = fixture.snapshot().await;
    assert_eq!(fixture.reserve(&call, &candidates, false).await, second);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn parking_by_a_limit_twice_equals_once() {
    let fixture = Fixture::new().await;
    fixture.taking(&[slots(1)]).await;
    let call = fixture.call().await;
    let first = fixture.reserve(&call, &[vec![slots(1)]], false).await;
    assert!(
        matches!(&first, Reserved::Waits { meter, waiting: 1, .. } if meter == "slots:m"),
        "{first:?}"
    );
    let before = fixture.snapshot().await;
    let again = fixture.reserve(&call, &[vec![slots(1)]], false).await;
    assert_eq!(again, Reserved::Lost);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn settling_twice_returns_once() {
    let fixture = Fixture::new().await;
    let amounts = [budget(10, 3), tokens(60_000, 600), slots(2)];
    let stays = fixture.taking(&amounts).await;
    let twice = async |call: &Call, what: &str| {
        let text = checkpoint_of(&call.job, 1);
        match what {
            "settle" => {
                let ending = Ending {
                    consumed: consumed(9, 1),
                    ..ending(call.attempt)
                };
                let settled =
                    fixture
                        .broker
                        .deliveries()
                        .settle(&call.delivery, &call.job, &ending);
                let _fence = settled.await.unwrap();
            }
            "fail" => {
                let failed = fixture.broker.deliveries().fail(
                    &call.delivery,
                    call.attempt,
                    stored(""),
                    None,
                    Some(&text),
                    consumed(9, 1),
                );
                let _fence = failed.await.unwrap();
            }
            "park" => {
                let parking = ParkUntil {
                    attempt: Some(call.attempt),
                    consumed: consumed(9, 1),
                    ..parking(future(), &text)
                };
                let _parked = fixture
                    .broker
                    .deliveries()
                    .park(&call.delivery, &call.job, &parking)
                    .await;
            }
            "hand_back" => {
                let back = fixture.broker.deliveries().hand_back(
                    &call.delivery,
                    Some(call.attempt),
                    stored(""),
                    Some(&text),
                    consumed(9, 1),
                );
                let _fence = back.await.unwrap();
            }
            _ => {
                fixture.alive("b").await;
                let _recovered = fixture
                    .broker
                    .workers()
                    .recover(&fixture.queue, std::time::Duration::ZERO)
                    .await
                    .unwrap();
            }
        }
    };
    for (used, what) in (1..).zip(["settle", "fail", "park", "hand_back"]) {
        let call = fixture.taking(&amounts).await;
        twice(&call, what).await;
        let before = fixture.snapshot_but_events().await;
        twice(&call, what).await;
        assert_eq!(fixture.snapshot_but_events().await, before, "{what}");
        assert_eq!(fixture.sums("budget:b").await, (used, 3), "{what}");
        assert_eq!(
            fixture.holders().await,
            std::slice::from_ref(&stays.delivery.entry_id),
            "{what}"
        );
        // The handed-back job belongs to another worker now.
        if what == "hand_back" {
            fixture.read_one("b").await;
        }
    }
    for _ in 0..2 {
        twice(&stays, "recover").await;
        assert_eq!(fixture.sums("budget:b").await, (7, 0));
        assert!(fixture.holders().await.is_empty());
    }
}

/// A worker whose heartbeat was late may get its own job again and have it twice. The reservation of one run
/// would be forgotten when the other ends the job or begins it again.
async fn two_runs(fixture: &Fixture) -> (Call, Call) {
    let old = fixture.call().await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let new = Call {
        delivery: fixture.read_one("a").await.delivery,
        job: old.job.clone(),
        attempt: AttemptId::new(),
    };
    (old, new)
}

#[tokio::test]
async fn an_attempt_replaced_by_another_run_counts_as_used() {
    for reserves in [false, true] {
        let fixture = Fixture::new().await;
        let (old, new) = two_runs(&fixture).await;
        let amounts = [budget(10, 3), slots(1)];
        assert_eq!(fixture.begin_taking(&old, &amounts, false).await, BEGUN);
        if reserves {
            let reserved = fixture.reserve(&new, &[amounts.to_vec()], false).await;
            assert_eq!(reserved, Reserved::Yes(0, Turn::default()));
        } else {
            assert_eq!(fixture.begin_taking(&new, &amounts, false).await, BEGUN);
        }
        assert_eq!(fixture.sums("budget:b").await, (3, 3));
        assert_eq!(fixture.holders().await.len(), 1);

        let late = Ending {
            consumed: consumed(1, 1),
            ..ending(old.attempt)
        };
        let settled = fixture
            .broker
            .deliveries()
            .settle(&old.delivery, &old.job, &late);
        assert_eq!(settled.await.unwrap(), Fence::Lost);
        fixture.end(&new, consumed(1, 2)).await;
        assert_eq!(fixture.sums("budget:b").await, (5, 0));
        fixture.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn an_attempt_that_leaves_another_run_no_room_counts_once() {
    let fixture = Fixture::new().await;
    let (old, new) = two_runs(&fixture).await;
    assert_eq!(
        fixture.begin_taking(&old, &[budget(10, 6)], false).await,
        BEGUN
    );
    let begun = fixture.begin_taking(&new, &[budget(10, 6)], false).await;
    assert_eq!(begun, Begun::Full);
    assert_eq!(fixture.sums("budget:b").await, (6, 0));
    let ends = Ending {
        has_stored_state: true,
        outcome: stored("refused"),
        ..Ending::default()
    };
    let settled = fixture
        .broker
        .deliveries()
        .settle(&new.delivery, &new.job, &ends);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    assert_eq!(fixture.sums("budget:b").await, (6, 0));
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_attempt_whose_job_another_run_ends_counts_as_used() {
    for what in ["settle", "park", "hand_back"] {
        let fixture = Fixture::new().await;
        let (old, new) = two_runs(&fixture).await;
        let amounts = [budget(10, 3), slots(1)];
        assert_eq!(fixture.begin_taking(&new, &amounts, false).await, BEGUN);
        // The old run has no attempt, and does not know the other's.
        let text = checkpoint_of(&old.job, 1);
        match what {
            "settle" => {
                let ends = Ending::default();
                let settled = fixture
                    .broker
                    .deliveries()
                    .settle(&old.delivery, &old.job, &ends);
                assert_eq!(settled.await.unwrap(), Fence::Held);
            }
            "park" => {
                let parking = parking(future(), &text);
                let parked = fixture
                    .broker
                    .deliveries()
                    .park(&old.delivery, &old.job, &parking);
                assert_eq!(parked.await.unwrap(), Parked::Yes);
            }
            _ => {
                let back = fixture.broker.deliveries().hand_back(
                    &old.delivery,
                    None,
                    stored(""),
                    stored(""),
                    Consumed::NothingTaken,
                );
                assert_eq!(back.await.unwrap(), Fence::Held);
            }
        }
        assert_eq!(fixture.sums("budget:b").await, (3, 0), "{what}");
        assert!(fixture.holders().await.is_empty(), "{what}");
    }
}
