//! A handed-back entry is available at once, and the next worker gets it unchanged.

use std::collections::BTreeMap;

use longshore_broker::{Begun, Consumed, Fence};
use longshore_protocol::{id::AttemptId, serialized::Serialized};

use super::fixture::{Fixture, prompt, stored};

#[tokio::test]
async fn the_next_worker_gets_a_handed_back_job_with_its_checkpoint() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let fence = fixture
        .broker
        .deliveries()
        .hand_back(
            &held,
            Some(attempt),
            stored("handed back"),
            stored("{\"tries\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert_eq!(fixture.events().await, [("handed back".to_owned(), false)]);
    assert!(fixture.hash("inflight").await.is_empty());
    assert_eq!(
        fixture.pending().await,
        BTreeMap::from([(held.entry.clone(), "returned".to_owned())])
    );
    let depth = fixture.broker.queues().depth(&fixture.queue).await.unwrap();
    assert_eq!((depth.available, depth.running), (1, 0));

    let delivered = fixture.read_one("b").await;
    assert_eq!(delivered.delivery.entry_id, held.entry_id);
    assert_eq!(delivered.message.fields, prompt("hello"));
    assert_eq!(
        (
            delivered.checkpoint.as_ref().map(Serialized::as_str),
            delivered.crashes,
            delivered.forged
        ),
        (Some("{\"tries\":1}"), 0, false)
    );
    let depth = fixture.broker.queues().depth(&fixture.queue).await.unwrap();
    assert_eq!((depth.available, depth.running), (0, 1));
}

#[tokio::test]
async fn an_entry_that_never_began_has_no_checkpoint() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("a").await;
    let fence = fixture
        .broker
        .deliveries()
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert_eq!(fixture.events().await, []);
    let delivered = fixture.read_one("b").await;
    assert_eq!(
        (delivered.checkpoint, delivered.crashes, delivered.forged),
        (None, 0, false)
    );
}

#[tokio::test]
async fn handing_back_is_no_crash_and_keeps_the_crash_count() {
    let fixture = Fixture::new().await;
    let (held, _, _) = fixture.running("dead").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    for worker in ["a", "b"] {
        let delivered = fixture.read_one(worker).await;
        assert_eq!(delivered.crashes, 1);
        let fence = fixture
            .broker
            .deliveries()
            .hand_back(
                &delivered.delivery,
                None,
                stored(""),
                stored(""),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        assert_eq!(fence, Fence::Held);
    }
    let crashes = BTreeMap::from([(held.entry_id.to_string(), "1".to_owned())]);
    assert_eq!(fixture.hash("crashes").await, crashes);
}

#[tokio::test]
async fn handing_back_without_a_checkpoint_keeps_the_old_one() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let _fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{\"tries\":1}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    let fence = fixture
        .broker
        .deliveries()
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert!(fixture.hash("inflight").await.is_empty());
    assert_eq!(
        fixture
            .read_one("b")
            .await
            .checkpoint
            .as_ref()
            .map(Serialized::as_str),
        Some("{\"tries\":1}")
    );
}

#[tokio::test]
async fn handing_back_an_attempt_whose_end_redis_lost_records_it_as_lost() {
    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let deliveries = fixture.broker.deliveries();
    let fence = deliveries
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert_eq!(fixture.events().await, [(format!("lost {attempt}"), false)]);
    assert!(fixture.hash("inflight").await.is_empty());
    assert!(fixture.hash("crashes").await.is_empty(), "no worker died");
}

#[tokio::test]
async fn handing_back_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
            .await
            .unwrap(),
        Fence::Held
    );
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot().await, before);

    let fixture = Fixture::new().await;
    let (held, _, attempt) = fixture.running("a").await;
    let twice = || {
        fixture.broker.deliveries().hand_back(
            &held,
            Some(attempt),
            stored("handed back"),
            stored("{}"),
            Consumed::NothingTaken,
        )
    };
    assert_eq!(twice().await.unwrap(), Fence::Held);
    let before = fixture.snapshot_but_events().await;
    assert_eq!(twice().await.unwrap(), Fence::Lost);
    assert_eq!(fixture.snapshot_but_events().await, before);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_hands_nothing_back() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("a").await;
    fixture.steal(&held, "b").await;
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(
                &held,
                None,
                stored(""),
                stored("{}"),
                Consumed::NothingTaken
            )
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn another_attempt_hands_nothing_back_but_is_recorded() {
    let fixture = Fixture::new().await;
    let (held, _, _) = fixture.running("a").await;
    let before = fixture.snapshot_but_events().await;
    let other = Some(AttemptId::new());
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(
                &held,
                other,
                stored("handed back"),
                stored("{}"),
                Consumed::NothingTaken
            )
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(fixture.events().await, [("handed back".to_owned(), true)]);
}

#[tokio::test]
async fn the_oldest_entries_are_read_first_up_to_the_count() {
    let fixture = Fixture::new().await;
    for n in 0..5 {
        fixture.enqueue(&prompt(&n.to_string())).await;
    }
    let mut order = Vec::new();
    for delivered in fixture.read("a", 5).await.into_iter().rev() {
        let _fence = fixture
            .broker
            .deliveries()
            .hand_back(
                &delivered.delivery,
                None,
                stored(""),
                stored(""),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        order.insert(0, delivered.delivery.entry);
    }
    let newer = fixture.enqueue(&prompt("new")).await;
    let mut taken = Vec::new();
    for (worker, share) in [("b", 2), ("c", 2), ("b", 2)] {
        let delivered = fixture.read(worker, share).await;
        assert!(delivered.len() <= share);
        taken.extend(delivered.into_iter().map(|one| one.delivery.entry));
    }
    assert_eq!(taken, order);
    assert_eq!(
        fixture.read_one("b").await.delivery.entry_id,
        newer,
        "what is new comes after"
    );
    assert!(fixture.read("b", 2).await.is_empty());
}

#[tokio::test]
async fn a_deleted_entry_is_not_delivered() {
    let fixture = Fixture::new().await;
    let (gone, _) = fixture.job("a").await;
    let (held, _) = fixture.job("a").await;
    for held in [&gone, &held] {
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .hand_back(held, None, stored(""), stored(""), Consumed::NothingTaken)
                .await
                .unwrap(),
            Fence::Held
        );
    }
    let () = fixture.ask(&["XDEL", &fixture.stream(), &gone.entry]).await;
    let delivered = fixture.read("b", 10).await;
    assert_eq!(delivered.len(), 1);
    assert_eq!(
        delivered.first().map(|one| &one.delivery.entry_id),
        Some(&held.entry_id)
    );
    assert_eq!(
        fixture.pending().await,
        BTreeMap::from([(held.entry, "b".to_owned())])
    );
}

#[tokio::test]
async fn an_internal_field_in_a_producers_message_is_detected_as_forged() {
    let fixture = Fixture::new().await;
    let mut fields = prompt("hello");
    fields.insert(0, (b"_checkpoint".to_vec(), b"1".to_vec()));
    fixture.enqueue(&fields).await;
    let delivered = fixture.read_one("a").await;
    assert!(delivered.forged, "as a new one");
    let _fence = fixture
        .broker
        .deliveries()
        .hand_back(
            &delivered.delivery,
            None,
            stored(""),
            stored(""),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    let delivered = fixture.read_one("b").await;
    assert!(delivered.forged, "as one that was given back");
    assert_eq!(delivered.checkpoint, None);
}

#[tokio::test]
async fn a_worker_cannot_begin_a_job_that_it_handed_back() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        fixture.begin(&held, &job, AttemptId::new(), None).await,
        Begun::Lost
    );
}
