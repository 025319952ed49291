//! Repeated calls, as after a lost reply, and a job delivered twice to one worker: nothing is reserved or
//! returned twice, and no reservation is left.

use std::time::Duration;

use longshore_broker::{Begun, Consumed, Ending, Fence, ParkUntil, Parked, Reserved};
use longshore_protocol::id::AttemptId;

use super::{
    meters::{Call, budget, consumed, places, requests, tokens},
    room::{BEGUN, Room, checkpoint_of, ending, future, parking, stored},
};

#[tokio::test]
async fn beginning_twice_reserves_once() {
    let room = Room::new().await;
    let amounts = [budget(10, 3), tokens(60_000, 9), requests(6_000), places(2)];
    let call = room.taking(&amounts).await;
    let before = room.snapshot().await;
    assert_eq!(room.begin_taking(&call, &amounts, false).await, BEGUN);
    assert_eq!(room.snapshot().await, before);
    // The same when there is no room for another.
    let amounts = [budget(10, 7)];
    let other = room.taking(&amounts).await;
    let before = room.snapshot().await;
    assert_eq!(room.begin_taking(&other, &amounts, false).await, BEGUN);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn reserving_twice_reserves_once() {
    let room = Room::new().await;
    room.taking(&[places(1)]).await;
    let call = room.call().await;
    let candidates = [vec![places(1)], vec![budget(10, 3)], vec![budget(10, 4)]];
    let second = Reserved::Yes(1, Duration::ZERO);
    assert_eq!(room.reserve(&call, &candidates, false).await, second);
    let before = room.snapshot().await;
    assert_eq!(room.reserve(&call, &candidates, false).await, second);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn parking_by_a_limit_twice_equals_once() {
    let room = Room::new().await;
    room.taking(&[places(1)]).await;
    let call = room.call().await;
    let first = room.reserve(&call, &[vec![places(1)]], false).await;
    assert!(
        matches!(&first, Reserved::Waits { meter, waiting: 1, .. } if meter == "slots:m"),
        "{first:?}"
    );
    let before = room.snapshot().await;
    let again = room.reserve(&call, &[vec![places(1)]], false).await;
    assert_eq!(again, Reserved::Lost);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn settling_twice_returns_once() {
    let room = Room::new().await;
    let amounts = [budget(10, 3), tokens(60_000, 600), places(2)];
    let stays = room.taking(&amounts).await;
    let twice = async |call: &Call, what: &str| {
        let text = checkpoint_of(&call.job, 1);
        match what {
            "settle" => {
                let ending = Ending {
                    consumed: consumed(9, 1),
                    ..ending(call.attempt)
                };
                let settled = room
                    .broker
                    .deliveries()
                    .settle(&call.delivery, &call.job, &ending);
                let _fence = settled.await.unwrap();
            }
            "fail" => {
                let failed = room.broker.deliveries().fail(
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
                let _parked = room
                    .broker
                    .deliveries()
                    .park(&call.delivery, &call.job, &parking)
                    .await;
            }
            "hand_back" => {
                let back = room.broker.deliveries().hand_back(
                    &call.delivery,
                    Some(call.attempt),
                    stored(""),
                    Some(&text),
                    consumed(9, 1),
                );
                let _fence = back.await.unwrap();
            }
            _ => {
                room.alive("b").await;
                let _recovered = room
                    .broker
                    .workers()
                    .recover(&room.queue, std::time::Duration::ZERO)
                    .await
                    .unwrap();
            }
        }
    };
    for (used, what) in (1..).zip(["settle", "fail", "park", "hand_back"]) {
        let call = room.taking(&amounts).await;
        twice(&call, what).await;
        let before = room.snapshot_but_events().await;
        twice(&call, what).await;
        assert_eq!(room.snapshot_but_events().await, before, "{what}");
        assert_eq!(room.sums("budget:b").await, (used, 3), "{what}");
        assert_eq!(
            room.holders().await,
            std::slice::from_ref(&stays.delivery.entry_id),
            "{what}"
        );
        // The handed-back job belongs to another worker now.
        if what == "hand_back" {
            room.read_one("b").await;
        }
    }
    for _ in 0..2 {
        twice(&stays, "recover").await;
        assert_eq!(room.sums("budget:b").await, (7, 0));
        assert!(room.holders().await.is_empty());
    }
}

/// A worker whose heartbeat was late may get its own job again and have it twice. The reservation of one run
/// would be forgotten when the other ends the job or begins it again.
async fn two_runs(room: &Room) -> (Call, Call) {
    let old = room.call().await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let new = Call {
        delivery: room.read_one("a").await.delivery,
        job: old.job.clone(),
        attempt: AttemptId::new(),
    };
    (old, new)
}

#[tokio::test]
async fn an_attempt_replaced_by_another_run_counts_as_used() {
    for reserves in [false, true] {
        let room = Room::new().await;
        let (old, new) = two_runs(&room).await;
        let amounts = [budget(10, 3), places(1)];
        assert_eq!(room.begin_taking(&old, &amounts, false).await, BEGUN);
        if reserves {
            let reserved = room.reserve(&new, &[amounts.to_vec()], false).await;
            assert_eq!(reserved, Reserved::Yes(0, Duration::ZERO));
        } else {
            assert_eq!(room.begin_taking(&new, &amounts, false).await, BEGUN);
        }
        assert_eq!(room.sums("budget:b").await, (3, 3));
        assert_eq!(room.holders().await.len(), 1);

        let late = Ending {
            consumed: consumed(1, 1),
            ..ending(old.attempt)
        };
        let settled = room
            .broker
            .deliveries()
            .settle(&old.delivery, &old.job, &late);
        assert_eq!(settled.await.unwrap(), Fence::Lost);
        room.end(&new, consumed(1, 2)).await;
        assert_eq!(room.sums("budget:b").await, (5, 0));
        room.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn an_attempt_that_leaves_another_run_no_room_counts_once() {
    let room = Room::new().await;
    let (old, new) = two_runs(&room).await;
    assert_eq!(
        room.begin_taking(&old, &[budget(10, 6)], false).await,
        BEGUN
    );
    let begun = room.begin_taking(&new, &[budget(10, 6)], false).await;
    assert_eq!(begun, Begun::Full);
    assert_eq!(room.sums("budget:b").await, (6, 0));
    let ends = Ending {
        has_stored_state: true,
        outcome: stored("refused"),
        ..Ending::default()
    };
    let settled = room
        .broker
        .deliveries()
        .settle(&new.delivery, &new.job, &ends);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    assert_eq!(room.sums("budget:b").await, (6, 0));
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_attempt_whose_job_another_run_ends_counts_as_used() {
    for what in ["settle", "park", "hand_back"] {
        let room = Room::new().await;
        let (old, new) = two_runs(&room).await;
        let amounts = [budget(10, 3), places(1)];
        assert_eq!(room.begin_taking(&new, &amounts, false).await, BEGUN);
        // The old run has no attempt, and does not know the other's.
        let text = checkpoint_of(&old.job, 1);
        match what {
            "settle" => {
                let ends = Ending::default();
                let settled = room
                    .broker
                    .deliveries()
                    .settle(&old.delivery, &old.job, &ends);
                assert_eq!(settled.await.unwrap(), Fence::Held);
            }
            "park" => {
                let parking = parking(future(), &text);
                let parked = room
                    .broker
                    .deliveries()
                    .park(&old.delivery, &old.job, &parking);
                assert_eq!(parked.await.unwrap(), Parked::Yes);
            }
            _ => {
                let back = room.broker.deliveries().hand_back(
                    &old.delivery,
                    None,
                    stored(""),
                    stored(""),
                    Consumed::NothingTaken,
                );
                assert_eq!(back.await.unwrap(), Fence::Held);
            }
        }
        assert_eq!(room.sums("budget:b").await, (3, 0), "{what}");
        assert!(room.holders().await.is_empty(), "{what}");
    }
}
