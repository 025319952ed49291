//! The lanes of limits: the order of jobs, and what else happens to parked ones.

use longshore_broker::{Begun, Consumed, Ending, Fence, Parked, Reserved};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use super::{
    meters::{Call, budget, consumed, ids, places, window},
    room::{
        BEGUN, Room, binary, checkpoint_of, future, letter, limit, parking, prompt, stored, written,
    },
};

#[tokio::test]
async fn jobs_leave_a_lane_in_order() {
    let room = Room::new().await;
    let mut running = room.taking(&[places(1)]).await;
    let mut came = Vec::new();
    for _ in 0..5 {
        came.push(room.waiter(vec![places(1)]).await);
    }
    for next in came {
        room.end(&running, consumed(1, 1)).await;
        let gone = room.release_to("b").await;
        assert_eq!(ids(&gone), [next.as_str()]);
        running = gone.into_iter().next().unwrap();
        assert_eq!(room.begin_taking(&running, &[places(1)], true).await, BEGUN);
    }
    room.end(&running, consumed(1, 1)).await;
    let scanned = room.open_and_let_go("slots:m").await;
    assert_eq!((scanned, room.gate("slots:m").await), (0, None));
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_job_that_returns_to_its_lane_goes_to_the_head() {
    let room = Room::new().await;
    let running = room.taking(&[places(1)]).await;
    let first = room.waiter(vec![places(1)]).await;
    let second = room.waiter(vec![places(1)]).await;
    room.end(&running, consumed(1, 1)).await;
    let gone = room.release_to("b").await;
    assert_eq!(ids(&gone), [first.as_str()]);
    // Another job was faster.
    let other = room.call().await;
    assert_eq!(room.begin_taking(&other, &[places(1)], true).await, BEGUN);

    let begun = room.begin_taking(&gone[0], &[places(1)], true).await;
    assert_eq!(begun, Begun::Full);
    let reserved = room.reserve(&gone[0], &[vec![places(1)]], true).await;
    assert!(
        matches!(reserved, Reserved::Waits { waiting: 2, .. }),
        "{reserved:?}"
    );
    let lane = room.lane("slots:m").await;
    assert_eq!(lane, [first.as_str(), second.as_str()]);
}

#[tokio::test]
async fn new_jobs_do_not_overtake_parked_ones() {
    let room = Room::new().await;
    let running = room.taking(&[budget(10, 10)]).await;
    let first = room.waiter(vec![budget(10, 5)]).await;
    room.end(&running, consumed(1, 0)).await;
    // There is room for it, but the other job comes first.
    let (call, begun) = room.try_to_take(&[budget(10, 1)]).await;
    assert_eq!(begun, Begun::Full);
    let reserved = room.reserve(&call, &[vec![budget(10, 1)]], false).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    let lane = room.lane("budget:b").await;
    assert_eq!(lane, [first.as_str(), call.job.as_str()]);
    // A released job does.
    let waited = room.call().await;
    let begun = room.begin_taking(&waited, &[budget(10, 1)], true).await;
    assert_eq!(begun, BEGUN);
}

#[tokio::test]
async fn a_job_leaves_a_lane_unchanged() {
    for queue in ["default", "bulk"] {
        let room = Room::new().await.through(queue);
        let running = room.taking(&[places(1)]).await;
        let place = room.enqueue(&binary()).await;
        let call = Call {
            delivery: room.read_one("a").await.delivery,
            job: JobId::from_entry(&place),
            attempt: AttemptId::new(),
        };
        let _waits = room.reserve(&call, &[vec![places(1)]], false).await;
        assert!(!room.pending().await.contains_key(place.as_str()));
        let waiting = room.broker.lanes().parked_job(&call.job).await.unwrap();
        let waiting = waiting.expect("it waits");
        assert_eq!(waiting.message.fields, binary());
        assert_eq!(
            (waiting.queue.as_str(), waiting.lane.as_str()),
            (queue, "quota:slots:m")
        );
        let lanes = room.broker.lanes().sizes().await.unwrap();
        assert_eq!(lanes, [("quota:slots:m".to_owned(), 1)]);
        let turn = room
            .broker
            .lanes()
            .limit_position("slots:m", &call.job)
            .await
            .unwrap();
        assert_eq!(turn.ahead, Some(0));

        room.end(&running, consumed(1, 1)).await;
        let delivered = room.read_one("b").await;
        assert_eq!(delivered.delivery.queue, room.queue.ready());
        assert_eq!(delivered.message.fields, binary());
        assert_eq!(
            (delivered.checkpoint, delivered.forged, delivered.crashes),
            (Some(checkpoint_of(&call.job, 0)), false, 0)
        );
    }
}

#[tokio::test]
async fn a_job_parked_by_a_limit_passes_its_slot_on() {
    let room = Room::new().await;
    let key: Concurrency = limit("k", 1);
    let running = room.taking(&[places(1)]).await;
    let call = room.call().await;
    assert_eq!(
        room.begin(&call.delivery, &call.job, AttemptId::new(), Some(&key))
            .await,
        BEGUN
    );
    let (held, next) = room.job("a").await;
    assert_eq!(
        room.begin(&held, &next, AttemptId::new(), Some(&key)).await,
        Begun::Parked
    );
    // The first is retried at another provider.
    let failed = room.broker.deliveries().hand_back(
        &call.delivery,
        None,
        stored(""),
        stored(""),
        Consumed::NothingTaken,
    );
    assert_eq!(failed.await.unwrap(), Fence::Held);
    let call = Call {
        delivery: room.read_one("a").await.delivery,
        ..call
    };
    let reserved = room.reserve_keyed(&call, &key, vec![places(1)]).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    let gone = room.release_to("b").await;
    assert_eq!(ids(&gone), [next.as_str()], "the next of the key goes");

    // The first finds no slot of its key when the limit has room.
    room.end(&running, consumed(1, 1)).await;
    let back = room.release_to("a").await;
    assert_eq!(ids(&back), [call.job.as_str()]);
    let reserved = room.reserve_keyed(&back[0], &key, vec![places(1)]).await;
    assert_eq!(reserved, Reserved::Parked);
    assert!(room.holders().await.is_empty());
}

#[tokio::test]
async fn a_job_parked_by_a_limit_can_be_cancelled() {
    let room = Room::new().await;
    let running = room.taking(&[places(1)]).await;
    let job = room.waiter(vec![places(1)]).await;
    assert!(room.broker.jobs().cancel(&job).await.unwrap());
    assert!(
        room.broker
            .lanes()
            .parked_job(&job)
            .await
            .unwrap()
            .is_none()
    );
    let gone = room.release_to("b").await;
    assert_eq!(ids(&gone), [job.as_str()]);
    let before = room.snapshot().await;
    let begun = room.begin_taking(&gone[0], &[places(9)], true).await;
    assert_eq!(begun, Begun::Cancelled);
    let reserved = room.reserve(&gone[0], &[vec![places(9)]], true).await;
    assert_eq!(reserved, Reserved::Cancelled);
    assert_eq!(room.snapshot().await, before);

    let ends = Ending {
        outcome: stored("cancelled"),
        has_stored_state: true,
        ..Ending::default()
    };
    let settled = room
        .broker
        .deliveries()
        .settle(&gone[0].delivery, &job, &ends);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    room.end(&running, consumed(1, 1)).await;
    room.open_and_let_go("slots:m").await;
    room.assert_nothing_is_left().await;
}

/// A job that was cancelled in the lane became a dead letter and was replayed; the lane still lists it.
#[tokio::test]
async fn a_lane_does_not_release_a_job_that_moved_to_another() {
    for waits_again in ["time", "quota:slots:m", "quota:budget:b"] {
        let room = Room::new().await;
        let running = room.taking(&[places(1), budget(10, 10)]).await;
        let job = room.waiter(vec![places(1)]).await;
        assert!(room.broker.jobs().cancel(&job).await.unwrap());
        let call = replayed(&room, &job).await;
        match waits_again {
            "time" => {
                let text = checkpoint_of(&job, 0);
                let wait = parking(future(), &text);
                let parked = room.broker.deliveries().park(&call.delivery, &job, &wait);
                assert_eq!(parked.await.unwrap(), Parked::Yes);
            }
            "quota:slots:m" => {
                let _waits = room.reserve(&call, &[vec![places(1)]], false).await;
                assert_eq!(room.lane("slots:m").await, [job.as_str(); 2]);
            }
            _ => {
                let _waits = room.reserve(&call, &[vec![budget(10, 1)]], false).await;
            }
        }
        let waiting = room.broker.lanes().parked_job(&job).await.unwrap();
        assert_eq!(waiting.expect("it waits").lane, waits_again);
        room.end(&running, Consumed::Unknown).await;
        room.open_and_let_go("slots:m").await;
        let gone = room.release_to("b").await;
        if waits_again == "quota:slots:m" {
            assert_eq!(ids(&gone), [job.as_str()], "once");
        } else {
            assert_eq!(ids(&gone), Vec::<&str>::new(), "{waits_again}");
            assert!(
                room.broker
                    .lanes()
                    .parked_job(&job)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert!(room.lane("slots:m").await.is_empty());
    }
}

/// A job that was cancelled in its lane becomes a dead letter, is replayed, and is delivered to worker `b`.
async fn replayed(room: &Room, job: &JobId) -> Call {
    let gone = room.release_to("b").await;
    let held = &gone.first().unwrap().delivery;
    let fields = prompt("hello");
    let letter = letter(&room.queue, job, &held.entry_id, &fields);
    let json = serde_json::to_string(&letter).unwrap();
    let dies = Ending {
        has_stored_state: true,
        dead_letter: Some((job, written(&json))),
        ..Ending::default()
    };
    let settled = room.broker.deliveries().settle(held, job, &dies);
    assert_eq!(settled.await.unwrap(), Fence::Held);
    let died: i64 = room.ask(&["ZSCORE", &room.key("dead"), job.as_str()]).await;
    let again = room.replay(died, &letter, &fields, &letter.checkpoint, "");
    assert!(again.await.unwrap());
    Call {
        delivery: room.read_one("b").await.delivery,
        job: job.clone(),
        attempt: AttemptId::new(),
    }
}

#[tokio::test]
async fn lanes_do_not_block_each_other() {
    let room = Room::new().await;
    let one = |meter| window(meter, super::meters::NOW, 1, 1);
    room.taking(&[one("rpd:one")]).await;
    room.waiter(vec![one("rpd:one")]).await;
    room.taking(&[one("rpd:two")]).await;
    room.taking(&[]).await;
    assert_eq!(room.lane("rpd:two").await, Vec::<String>::new());
}
