//! Stopping and resuming chains.

use longshore_broker::{ChainCancelled, ChainRetried, StepOutcome};

use super::{Plan, WELL, chain_id};
use crate::scripts::room::Room;

#[tokio::test]
async fn a_cancelled_chain_ends_after_its_running_steps() {
    let room = Room::new().await;
    let plan = Plan::new("stopped").plain("a", &[]).plain("b", &["a"]);
    let _started = room.begin_chain(&plan).await;
    let a = room.read_one("w").await;
    assert_eq!(
        room.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Asked
    );
    let asked: Option<f64> = room
        .ask(&["ZSCORE", &room.key("cancelled"), "stopped/a"])
        .await;
    assert!(asked.is_some());
    assert_eq!(room.chain_state(&plan.id).await, "stopping");
    let _held = room.end_step(&a, StepOutcome::Cancelled).await;
    assert_eq!(room.chain_state(&plan.id).await, "cancelled");
    assert_eq!(
        room.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Ended
    );
    assert_eq!(
        room.broker
            .chains()
            .cancel(&chain_id("unknown"))
            .await
            .unwrap(),
        ChainCancelled::Unknown
    );
    // It can be resumed.
    assert_eq!(
        room.broker.chains().retry(&plan.id, &[]).await.unwrap(),
        ChainRetried::Again(1)
    );
    assert_eq!(room.run_all(WELL).await, ["a", "b"]);
    assert_eq!(room.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn the_first_failure_stops_a_fail_fast_chain() {
    let room = Room::new().await;
    let plan = Plan {
        fail_fast: true,
        ..Plan::new("fast")
            .plain("a", &[])
            .plain("b", &[])
            .plain("c", &["b"])
    };
    let _started = room.begin_chain(&plan).await;
    let both = room.read("w", 100).await;
    let _held = room.end_step(&both[0], StepOutcome::Failed).await;
    assert_eq!(room.chain_state(&plan.id).await, "stopping");
    let _held = room.end_step(&both[1], StepOutcome::Completed).await;
    assert_eq!(room.chain_state(&plan.id).await, "failed");
    assert_eq!(room.run_all(WELL).await, Vec::<String>::new());
}
