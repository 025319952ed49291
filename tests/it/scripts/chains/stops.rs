//! Stopping and resuming chains.

use longshore_broker::{ChainCancelled, ChainRetried, StepOutcome};

use super::{Plan, WELL, chain_id};
use crate::scripts::fixture::Fixture;

#[tokio::test]
async fn a_cancelled_chain_ends_after_its_running_steps() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("stopped").plain("a", &[]).plain("b", &["a"]);
    let _started = fixture.begin_chain(&plan).await;
    let a = fixture.read_one("w").await;
    assert_eq!(
        fixture.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Asked
    );
    let asked: Option<f64> = fixture
        .ask(&["ZSCORE", &fixture.key("cancelled"), "stopped/a"])
        .await;
    assert!(asked.is_some());
    assert_eq!(fixture.chain_state(&plan.id).await, "stopping");
    let _held = fixture.end_step(&a, StepOutcome::Cancelled).await;
    assert_eq!(fixture.chain_state(&plan.id).await, "cancelled");
    assert_eq!(
        fixture.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Ended
    );
    assert_eq!(
        fixture
            .broker
            .chains()
            .cancel(&chain_id("unknown"))
            .await
            .unwrap(),
        ChainCancelled::Unknown
    );
    // It can be resumed.
    assert_eq!(
        fixture.broker.chains().retry(&plan.id, &[]).await.unwrap(),
        ChainRetried::Again(1)
    );
    assert_eq!(fixture.run_all(WELL).await, ["a", "b"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn the_first_failure_stops_a_fail_fast_chain() {
    let fixture = Fixture::new().await;
    let plan = Plan {
        fail_fast: true,
        ..Plan::new("fast")
            .plain("a", &[])
            .plain("b", &[])
            .plain("c", &["b"])
    };
    let _started = fixture.begin_chain(&plan).await;
    let both = fixture.read("w", 100).await;
    let _held = fixture.end_step(&both[0], StepOutcome::Failed).await;
    assert_eq!(fixture.chain_state(&plan.id).await, "stopping");
    let _held = fixture.end_step(&both[1], StepOutcome::Completed).await;
    assert_eq!(fixture.chain_state(&plan.id).await, "failed");
    assert_eq!(fixture.run_all(WELL).await, Vec::<String>::new());
}
