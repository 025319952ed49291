//! An attempt is journalled before it can cost anything.

use std::collections::BTreeMap;

use longshore_broker::{Begun, Consumed, Fence};
use longshore_protocol::id::AttemptId;

use super::fixture::{BEGUN, Fixture, ending, limit, stored};

#[tokio::test]
async fn an_attempt_is_journalled_with_its_event_for_a_dead_worker() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let attempt = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, attempt, None).await, BEGUN);

    let journal = BTreeMap::from([(
        held.entry_id.to_string(),
        format!("{attempt} a 0 0 lost {attempt}"),
    )]);
    assert_eq!(fixture.hash("inflight").await, journal);
    let begun = fixture
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some((attempt.to_string(), "a".to_owned())));
    assert_eq!(fixture.events().await, []);
}

#[tokio::test]
async fn beginning_an_attempt_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let (attempt, key) = (AttemptId::new(), limit("k", 1));
    assert_eq!(fixture.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    let before = fixture.snapshot().await;
    assert_eq!(fixture.begin(&held, &job, attempt, Some(&key)).await, BEGUN);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn the_next_attempt_replaces_the_last_in_the_journal() {
    let fixture = Fixture::new().await;
    let (held, job, first) = fixture.running("a").await;
    let _fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            first,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    let second = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, second, None).await, BEGUN);
    let begun = fixture
        .broker
        .deliveries()
        .begun_attempt(&held.entry_id)
        .await
        .unwrap();
    assert_eq!(begun, Some((second.to_string(), "a".to_owned())));
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(first))
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(second))
            .await
            .unwrap(),
        Fence::Held
    );
}

#[tokio::test]
async fn a_cancelled_job_does_not_begin() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    let before = fixture.snapshot().await;
    let key = limit("k", 1);
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        Begun::Cancelled
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_cannot_begin() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    fixture.steal(&held, "b").await;
    let before = fixture.snapshot().await;
    let key = limit("k", 1);
    assert_eq!(
        fixture
            .begin(&held, &job, AttemptId::new(), Some(&key))
            .await,
        Begun::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn an_ended_job_does_not_begin_again() {
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
    assert_eq!(fixture.begin(&held, &job, attempt, None).await, Begun::Lost);
    assert_eq!(fixture.snapshot().await, before);
}
