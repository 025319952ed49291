//! Jobs parked until a time or for a newer worker.

use longshore_broker::{Begun, ParkUntil, Parked, ReleasedNow};
use longshore_protocol::id::{AttemptId, EntryId, JobId};

use super::fixture::{Fixture, binary, checkpoint_of, future, job_id, parking, past};

/// Parks a job until `ms` after a time long past.
async fn parked(fixture: &Fixture, ms: i64) -> JobId {
    let (held, job) = fixture.job("a").await;
    let text = checkpoint_of(&job, 0);
    let answer = fixture
        .broker
        .deliveries()
        .park(&held, &job, &parking(past(ms), &text))
        .await
        .unwrap();
    assert_eq!(answer, Parked::Yes);
    job
}

#[tokio::test]
async fn a_job_leaves_the_queue_for_the_lane() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let (due, text) = (future(), checkpoint_of(&job, 2));
    let wait = ParkUntil {
        attempt: Some(attempt),
        ..parking(due, &text)
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

    assert_eq!(fixture.ask::<u64>(&["XLEN", &fixture.stream()]).await, 0);
    assert!(fixture.pending().await.is_empty());
    assert!(fixture.hash("inflight").await.is_empty());
    assert_eq!(fixture.events().await, [("parked".to_owned(), false)]);
    let waiting = fixture
        .broker
        .lanes()
        .parked_job(&job)
        .await
        .unwrap()
        .expect("it waits");
    assert_eq!(waiting.due_ms, Some(due.timestamp_millis()));
    assert_eq!(
        (waiting.lane.as_str(), waiting.checkpoint.attempts),
        ("time", 2)
    );
    assert_eq!(
        fixture.broker.lanes().sizes().await.unwrap(),
        [("time".to_owned(), 1)]
    );
}

#[tokio::test]
async fn a_job_comes_back_byte_for_byte_however_often_it_waits() {
    for queue in ["default", "bulk"] {
        let fixture = Fixture::new().await.through(queue);
        let entry_id = fixture.enqueue(&binary()).await;
        let job = JobId::from_entry(&entry_id);
        let mut delivered = fixture.read_one("a").await;
        for round in 1..=3 {
            let text = checkpoint_of(&job, round);
            let wait = ParkUntil {
                for_version: round == 2,
                ..parking(past(0), &text)
            };
            assert_eq!(
                fixture
                    .broker
                    .deliveries()
                    .park(&delivered.delivery, &job, &wait)
                    .await
                    .unwrap(),
                Parked::Yes
            );
            let waiting = fixture
                .broker
                .lanes()
                .parked_job(&job)
                .await
                .unwrap()
                .expect("it waits");
            assert_eq!(
                (waiting.message.fields, waiting.queue.as_str()),
                (binary(), queue)
            );
            let lane = if round == 2 { "version" } else { "time" };
            assert_eq!(waiting.lane, lane);
            assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
            delivered = fixture.read_one("a").await;
            assert_eq!(delivered.message.fields, binary());
            assert_eq!(
                (delivered.checkpoint, delivered.forged),
                (Some(text), false)
            );
        }
        assert_eq!(
            fixture.hash("checkpoints").await.len(),
            1,
            "of its last entry alone"
        );
    }
}

#[tokio::test]
async fn due_jobs_are_promoted_in_order() {
    let fixture = Fixture::new().await;
    let third = parked(&fixture, 30).await;
    let first = parked(&fixture, 10).await;
    let second = parked(&fixture, 20).await;
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 3);
    let order: Vec<_> = fixture
        .read("a", 10)
        .await
        .into_iter()
        .filter_map(|one| one.checkpoint)
        .collect();
    assert_eq!(
        order,
        [
            checkpoint_of(&first, 0),
            checkpoint_of(&second, 0),
            checkpoint_of(&third, 0)
        ]
    );
}

#[tokio::test]
async fn promotion_stops_at_the_requested_count() {
    let fixture = Fixture::new().await;
    for ms in 0..5 {
        parked(&fixture, ms).await;
    }
    for (promoted, left) in [(2, 3), (2, 1), (1, 0), (0, 0)] {
        assert_eq!(
            fixture.broker.lanes().promote(2).await.unwrap().jobs,
            promoted
        );
        assert_eq!(
            fixture
                .ask::<usize>(&["ZCARD", &fixture.key("lane:time")])
                .await,
            left
        );
    }
    assert_eq!(
        fixture
            .ask::<usize>(&["XLEN", &fixture.ready_stream()])
            .await,
        5
    );
    assert!(fixture.hash("parked").await.is_empty());
}

#[tokio::test]
async fn no_job_is_promoted_before_its_time() {
    let fixture = Fixture::new().await;
    for for_version in [false, true] {
        let (held, job) = fixture.job("a").await;
        let text = checkpoint_of(&job, 0);
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
    }
    let due = parked(&fixture, 0).await;
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
    assert_eq!(
        fixture.read_one("a").await.checkpoint,
        Some(checkpoint_of(&due, 0))
    );
    let before = fixture.snapshot().await;
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 0);
    assert_eq!(fixture.snapshot().await, before);
    let lanes = fixture.broker.lanes().sizes().await.unwrap();
    assert_eq!(lanes, [("time".to_owned(), 1), ("version".to_owned(), 1)]);
}

#[tokio::test]
async fn parking_by_time_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let text = checkpoint_of(&job, 0);
    let wait = ParkUntil {
        attempt: Some(attempt),
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
    let before = fixture.snapshot_but_events().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(
        fixture.events().await,
        [("parked".to_owned(), false), ("parked".to_owned(), true)]
    );
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_parks_nothing() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    fixture.steal(&held, "b").await;
    let text = checkpoint_of(&job, 0);
    let before = fixture.snapshot().await;
    let answer = fixture
        .broker
        .deliveries()
        .park(&held, &job, &parking(future(), &text))
        .await
        .unwrap();
    assert_eq!(answer, Parked::Lost);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn another_attempt_parks_nothing_but_is_recorded() {
    let fixture = Fixture::new().await;
    let (held, job, _) = fixture.running("a").await;
    let text = checkpoint_of(&job, 0);
    let before = fixture.snapshot_but_events().await;
    let wait = ParkUntil {
        attempt: Some(AttemptId::new()),
        ..parking(future(), &text)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(fixture.events().await, [("parked".to_owned(), true)]);
}

#[tokio::test]
async fn a_cancelled_job_is_not_parked() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    let text = checkpoint_of(&job, 0);
    let before = fixture.snapshot().await;
    let wait = ParkUntil {
        attempt: Some(attempt),
        ..parking(future(), &text)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Cancelled
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Cancelled
    );
    assert_eq!(fixture.snapshot().await, before);

    // A worker that lost the job learns that, and not of the cancellation.
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &wait)
            .await
            .unwrap(),
        Parked::Lost
    );
    let held = fixture.read_one("b").await.delivery;
    assert_eq!(
        fixture.begin(&held, &job, AttemptId::new(), None).await,
        Begun::Cancelled
    );
}

#[tokio::test]
async fn a_job_in_no_lane_is_not_parked() {
    let fixture = Fixture::new().await;
    let (_, job) = fixture.job("a").await;
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

#[tokio::test]
async fn jobs_of_the_same_id_are_parked_beside_each_other() {
    let fixture = Fixture::new().await;
    let step = job_id("weekly/draft");
    for (worker, due) in [("a", past(0)), ("b", future())] {
        let (held, _) = fixture.job(worker).await;
        let text = checkpoint_of(&step, 0);
        let answer = fixture
            .broker
            .deliveries()
            .park(&held, &step, &parking(due, &text))
            .await
            .unwrap();
        assert_eq!(answer, Parked::Yes);
    }
    assert_eq!(fixture.hash_keys("parked").await.len(), 2);
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
    assert_eq!(fixture.read("c", 10).await.len(), 1);
    // Both have the id whose cancellation is requested.
    assert!(fixture.broker.jobs().cancel(&step, None).await.unwrap());
    assert_eq!(fixture.read("c", 10).await.len(), 1);
    assert!(fixture.broker.lanes().sizes().await.unwrap().is_empty());
    assert!(!fixture.names().await.contains("parked:ids"));
}

#[tokio::test]
async fn a_job_is_released_before_its_time_with_a_checkpoint_that_says_so() {
    for queue in ["default", "bulk"] {
        let fixture = Fixture::new().await.through(queue);
        let job = JobId::from_entry(&fixture.enqueue(&binary()).await);
        let delivered = fixture.read_one("a").await;
        let text = checkpoint_of(&job, 2);
        let wait = parking(future(), &text);
        let deliveries = fixture.broker.deliveries();
        let answer = deliveries.park(&delivered.delivery, &job, &wait).await;
        assert_eq!(answer.unwrap(), Parked::Yes);
        let lanes = fixture.broker.lanes();
        let waiting = lanes.parked_job(&job).await.unwrap().expect("it waits");
        let page = [
            (waiting.entry_id, waiting.checkpoint.clone()),
            (EntryId::parse("1-0").unwrap(), waiting.checkpoint.clone()),
        ];
        assert_eq!(
            lanes.release_now(&page).await.unwrap(),
            [ReleasedNow::Yes, ReleasedNow::Gone]
        );
        assert!(lanes.sizes().await.unwrap().is_empty());
        assert!(lanes.parked_job(&job).await.unwrap().is_none());

        let before = fixture.snapshot().await;
        let again = lanes.release_now(&page).await.unwrap();
        assert_eq!(again, [ReleasedNow::Gone, ReleasedNow::Gone]);
        assert_eq!(fixture.snapshot().await, before, "as after a lost reply");

        let delivered = fixture.read_one("a").await;
        assert_eq!(
            (delivered.message.fields.clone(), delivered.forged),
            (binary(), false)
        );
        let checkpoint = delivered.checkpoint.unwrap().parse().unwrap();
        assert_eq!(checkpoint, waiting.checkpoint.released_now());
    }
}

#[tokio::test]
async fn a_job_that_waits_for_something_else_is_not_released_before_its_time() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let text = checkpoint_of(&job, 0);
    let wait = ParkUntil {
        for_version: true,
        ..parking(future(), &text)
    };
    let answer = fixture.broker.deliveries().park(&held, &job, &wait).await;
    assert_eq!(answer.unwrap(), Parked::Yes);
    let lanes = fixture.broker.lanes();
    let waiting = lanes.parked_job(&job).await.unwrap().expect("it waits");
    let before = fixture.snapshot().await;
    let page = [(waiting.entry_id, waiting.checkpoint)];
    assert_eq!(
        lanes.release_now(&page).await.unwrap(),
        [ReleasedNow::WaitsIn("version".to_owned())]
    );
    assert_eq!(fixture.snapshot().await, before);
}
