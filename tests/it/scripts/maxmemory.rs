//! Redis at its `maxmemory`: jobs still end, and only producers are refused.

use std::time::Duration;

use longshore_broker::{
    BrokerError, Consumed, EntrySource, Fence, Heartbeat, HeartbeatConnection, Parked, WorkerState,
};
use longshore_protocol::id::AttemptId;

use super::fixture::{
    BEGUN, Fixture, checkpoint_of, ending, future, id, parking, past, prompt, redis, stored,
};

/// From now on Redis refuses every command that may use more memory.
async fn fill(fixture: &Fixture) {
    let () = fixture
        .ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    let () = fixture.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
}

fn is_refused(error: &BrokerError) -> bool {
    error.to_string().contains("OOM")
}

#[tokio::test]
async fn at_maxmemory_producers_are_refused_and_running_jobs_end() {
    let (server, _dir) = redis().await;
    let fixture = Fixture::at(&server.url()).await;
    let (settled, failed) = (fixture.running("a").await, fixture.running("a").await);
    let (parked, returned) = (fixture.running("a").await, fixture.running("a").await);
    let (fresh, fresh_job) = fixture.job("a").await;
    let deliveries = fixture.broker.deliveries();
    fill(&fixture).await;

    let message = longshore_protocol::envelope::RawMessage {
        fields: prompt("one more"),
    };
    let refused = fixture
        .broker
        .queues()
        .enqueue(&fixture.queue, &message)
        .await;
    assert!(is_refused(&refused.unwrap_err()));

    assert_eq!(
        fixture
            .begin(&fresh, &fresh_job, AttemptId::new(), None)
            .await,
        BEGUN
    );
    let (held, job, attempt) = &settled;
    let fence = deliveries.settle(held, job, &ending(*attempt)).await;
    assert_eq!(fence.unwrap(), Fence::Held);
    let (held, job, attempt) = &failed;
    let checkpoint = checkpoint_of(job, 1);
    let fence = deliveries
        .fail(
            held,
            *attempt,
            stored("failed"),
            None,
            Some(&checkpoint),
            Consumed::NothingTaken,
        )
        .await;
    assert_eq!(fence.unwrap(), Fence::Held);
    let (held, job, attempt) = &parked;
    let until = longshore_broker::ParkUntil {
        attempt: Some(*attempt),
        ..parking(past(0), &checkpoint)
    };
    let outcome = deliveries.park(held, job, &until).await;
    assert_eq!(outcome.unwrap(), Parked::Yes);
    let (held, _, attempt) = &returned;
    let fence = deliveries
        .hand_back(
            held,
            Some(*attempt),
            stored("back"),
            None,
            Consumed::NothingTaken,
        )
        .await;
    assert_eq!(fence.unwrap(), Fence::Held);
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
    assert_eq!(fixture.read("b", 10).await.len(), 2);
}

#[tokio::test]
async fn at_maxmemory_workers_and_the_leader_stay_alive() {
    let (server, _dir) = redis().await;
    let fixture = Fixture::at(&server.url()).await;
    let (_, job, attempt) = fixture.running("gone").await;
    fill(&fixture).await;

    let worker = id("w");
    let heartbeat = Heartbeat {
        worker: worker.clone(),
        version: "0".to_owned(),
        pid: 1,
        started_at_ms: 0,
        queues: vec![fixture.queue.clone()],
        host: String::new(),
        state: WorkerState::Running,
        said_at_ms: 0,
        in_flight: 0,
        concurrency: 1,
    };
    let ttl = Duration::from_mins(1);
    let mut connection = HeartbeatConnection::new(&fixture.broker, &worker, ttl);
    connection.beat(&heartbeat).await.unwrap();
    let token = fixture
        .broker
        .leader()
        .acquire("s", Duration::from_secs(10))
        .await;
    assert!(token.unwrap().is_some());
    // Dead workers are recovered, and new workers can start to read.
    let recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((recovered.entries, recovered.lost), (1, 1));
    let queues = [fixture.queue.clone()];
    let mut reader = fixture
        .broker
        .queues()
        .reader(&queues, &id("w"))
        .await
        .unwrap();
    let delivered = reader
        .read(1, Duration::from_millis(1), EntrySource::All)
        .await
        .unwrap();
    assert_eq!(delivered.len(), 1);
    let begun = fixture
        .begin(&delivered[0].delivery, &job, AttemptId::new(), None)
        .await;
    assert_eq!(begun, BEGUN, "{attempt} was lost");
    let _later = future();
}
