//! A reservation is returned when its attempt ends, however it ends.

use chrono::{DateTime, Utc};
use longshore_broker::{Consumed, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::id::AttemptId;

use super::{
    fixture::{BEGUN, Fixture, checkpoint_of, ending, future, parking, stored},
    meters::{Call, budget, consumed, slots},
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
async fn end(fixture: &Fixture, call: &Call, end: End, consumed: Consumed) {
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
            let fence = fixture
                .broker
                .deliveries()
                .settle(held, job, &ending)
                .await
                .unwrap();
            assert_eq!(fence, Fence::Held);
        }
        End::Fail => {
            let fence = fixture.broker.deliveries().fail(
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
            let parked = fixture
                .broker
                .deliveries()
                .park(held, job, &parking)
                .await
                .unwrap();
            assert_eq!(parked, Parked::Yes);
        }
        End::HandBack => {
            let fence = fixture.broker.deliveries().hand_back(
                held,
                Some(*attempt),
                stored("back"),
                Some(&text),
                consumed,
            );
            assert_eq!(fence.await.unwrap(), Fence::Held);
        }
        End::Recover => {
            let recovered = fixture
                .broker
                .workers()
                .recover(&fixture.queue, std::time::Duration::ZERO)
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
            let fixture = Fixture::new().await;
            let call = fixture.taking(&[budget(10, 8), slots(1)]).await;
            end(&fixture, &call, how, consumed).await;
            // The usage of a dead worker's attempt is unknown.
            let used = if matches!(how, End::Recover) { 8 } else { used };
            assert_eq!(fixture.sums("budget:b").await, (used, 0), "{how:?}");
            assert!(fixture.holders().await.is_empty(), "{how:?}");
        }
    }
}

#[tokio::test]
async fn an_attempt_without_a_reservation_returns_nothing() {
    for how in ALL {
        let fixture = Fixture::new().await;
        fixture.alive("other").await;
        let other = fixture.call_of("other").await;
        fixture
            .begin_taking(&other, &[budget(10, 8), slots(1)], false)
            .await;
        let call = fixture.taking(&[]).await;
        end(&fixture, &call, how, Consumed::NothingTaken).await;
        assert_eq!(fixture.sums("budget:b").await, (0, 8), "{how:?}");
        assert_eq!(
            fixture.holders().await,
            [other.delivery.entry_id],
            "{how:?}"
        );
    }
}

#[tokio::test]
async fn a_failure_returns_its_reservation_and_the_next_attempt_reserves_again() {
    let fixture = Fixture::new().await;
    let amounts = [budget(10, 5), slots(1)];
    let mut call = fixture.taking(&amounts).await;
    for used in 1..=3 {
        end(&fixture, &call, End::Fail, consumed(1, 1)).await;
        assert_eq!(fixture.sums("budget:b").await, (used, 0));
        call.attempt = AttemptId::new();
        assert_eq!(fixture.begin_taking(&call, &amounts, false).await, BEGUN);
        assert_eq!(fixture.sums("budget:b").await, (used, 5));
    }
    // Its worker dies between attempts: nothing is lost.
    end(&fixture, &call, End::Fail, consumed(1, 1)).await;
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((recovered.entries, recovered.lost), (1, 0));
    assert_eq!(fixture.sums("budget:b").await, (4, 0));
}

#[tokio::test]
async fn returned_room_is_published_at_once() {
    for how in ALL {
        let fixture = Fixture::new().await;
        let call = fixture.taking(&[budget(10, 10), slots(2)]).await;
        let waits = fixture.waiter(vec![budget(10, 1)]).await;
        let mut wakes = fixture.broker.leader().subscribe_wake_ups().await.unwrap();
        end(&fixture, &call, how, consumed(1, 3)).await;
        if matches!(how, End::Recover) {
            // All of it counts as used, so no room is published.
            continue;
        }
        let heard = wakes.next().await;
        assert!(heard.is_some());
        assert_eq!(
            fixture.broker.lanes().release(10).await.unwrap().jobs,
            1,
            "{how:?}"
        );
        assert!(
            fixture
                .broker
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
    let fixture = Fixture::new().await;
    let amounts = [budget(10, 4), slots(1)];
    let late = fixture.taking(&amounts).await;
    end(&fixture, &late, End::Recover, Consumed::Unknown).await;
    let again = fixture.read_one("b").await.delivery;
    let call = Call {
        delivery: again,
        job: late.job.clone(),
        attempt: AttemptId::new(),
    };
    assert_eq!(fixture.begin_taking(&call, &amounts, false).await, BEGUN);
    let before = fixture.snapshot_but_events().await;

    let ending = Ending {
        consumed: consumed(1, 1),
        ..ending(late.attempt)
    };
    let settled = fixture
        .broker
        .deliveries()
        .settle(&late.delivery, &late.job, &ending);
    assert_eq!(settled.await.unwrap(), Fence::Lost);
    let failed = fixture.broker.deliveries().fail(
        &late.delivery,
        late.attempt,
        stored(""),
        None,
        stored("{}"),
        consumed(1, 1),
    );
    assert_eq!(failed.await.unwrap(), Fence::Lost);
    let back = fixture.broker.deliveries().hand_back(
        &late.delivery,
        Some(late.attempt),
        stored(""),
        stored(""),
        consumed(1, 1),
    );
    assert_eq!(back.await.unwrap(), Fence::Lost);
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(fixture.sums("budget:b").await, (4, 4));
}
