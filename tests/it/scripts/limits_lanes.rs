//! The lanes of limits: the order of jobs, and what else happens to parked ones.

use longshore_broker::{Begun, Consumed, Ending, Fence, Parked, Reserved};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use super::{
    fixture::{
        BEGUN, Fixture, binary, checkpoint_of, future, letter, limit, parking, prompt, stored,
        written,
    },
    meters::{Call, budget, consumed, ids, slots, window},
};

#[tokio::test]
async fn jobs_leave_a_lane_in_order() {
    let fixture = Fixture::new().await;
    let mut running = fixture.taking(&[slots(1)]).await;
    let mut came = Vec::new();
    for _ in 0..5 {
        came.push(fixture.waiter(vec![slots(1)]).await);
    }
    for next in came {
        fixture.end(&running, consumed(1, 1)).await;
        let gone = fixture.release_to("b").await;
        assert_eq!(ids(&gone), [next.as_str()]);
        running = gone.into_iter().next().unwrap();
        assert_eq!(
            fixture.begin_taking(&running, &[slots(1)], true).await,
            BEGUN
        );
    }
    fixture.end(&running, consumed(1, 1)).await;
    let scanned = fixture.open_and_let_go("slots:m").await;
    assert_eq!((scanned, fixture.gate("slots:m").await), (0, None));
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_job_that_returns_to_its_lane_goes_to_the_head() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[slots(1)]).await;
    let first = fixture.waiter(vec![slots(1)]).await;
    let second = fixture.waiter(vec![slots(1)]).await;
    fixture.end(&running, consumed(1, 1)).await;
    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), [first.as_str()]);
    // Another job was faster.
    let other = fixture.call().await;
    assert_eq!(fixture.begin_taking(&other, &[slots(1)], true).await, BEGUN);

    let begun = fixture.begin_taking(&gone[0], &[slots(1)], true).await;
    assert_eq!(begun, Begun::Full);
    let reserved = fixture.reserve(&gone[0], &[vec![slots(1)]], true).await;
    assert!(
        matches!(reserved, Reserved::Waits { waiting: 2, .. }),
        "{reserved:?}"
    );
    let lane = fixture.lane("slots:m").await;
    assert_eq!(lane, [first.as_str(), second.as_str()]);
}

#[tokio::test]
async fn new_jobs_do_not_overtake_parked_ones() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    let first = fixture.waiter(vec![budget(10, 5)]).await;
    fixture.end(&running, consumed(1, 0)).await;
    // There is room for it, but the other job comes first.
    let (call, begun) = fixture.try_to_take(&[budget(10, 1)]).await;
    assert_eq!(begun, Begun::Full);
    let reserved = fixture.reserve(&call, &[vec![budget(10, 1)]], false).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    let lane = fixture.lane("budget:b").await;
    assert_eq!(lane, [first.as_str(), call.job.as_str()]);
    // A released job does.
    let waited = fixture.call().await;
    let begun = fixture.begin_taking(&waited, &[budget(10, 1)], true).await;
    assert_eq!(begun, BEGUN);
}

#[tokio::test]
async fn a_job_leaves_a_lane_unchanged() {
    for queue in ["default", "bulk"] {
        let fixture = Fixture::new().await.through(queue);
        let running = fixture.taking(&[slots(1)]).await;
        let entry_id = fixture.enqueue(&binary()).await;
        let call = Call {
            delivery: fixture.read_one("a").await.delivery,
            job: JobId::from_entry(&entry_id),
            attempt: AttemptId::new(),
        };
        let _waits = fixture.reserve(&call, &[vec![slots(1)]], false).await;
        assert!(!fixture.pending().await.contains_key(entry_id.as_str()));
        let waiting = fixture.broker.lanes().parked_job(&call.job).await.unwrap();
        let waiting = waiting.expect("it waits");
        assert_eq!(waiting.message.fields, binary());
        assert_eq!(
            (waiting.queue.as_str(), waiting.lane.as_str()),
            (queue, "quota:slots:m")
        );
        let lanes = fixture.broker.lanes().sizes().await.unwrap();
        assert_eq!(lanes, [("quota:slots:m".to_owned(), 1)]);
        let turn = fixture
            .broker
            .lanes()
            .limit_position("slots:m", &call.delivery.entry_id)
            .await
            .unwrap();
        assert_eq!(turn.ahead, Some(0));

        fixture.end(&running, consumed(1, 1)).await;
        let delivered = fixture.read_one("b").await;
        assert_eq!(delivered.delivery.queue, fixture.queue.ready());
        assert_eq!(delivered.message.fields, binary());
        assert_eq!(
            (delivered.checkpoint, delivered.forged, delivered.crashes),
            (Some(checkpoint_of(&call.job, 0)), false, 0)
        );
    }
}

#[tokio::test]
async fn a_job_parked_by_a_limit_passes_its_slot_on() {
    let fixture = Fixture::new().await;
    let key: Concurrency = limit("k", 1);
    let running = fixture.taking(&[slots(1)]).await;
    let call = fixture.call().await;
    assert_eq!(
        fixture
            .begin(&call.delivery, &call.job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (held, next) = fixture.job("a").await;
    assert_eq!(
        fixture
            .begin(&held, &next, AttemptId::new(), Some(&key))
            .await,
        Begun::Parked
    );
    // The first is retried at another provider.
    let failed = fixture.broker.deliveries().hand_back(
        &call.delivery,
        None,
        stored(""),
        stored(""),
        Consumed::NothingTaken,
    );
    assert_eq!(failed.await.unwrap(), Fence::Held);
    let call = Call {
        delivery: fixture.read_one("a").await.delivery,
        ..call
    };
    let reserved = fixture.reserve_keyed(&call, &key, vec![slots(1)]).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), [next.as_str()], "the next of the key goes");

    // The first finds no slot of its key when the limit has room.
    fixture.end(&running, consumed(1, 1)).await;
    let back = fixture.release_to("a").await;
    assert_eq!(ids(&back), [call.job.as_str()]);
    let reserved = fixture.reserve_keyed(&back[0], &key, vec![slots(1)]).await;
    assert_eq!(reserved, Reserved::Parked);
    assert!(fixture.holders().await.is_empty());
}

#[tokio::test]
async fn a_job_parked_by_a_limit_can_be_cancelled() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[slots(1)]).await;
    let job = fixture.waiter(vec![slots(1)]).await;
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
    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), [job.as_str()]);
    let before = fixture.snapshot().await;
    let begun = fixture.begin_taking(&gone[0], &[slots(9)], true).await;
    assert_eq!(begun, Begun::Cancelled);
    let reserved = fixture.reserve(&gone[0], &[vec![slots(9)]], true).await;
    assert_eq!(reserved, Reserved::Cancelled);
    assert_eq!(fixture.snapshot().await, before);

    let ends = Ending {
        outcome: stored("cancelled"),
        has_stored_state: true,
        ..Ending::default()
    };
    let settled = fixture
        .broker
        .deliveries()
        .settle(&gone[0].delivery, &job, &ends);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    fixture.end(&running, consumed(1, 1)).await;
    fixture.open_and_let_go("slots:m").await;
    fixture.assert_nothing_is_left().await;
}

/// A job that was cancelled in the lane became a dead letter and was replayed; the lane still lists it.
#[tokio::test]
async fn a_lane_does_not_release_a_job_that_moved_to_another() {
    for waits_again in ["time", "quota:slots:m", "quota:budget:b"] {
        let fixture = Fixture::new().await;
        let running = fixture.taking(&[slots(1), budget(10, 10)]).await;
        let job = fixture.waiter(vec![slots(1)]).await;
        assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
        let call = replayed(&fixture, &job).await;
        match waits_again {
            "time" => {
                let text = checkpoint_of(&job, 0);
                let wait = parking(future(), &text);
                let parked = fixture
                    .broker
                    .deliveries()
                    .park(&call.delivery, &job, &wait);
                assert_eq!(parked.await.unwrap(), Parked::Yes);
            }
            "quota:slots:m" => {
                let _waits = fixture.reserve(&call, &[vec![slots(1)]], false).await;
                assert_eq!(fixture.lane("slots:m").await.len(), 2);
            }
            _ => {
                let _waits = fixture.reserve(&call, &[vec![budget(10, 1)]], false).await;
            }
        }
        let waiting = fixture.broker.lanes().parked_job(&job).await.unwrap();
        assert_eq!(waiting.expect("it waits").lane, waits_again);
        fixture.end(&running, Consumed::Unknown).await;
        fixture.open_and_let_go("slots:m").await;
        let gone = fixture.release_to("b").await;
        if waits_again == "quota:slots:m" {
            assert_eq!(ids(&gone), [job.as_str()], "once");
        } else {
            assert_eq!(ids(&gone), Vec::<&str>::new(), "{waits_again}");
            assert!(
                fixture
                    .broker
                    .lanes()
                    .parked_job(&job)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert!(fixture.lane("slots:m").await.is_empty());
    }
}

/// A job that was cancelled in its lane becomes a dead letter, is replayed, and is delivered to worker `b`.
async fn replayed(fixture: &Fixture, job: &JobId) -> Call {
    let gone = fixture.release_to("b").await;
    let held = &gone.first().unwrap().delivery;
    let fields = prompt("hello");
    let letter = letter(&fixture.queue, job, &held.entry_id, &fields);
    let json = serde_json::to_string(&letter).unwrap();
    let dies = Ending {
        has_stored_state: true,
        dead_letter: Some((job, written(&json))),
        ..Ending::default()
    };
    let settled = fixture.broker.deliveries().settle(held, job, &dies);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    let died: i64 = fixture
        .ask(&["ZSCORE", &fixture.key("dead"), held.entry_id.as_str()])
        .await;
    let again = fixture.replay(died, &letter, &fields, &letter.checkpoint, "");
    assert!(again.await.unwrap());
    Call {
        delivery: fixture.read_one("b").await.delivery,
        job: job.clone(),
        attempt: AttemptId::new(),
    }
}

#[tokio::test]
async fn lanes_do_not_block_each_other() {
    let fixture = Fixture::new().await;
    let one = |meter| window(meter, super::meters::NOW, 1, 1);
    fixture.taking(&[one("rpd:one")]).await;
    fixture.waiter(vec![one("rpd:one")]).await;
    fixture.taking(&[one("rpd:two")]).await;
    fixture.taking(&[]).await;
    assert_eq!(fixture.lane("rpd:two").await, Vec::<String>::new());
}
