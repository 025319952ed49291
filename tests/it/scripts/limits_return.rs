//! A reservation is returned when its attempt ends, however it ends.

use chrono::{DateTime, Utc};
use longshore_broker::{Consumed, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::id::AttemptId;

use super::{
    meters::{Call, budget, consumed, places},
    room::{BEGUN, Room, checkpoint_of, ending, future, parking, stored},
};

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Settle,
    Fail,
    Park,
    HandBack,
    Recover,
}

const ALL: [End; 5] = [
    End::Settle,
    End::Fail,
    End::Park,
    End::HandBack,
    End::Recover,
];

/// Ends a call in this way.
async fn end(room: &Room, call: &Call, end: End, consumed: Consumed) {
    let Call {
        delivery: held,
        job,
        attempt,
    } = call;
    let text = checkpoint_of(job, 1);
    let due: DateTime<Utc> = future();
    match end {
        End::Settle => {
            let ending = Ending {
                consumed,
                ..ending(*attempt)
            };
            let fence = room
                .broker
                .deliveries()
                .settle(held, job, &ending)
                .await
                .unwrap();
            assert_eq!(fence, Fence::Held);
        }
        End::Fail => {
            let fence = room.broker.deliveries().fail(
                held,
                *attempt,
                stored("failed"),
                None,
                Some(&text),
                consumed,
            );
            assert_eq!(fence.await.unwrap(), Fence::Held);
        }
        End::Park => {
            let parking = ParkUntil {
                attempt: Some(*attempt),
                consumed,
                ..parking(due, &text)
            };
            let parked = room
                .broker
                .deliveries()
                .park(held, job, &parking)
                .await
                .unwrap();
            assert_eq!(parked, Parked::Yes);
        }
        End::HandBack => {
            let fence = room.broker.deliveries().hand_back(
                held,
                Some(*attempt),
                stored("back"),
                Some(&text),
                consumed,
            );
            assert_eq!(fence.await.unwrap(), Fence::Held);
        }
        End::Recover => {
            let recovered = room
                .broker
                .workers()
                .recover(&room.queue, std::time::Duration::ZERO)
                .await
                .unwrap();
            assert!(recovered.lost > 0, "{recovered:?}");
        }
    }
}

#[tokio::test]
async fn unused_amounts_are_returned_however_the_attempt_ends() {
    for how in ALL {
        for (consumed, used) in [(consumed(1, 3), 3), (Consumed::Unknown, 8)] {
            let room = Room::new().await;
            let call = room.taking(&[budget(10, 8), places(1)]).await;
            end(&room, &call, how, consumed).await;
            // The usage of a dead worker's attempt is unknown.
            let used = if matches!(how, End::Recover) { 8 } else { used };
            assert_eq!(room.sums("budget:b").await, (used, 0), "{how:?}");
            assert!(room.holders().await.is_empty(), "{how:?}");
        }
    }
}

#[tokio::test]
async fn an_attempt_without_a_reservation_returns_nothing() {
    for how in ALL {
        let room = Room::new().await;
        room.alive("other").await;
        let other = room.call_of("other").await;
        room.begin_taking(&other, &[budget(10, 8), places(1)], false)
            .await;
        let call = room.taking(&[]).await;
        end(&room, &call, how, Consumed::NothingTaken).await;
        assert_eq!(room.sums("budget:b").await, (0, 8), "{how:?}");
        assert_eq!(room.holders().await, [other.delivery.entry_id], "{how:?}");
    }
}

#[tokio::test]
async fn a_failure_returns_its_reservation_and_the_next_attempt_reserves_again() {
    let room = Room::new().await;
    let amounts = [budget(10, 5), places(1)];
    let mut call = room.taking(&amounts).await;
    for used in 1..=3 {
        end(&room, &call, End::Fail, consumed(1, 1)).await;
        assert_eq!(room.sums("budget:b").await, (used, 0));
        call.attempt = AttemptId::new();
        assert_eq!(room.begin_taking(&call, &amounts, false).await, BEGUN);
        assert_eq!(room.sums("budget:b").await, (used, 5));
    }
    // Its worker dies between attempts: nothing is lost.
    end(&room, &call, End::Fail, consumed(1, 1)).await;
    let recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((recovered.entries, recovered.lost), (1, 0));
    assert_eq!(room.sums("budget:b").await, (4, 0));
}

#[tokio::test]
async fn returned_room_is_published_at_once() {
    for how in ALL {
        let room = Room::new().await;
        let call = room.taking(&[budget(10, 10), places(2)]).await;
        let waits = room.waiter(vec![budget(10, 1)]).await;
        let mut wakes = room.broker.leader().subscribe_wake_ups().await.unwrap();
        end(&room, &call, how, consumed(1, 3)).await;
        if matches!(how, End::Recover) {
            // All of it counts as used, so no room is published.
            continue;
        }
        let heard = futures::StreamExt::next(&mut wakes.on_message()).await;
        assert!(heard.is_some());
        assert_eq!(
            room.broker.lanes().release(10).await.unwrap().jobs,
            1,
            "{how:?}"
        );
        assert!(
            room.broker
                .lanes()
                .parked_job(&waits)
                .await
                .unwrap()
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_late_settle_returns_nothing_twice() {
    let room = Room::new().await;
    let amounts = [budget(10, 4), places(1)];
    let late = room.taking(&amounts).await;
    end(&room, &late, End::Recover, Consumed::Unknown).await;
    let again = room.read_one("b").await.delivery;
    let call = Call {
        delivery: again,
        job: late.job.clone(),
        attempt: AttemptId::new(),
    };
    assert_eq!(room.begin_taking(&call, &amounts, false).await, BEGUN);
    let before = room.snapshot_but_events().await;

    let ending = Ending {
        consumed: consumed(1, 1),
        ..ending(late.attempt)
    };
    let settled = room
        .broker
        .deliveries()
        .settle(&late.delivery, &late.job, &ending);
    assert_eq!(settled.await.unwrap(), Fence::Lost);
    let failed = room.broker.deliveries().fail(
        &late.delivery,
        late.attempt,
        stored(""),
        None,
        stored("{}"),
        consumed(1, 1),
    );
    assert_eq!(failed.await.unwrap(), Fence::Lost);
    let back = room.broker.deliveries().hand_back(
        &late.delivery,
        Some(late.attempt),
        stored(""),
        stored(""),
        consumed(1, 1),
    );
    assert_eq!(back.await.unwrap(), Fence::Lost);
    assert_eq!(room.snapshot_but_events().await, before);
    assert_eq!(room.sums("budget:b").await, (4, 4));
}
