//! Cancelling: a parked job returns to its queue, and the worker of a running one is notified.

use longshore_broker::{Begun, Ending, Fence, ParkUntil, Parked};
use longshore_protocol::{control::ControlMessage, id::AttemptId};

use super::{
    fixture::{
        BEGUN, Fixture, checkpoint_of, ending, future, job_id, letter, limit, parking, prompt,
        stored, written,
    },
    slots,
};

#[tokio::test]
async fn a_cancelled_parked_job_returns_to_its_queue_and_ends_without_a_run() {
    for for_version in [false, true] {
        let fixture = Fixture::new().await;
        let (held, job) = fixture.job("a").await;
        let text = checkpoint_of(&job, 2);
        let wait = ParkUntil {
            for_version,
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
        assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());

        assert!(
            fixture
                .broker
                .lanes()
                .parked_job(&job)
                .await
                .unwrap()
                .is_none()
        );
        assert!(fixture.broker.lanes().sizes().await.unwrap().is_empty());
        let delivered = fixture.read_one("b").await;
        assert_eq!(
            (delivered.message.fields.clone(), delivered.checkpoint),
            (prompt("hello"), Some(text))
        );
        assert_eq!(
            fixture
                .begin(&delivered.delivery, &job, AttemptId::new(), None)
                .await,
            Begun::Cancelled
        );
        let end = Ending {
            has_stored_state: true,
            outcome: stored("cancelled"),
            ..Ending::default()
        };
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .settle(&delivered.delivery, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        fixture.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_cancelled_job_in_a_key_lane_returns_to_its_queue() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        Begun::Parked
    );
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    let delivered = fixture.read_one("b").await;
    assert_eq!(delivered.message.fields, prompt("hello"));
    assert_eq!(
        fixture
            .begin(&delivered.delivery, &job, AttemptId::new(), Some(&key))
            .await,
        Begun::Cancelled
    );
}

#[tokio::test]
async fn the_worker_that_runs_the_job_is_notified() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let mut control = fixture.broker.workers().subscribe_control().await.unwrap();
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    let message = control.next().await.unwrap();
    assert_eq!(message, ControlMessage::Cancel(job.clone()));
    assert!(
        fixture
            .broker
            .jobs()
            .is_cancel_requested(&job)
            .await
            .unwrap()
    );
    // It may have its answer already, which then counts.
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn an_ended_job_is_not_cancelled() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    let before = fixture.snapshot().await;
    assert!(!fixture.broker.jobs().cancel(&job, None).await.unwrap());
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn cancelling_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let text = checkpoint_of(&job, 0);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &parking(future(), &text))
            .await
            .unwrap(),
        Parked::Yes
    );
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    assert_eq!(fixture.standing().await, 1);
    assert_eq!(
        fixture
            .ask::<u64>(&["ZCARD", &fixture.key("cancelled")])
            .await,
        1
    );
}

#[tokio::test]
async fn a_cancellation_is_kept_for_an_unknown_job() {
    let fixture = Fixture::new().await;
    assert!(
        fixture
            .broker
            .jobs()
            .cancel(&job_id("inv-1"), None)
            .await
            .unwrap()
    );
    let (held, _) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &job_id("inv-1"), AttemptId::new(), None)
            .await,
        Begun::Cancelled
    );
}

/// A job that was cancelled in its key's lane became a dead letter unnoticed, and was replayed.
#[tokio::test]
async fn a_slot_is_not_given_to_a_job_parked_by_time() {
    let (fixture, key) = (Fixture::new().await, limit("k", 1));
    let (held, job, attempt) = slots::holder(&fixture, &key).await;
    let second = slots::waiter(&fixture, &key).await;
    assert!(fixture.broker.jobs().cancel(&second, None).await.unwrap());
    let delivery = fixture.read_one("b").await.delivery;
    let fields = prompt("hello");
    let letter = letter(&fixture.queue, &second, &delivery.entry_id, &fields);
    let json = serde_json::to_string(&letter).unwrap();
    let expired = Ending {
        dead_letter: Some((&second, written(&json))),
        ..slots::end(None, &key)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&delivery, &second, &expired)
            .await
            .unwrap(),
        Fence::Held
    );
    let died: i64 = fixture
        .ask(&["ZSCORE", &fixture.key("dead"), delivery.entry_id.as_str()])
        .await;
    let again = fixture.replay(died, &letter, &fields, &letter.checkpoint, "");
    assert!(again.await.unwrap());
    let again = fixture.read_one("b").await.delivery;
    let text = checkpoint_of(&second, 0);
    let wait = parking(future(), &text);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&again, &second, &wait)
            .await
            .unwrap(),
        Parked::Yes
    );

    let end = slots::end(Some(attempt), &key);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    let waits = fixture
        .broker
        .lanes()
        .parked_job(&second)
        .await
        .unwrap()
        .expect("it waits for its time");
    assert!(waits.due_ms.is_some());
    assert!(slots::holders(&fixture, "k").await.is_empty());
    assert!(slots::waiting(&fixture, "k").await.is_empty());
}
