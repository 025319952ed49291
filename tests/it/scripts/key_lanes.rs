//! The state of a job parked in the lane of its concurrency key.

use longshore_broker::{AttemptStart, Begun, Ending, Fence, MeterAmounts};
use longshore_protocol::id::{AttemptId, JobId};

use super::room::{BEGUN, Room, binary, checkpoint_of, limit, stored};

#[tokio::test]
async fn a_released_job_comes_back_byte_for_byte_with_its_checkpoint() {
    for queue in ["default", "bulk"] {
        let room = Room::new().await.through(queue);
        let key = limit("k", 1);
        let (holder, first) = room.job("a").await;
        let attempt = AttemptId::new();
        assert_eq!(
            room.begin(&holder, &first, attempt, Some(&key)).await,
            BEGUN
        );

        let place = room.enqueue(&binary()).await;
        let (held, job) = (room.read_one("a").await.delivery, JobId::from_entry(&place));
        let text = checkpoint_of(&job, 3);
        let beginning = AttemptStart {
            job: &job,
            attempt: AttemptId::new(),
            event_if_lost: stored("lost"),
            concurrency: Some(&key),
            checkpoint: Some(&text),
            amounts: &MeterAmounts::default(),
            waited: false,
        };
        assert_eq!(
            room.broker
                .deliveries()
                .begin(&held, &beginning)
                .await
                .unwrap(),
            Begun::Parked
        );

        let waiting = room
            .broker
            .lanes()
            .parked_job(&job)
            .await
            .unwrap()
            .expect("it waits");
        assert_eq!(waiting.message.fields, binary());
        assert_eq!(
            (waiting.queue.as_str(), waiting.checkpoint.attempts),
            (queue, 3)
        );
        assert_eq!((waiting.due_ms, waiting.lane.as_str()), (None, "key:k"));

        let end = Ending {
            attempt: Some(attempt),
            concurrency: Some(&key),
            ..Ending::default()
        };
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&holder, &first, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        let delivered = room.read_one("b").await;
        assert_eq!(delivered.message.fields, binary());
        assert_eq!(
            (delivered.checkpoint, delivered.forged, delivered.crashes),
            (Some(text), false, 0)
        );
        assert!(
            room.broker
                .lanes()
                .parked_job(&job)
                .await
                .unwrap()
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_job_without_a_checkpoint_is_not_parked() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (holder, first) = room.job("a").await;
    let (held, job) = room.job("a").await;
    let attempt = AttemptId::new();
    let begin = async |held, job| {
        let beginning = AttemptStart {
            job,
            attempt,
            event_if_lost: stored("lost"),
            concurrency: Some(&key),
            checkpoint: stored(""),
            amounts: &MeterAmounts::default(),
            waited: false,
        };
        room.broker
            .deliveries()
            .begin(held, &beginning)
            .await
            .unwrap()
    };
    assert_eq!(begin(&holder, &first).await, BEGUN);
    let before = room.snapshot().await;
    assert_eq!(begin(&held, &job).await, Begun::Waits);
    assert_eq!(room.snapshot().await, before);
    assert_eq!(
        room.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Parked
    );
}

#[tokio::test]
async fn parking_twice_equals_once() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (holder, first) = room.job("a").await;
    assert_eq!(
        room.begin(&holder, &first, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (held, job) = room.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(
        room.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Parked
    );
    let before = room.snapshot().await;
    assert_eq!(
        room.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_parked_job_leaves_no_checkpoint_at_its_old_entry() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let (holder, first, _) = room.running("a").await;
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    // A worker died at this entry before; the crash count moves to the lane with the checkpoint.
    let delivered = room.read_one("a").await;
    let other = room.job("a").await;
    assert_eq!(
        room.begin(&other.0, &other.1, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    assert_eq!(
        (delivered.crashes, &delivered.delivery.entry_id),
        (1, &holder.entry_id)
    );
    let begun = room
        .begin(&delivered.delivery, &first, AttemptId::new(), Some(&key))
        .await;
    assert_eq!(begun, Begun::Parked);
    for remembered in ["crashes", "checkpoints"] {
        assert!(room.hash(remembered).await.is_empty(), "{remembered}");
    }
    assert!(
        !room
            .hash("inflight")
            .await
            .contains_key(holder.entry_id.as_str())
    );
}

#[tokio::test]
async fn any_text_is_a_valid_concurrency_key() {
    for name in ["k", "two words", "9 lives\n- a 1 x", "ключ", "%d+ .*"] {
        let room = Room::new().await;
        let key = limit(name, 1);
        let (held, job) = room.job("a").await;
        let attempt = AttemptId::new();
        assert_eq!(room.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
        let (late, waits) = room.job("a").await;
        assert_eq!(
            room.begin(&late, &waits, AttemptId::new(), Some(&key))
                .await,
            Begun::Parked
        );

        // The journal is parsed when the worker dies.
        let recovered = room
            .broker
            .workers()
            .recover(&room.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        assert_eq!((recovered.entries, recovered.lost), (1, 1), "{name}");
        assert_eq!(
            room.events().await,
            [(format!("lost {attempt}"), false)],
            "{name}"
        );

        let held = room.read_one("b").await.delivery;
        let end = Ending {
            concurrency: Some(&key),
            has_stored_state: true,
            ..Ending::default()
        };
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&held, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        let held = room.read_one("b").await.delivery;
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&held, &waits, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        room.assert_nothing_is_left().await;
    }
}
