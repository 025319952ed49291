//! A checkpoint that is stored between two attempts.

use std::{collections::BTreeMap, time::Duration};

use longshore_broker::{Consumed, Delivery, Fence};
use longshore_protocol::id::AttemptId;

use super::fixture::{BEGUN, Fixture, stored};

async fn keep(
    fixture: &Fixture,
    held: &Delivery,
    last: (AttemptId, bool),
    checkpoint: &'static str,
) -> Fence {
    let deliveries = fixture.broker.deliveries();
    let kept = deliveries.keep(held, last, None, stored(checkpoint)).await;
    kept.unwrap()
}

async fn checkpoints(fixture: &Fixture) -> Vec<String> {
    fixture.hash("checkpoints").await.into_values().collect()
}

#[tokio::test]
async fn a_checkpoint_is_stored_after_an_attempt() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    // While the attempt runs, its result decides.
    assert_eq!(
        keep(&fixture, &held, (attempt, false), "{}").await,
        Fence::Lost
    );
    let deliveries = fixture.broker.deliveries();
    let recorded = deliveries
        .fail(
            &held,
            attempt,
            stored("done"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await;
    assert_eq!(recorded.unwrap(), Fence::Held);
    for checkpoint in ["{\"a\":1}", "{\"a\":2}", "{\"a\":2}"] {
        assert_eq!(
            keep(&fixture, &held, (attempt, false), checkpoint).await,
            Fence::Held
        );
        assert_eq!(checkpoints(&fixture).await, [checkpoint]);
    }
    let next = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, next, None).await, BEGUN);
    assert_eq!(
        keep(&fixture, &held, (attempt, false), "{}").await,
        Fence::Lost
    );
}

#[tokio::test]
async fn a_delivery_without_an_attempt_stores_its_checkpoint_first() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("a").await;
    let last = AttemptId::new();
    assert_eq!(
        keep(&fixture, &held, (last, false), "{}").await,
        Fence::Lost
    );
    for is_first in [true, true, false] {
        assert_eq!(
            keep(&fixture, &held, (last, is_first), "{}").await,
            Fence::Held
        );
    }
    let begun = fixture
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await;
    assert_eq!(begun.unwrap(), Some(("-".to_owned(), "a".to_owned())));
}

#[tokio::test]
async fn another_worker_that_has_the_job_keeps_its_checkpoint() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("a").await;
    let last = AttemptId::new();
    assert_eq!(keep(&fixture, &held, (last, true), "{}").await, Fence::Held);
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, Duration::ZERO)
        .await;
    recovered.unwrap();
    // The same worker may get it again, and run it beside the old run.
    let again = fixture.read_one("a").await.delivery;
    let newer = AttemptId::new();
    assert_eq!(
        keep(&fixture, &again, (newer, true), "{\"b\":1}").await,
        Fence::Held
    );
    assert_eq!(
        keep(&fixture, &held, (last, false), "{}").await,
        Fence::Lost
    );
    assert_eq!(checkpoints(&fixture).await, ["{\"b\":1}"]);
    // A death between two attempts is no crash of the job.
    assert_eq!(fixture.hash("crashes").await, BTreeMap::new());
}
