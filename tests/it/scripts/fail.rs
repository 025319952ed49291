//! A failed attempt that is followed by another of the same delivery.

use std::collections::BTreeMap;

use longshore_broker::{Consumed, Fence};
use longshore_protocol::id::AttemptId;

use super::fixture::{BEGUN, Fixture, limit, stored};

#[tokio::test]
async fn a_failed_attempt_is_recorded_and_the_delivery_kept() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let (attempt, key) = (AttemptId::new(), limit("k", 1));
    assert_eq!(fixture.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            Some(&key),
            stored("{\"tries\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);

    assert_eq!(fixture.events().await, [("failed".to_owned(), false)]);
    let begun = fixture
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some(("-".to_owned(), "a".to_owned())));
    let checkpoint = BTreeMap::from([(held.entry_id.to_string(), "{\"tries\":1}".to_owned())]);
    assert_eq!(fixture.hash("checkpoints").await, checkpoint);
    assert_eq!(
        fixture.hash("key:k").await.into_keys().collect::<Vec<_>>(),
        [held.entry_id.as_str()]
    );
    assert_eq!(
        fixture.pending().await,
        BTreeMap::from([(held.entry, "a".to_owned())])
    );
}

#[tokio::test]
async fn the_same_failure_twice_is_recorded_once() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    let before = fixture.snapshot().await;
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn the_failure_of_a_recovered_attempt_is_recorded_as_duplicate() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let held_by_b = fixture.read_one("b").await.delivery;
    for begun in [false, true] {
        if begun {
            assert_eq!(
                fixture
                    .begin(&held_by_b, &job, AttemptId::new(), None)
                    .await,
                BEGUN
            );
        }
        let before = fixture.snapshot_but_events().await;
        let fence = fixture
            .broker
            .deliveries()
            .fail(
                &held,
                attempt,
                stored("failed"),
                None,
                stored("{}"),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        assert_eq!(fence, Fence::Lost);
        assert_eq!(fixture.snapshot_but_events().await, before);
        assert_eq!(
            fixture.events().await.last(),
            Some(&("failed".to_owned(), true))
        );
    }
}

/// A worker whose heartbeat was late may get its own job again and run it beside the old run.
#[tokio::test]
async fn a_stale_run_does_not_claim_the_failure_of_a_newer_one() {
    let fixture = Fixture::new().await;
    let (held, job, old) = fixture.running("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let again = fixture.read_one("a").await.delivery;
    let new = AttemptId::new();
    assert_eq!(fixture.begin(&again, &job, new, None).await, BEGUN);
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &again,
            new,
            stored("new failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);

    let before = fixture.snapshot_but_events().await;
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            old,
            stored("old failed"),
            None,
            stored("{\"old\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Lost);
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(
        fixture.events().await.last(),
        Some(&("old failed".to_owned(), true))
    );
}
