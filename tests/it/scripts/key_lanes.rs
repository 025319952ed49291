//! The state of a job parked in the lane of its concurrency key.

use longshore_broker::{AttemptStart, Begun, Ending, Fence, MeterAmounts};
use longshore_protocol::id::{AttemptId, JobId};

use super::fixture::{BEGUN, Fixture, binary, checkpoint_of, limit, stored};

#[tokio::test]
async fn a_released_job_comes_back_byte_for_byte_with_its_checkpoint() {
    for queue in ["default", "bulk"] {
        let fixture = Fixture::new().await.through(queue);
        let key = limit("k", 1);
        let (holder, first) = fixture.job("a").await;
        let attempt = AttemptId::new();
        assert_eq!(
            fixture.begin(&holder, &first, attempt, Some(&key)).await,
            BEGUN
        );

        let entry_id = fixture.enqueue(&binary()).await;
        let (held, job) = (
            fixture.read_one("a").await.delivery,
            JobId::from_entry(&entry_id),
        );
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
            fixture
                .broker
                .deliveries()
                .begin(&held, &beginning)
                .await
                .unwrap(),
            Begun::Parked
        );

        let waiting = fixture
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
            fixture
                .broker
                .deliveries()
                .settle(&holder, &first, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        let delivered = fixture.read_one("b").await;
        assert_eq!(delivered.message.fields, binary());
        assert_eq!(
            (delivered.checkpoint, delivered.forged, delivered.crashes),
            (Some(text), false, 0)
        );
        assert!(
            fixture
                .broker
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
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (holder, first) = fixture.job("a").await;
    let (held, job) = fixture.job("a").await;
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
        fixture
            .broker
            .deliveries()
            .begin(held, &beginning)
            .await
            .unwrap()
    };
    assert_eq!(begin(&holder, &first).await, BEGUN);
    let before = fixture.snapshot().await;
    assert_eq!(begin(&held, &job).await, Begun::Waits);
    assert_eq!(fixture.snapshot().await, before);
    assert_eq!(
        fixture.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Parked
    );
}

#[tokio::test]
async fn parking_twice_equals_once() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (holder, first) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&holder, &first, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (held, job) = fixture.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(
        fixture.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Parked
    );
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture.begin(&held, &job, attempt, Some(&key)).await,
        Begun::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_parked_job_leaves_no_checkpoint_at_its_old_entry() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let (holder, first, _) = fixture.running("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    // A worker died at this entry before; the crash count moves to the lane with the checkpoint.
    let delivered = fixture.read_one("a").await;
    let other = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&other.0, &other.1, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    assert_eq!(
        (delivered.crashes, &delivered.delivery.entry_id),
        (1, &holder.entry_id)
    );
    let begun = fixture
        .begin(&delivered.delivery, &first, AttemptId::new(), Some(&key))
        .await;
    assert_eq!(begun, Begun::Parked);
    for remembered in ["crashes", "checkpoints"] {
        assert!(fixture.hash(remembered).await.is_empty(), "{remembered}");
    }
    assert!(
        !fixture
            .hash("inflight")
            .await
            .contains_key(holder.entry_id.as_str())
    );
}

#[tokio::test]
async fn any_text_is_a_valid_concurrency_key() {
    for name in ["k", "two words", "9 lives\n- a 1 x", "ключ", "%d+ .*"] {
        let fixture = Fixture::new().await;
        let key = limit(name, 1);
        let (held, job) = fixture.job("a").await;
        let attempt = AttemptId::new();
        assert_eq!(fixture.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
        let (late, waits) = fixture.job("a").await;
        assert_eq!(
            fixture
                .begin(&late, &waits, AttemptId::new(), Some(&key))
                .await,
            Begun::Parked
        );

        // The journal is parsed when the worker dies.
        let recovered = fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        assert_eq!((recovered.entries, recovered.lost), (1, 1), "{name}");
        assert_eq!(
            fixture.events().await,
            [(format!("lost {attempt}"), false)],
            "{name}"
        );

        let held = fixture.read_one("b").await.delivery;
        let end = Ending {
            concurrency: Some(&key),
            has_stored_state: true,
            ..Ending::default()
        };
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .settle(&held, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        let held = fixture.read_one("b").await.delivery;
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .settle(&held, &waits, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        fixture.assert_nothing_is_left().await;
    }
}
