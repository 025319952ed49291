//! Cancelling: a parked job returns to its queue, and the worker of a running one is notified.

use longshore_broker::{Begun, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::{control::ControlMessage, id::AttemptId};

use super::{
    room::{
        BEGUN, Room, checkpoint_of, ending, future, job_id, letter, limit, parking, prompt, stored,
        written,
    },
    slots,
};

#[tokio::test]
async fn a_cancelled_parked_job_returns_to_its_queue_and_ends_without_a_run() {
    for for_version in [false, true] {
        let room = Room::new().await;
        let (held, job) = room.job("a").await;
        let text = checkpoint_of(&job, 2);
        let wait = ParkUntil {
            for_version,
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
        assert!(room.broker.jobs().cancel(&job).await.unwrap());

        assert!(
            room.broker
                .lanes()
                .parked_job(&job)
                .await
                .unwrap()
                .is_none()
        );
        assert!(room.broker.lanes().sizes().await.unwrap().is_empty());
        let delivered = room.read_one("b").await;
        assert_eq!(
            (delivered.message.fields, delivered.checkpoint),
            (prompt("hello"), Some(text))
        );
        assert_eq!(
            room.begin(&delivered.delivery, &job, AttemptId::new(), None)
                .await,
            Begun::Cancelled
        );
        let end = Ending {
            has_stored_state: true,
            outcome: stored("cancelled"),
            ..Ending::default()
        };
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&delivered.delivery, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        room.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_cancelled_job_in_a_key_lane_returns_to_its_queue() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (held, job) = room.job("a").await;
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        BEGUN
    );
    let (held, job) = room.job("a").await;
    assert_eq!(
        room.begin(&held, &job, AttemptId::new(), Some(&key)).await,
        Begun::Parked
    );
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    let delivered = room.read_one("b").await;
    assert_eq!(delivered.message.fields, prompt("hello"));
    assert_eq!(
        room.begin(&delivered.delivery, &job, AttemptId::new(), Some(&key))
            .await,
        Begun::Cancelled
    );
}

#[tokio::test]
async fn the_worker_that_runs_the_job_is_notified() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    let mut control = room.broker.workers().subscribe_control().await.unwrap();
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    let message = control.next().await.unwrap();
    assert_eq!(message, ControlMessage::Cancel(job.clone()));
    assert!(room.broker.jobs().is_cancel_requested(&job).await.unwrap());
    // It may have its answer already, which then counts.
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn an_ended_job_is_not_cancelled() {
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
    assert!(!room.broker.jobs().cancel(&job).await.unwrap());
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn cancelling_twice_equals_once() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    let text = checkpoint_of(&job, 0);
    assert_eq!(
        room.broker
            .deliveries()
            .park(&held, &job, &parking(future(), &text))
            .await
            .unwrap(),
        Parked::Yes
    );
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    assert_eq!(room.standing().await, 1);
    assert_eq!(room.ask::<u64>(&["ZCARD", &room.key("cancelled")]).await, 1);
}

#[tokio::test]
async fn a_cancellation_is_kept_for_an_unknown_job() {
    let room = Room::new().await;
    assert!(room.broker.jobs().cancel(&job_id("inv-1")).await.unwrap());
    let (held, _) = room.job("a").await;
    assert_eq!(
        room.begin(&held, &job_id("inv-1"), AttemptId::new(), None)
            .await,
        Begun::Cancelled
    );
}

/// A job that was cancelled in its key's lane became a dead letter unnoticed, and was replayed.
#[tokio::test]
async fn a_slot_is_not_given_to_a_job_parked_by_time() {
    let (room, key) = (Room::new().await, limit("k", 1));
    let (held, job, attempt) = slots::holder(&room, &key).await;
    let second = slots::waiter(&room, &key).await;
    assert!(room.broker.jobs().cancel(&second).await.unwrap());
    let place = room.read_one("b").await.delivery;
    let fields = prompt("hello");
    let letter = letter(&room.queue, &second, &place.entry_id, &fields);
    let json = serde_json::to_string(&letter).unwrap();
    let expired = Ending {
        dead_letter: Some((&second, written(&json))),
        ..slots::end(None, &key)
    };
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&place, &second, &expired)
            .await
            .unwrap(),
        Fence::Held
    );
    let died: i64 = room
        .ask(&["ZSCORE", &room.key("dead"), second.as_str()])
        .await;
    let again = room.replay(died, &letter, &fields, &letter.checkpoint, "");
    assert!(again.await.unwrap());
    let again = room.read_one("b").await.delivery;
    let text = checkpoint_of(&second, 0);
    let wait = parking(future(), &text);
    assert_eq!(
        room.broker
            .deliveries()
            .park(&again, &second, &wait)
            .await
            .unwrap(),
        Parked::Yes
    );

    let end = slots::end(Some(attempt), &key);
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    let waits = room
        .broker
        .lanes()
        .parked_job(&second)
        .await
        .unwrap()
        .expect("it waits for its time");
    assert!(waits.due_ms.is_some());
    assert!(slots::holders(&room, "k").await.is_empty());
    assert!(slots::waiting(&room, "k").await.is_empty());
}
