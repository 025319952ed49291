//! Steps that fan out over a list or spawn others.

use longshore_broker::{Fence, SpawnedJob, StepOutcome};
use longshore_protocol::checkpoint::Checkpoint;

use super::{Plan, WELL, memory, name};
use crate::scripts::fixture::Fixture;

#[tokio::test]
async fn a_step_fans_out_over_its_list() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("wide")
        .step("each", &[], None, |step| step.min_success = Some(2))
        .plain("after", &["each"]);
    let _started = fixture.begin_chain(&plan).await;
    let each = fixture.read_one("w").await;
    let memories: Vec<Checkpoint> = (0..3)
        .map(|index| memory(&plan.id, &format!("each/{index}")))
        .collect();
    for fence in [Fence::Held, Fence::Lost] {
        let expanded = fixture
            .broker
            .chains()
            .expand_step(&each.delivery, &plan.id, &name("each"), &memories)
            .await;
        assert_eq!(expanded.unwrap(), fence);
    }
    let ran = fixture
        .run_all(|instance| match instance {
            "each/1" => StepOutcome::Failed,
            _ => StepOutcome::Completed,
        })
        .await;
    assert_eq!(ran, ["each/0", "each/1", "each/2", "after"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

/// The reply to the fan-out was lost, and the worker repeats it when the items, or the whole chain, have ended.
#[tokio::test]
async fn a_fan_out_that_is_repeated_late_leaves_no_items_behind() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("late").plain("each", &[]);
    let _started = fixture.begin_chain(&plan).await;
    let each = fixture.read_one("w").await;
    let memories = [memory(&plan.id, "each/0"), memory(&plan.id, "each/1")];
    let chains = fixture.broker.chains();
    let step = name("each");
    let expanded = chains
        .expand_step(&each.delivery, &plan.id, &step, &memories)
        .await;
    assert_eq!(expanded.unwrap(), Fence::Held);
    assert_eq!(fixture.run_all(WELL).await, ["each/0", "each/1"]);
    let repeated = chains
        .expand_step(&each.delivery, &plan.id, &step, &memories)
        .await;
    assert_eq!(repeated.unwrap(), Fence::Lost);
    let left = fixture.hash("chain:late:items").await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_fan_out_over_an_empty_list_ends_at_once() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("empty")
        .plain("each", &[])
        .plain("after", &["each"]);
    let _started = fixture.begin_chain(&plan).await;
    let each = fixture.read_one("w").await;
    let expanded = fixture
        .broker
        .chains()
        .expand_step(&each.delivery, &plan.id, &name("each"), &[])
        .await;
    assert_eq!(expanded.unwrap(), Fence::Held);
    assert_eq!(fixture.run_all(WELL).await, ["after"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn a_spawning_step_ends_with_its_last_spawned_instance() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("spawning")
        .plain("plan", &[])
        .plain("after", &["plan"]);
    let _started = fixture.begin_chain(&plan).await;
    let first = fixture.read_one("w").await;
    let spawned: Vec<SpawnedJob> = (0..2)
        .map(|index| SpawnedJob {
            checkpoint: memory(&plan.id, &format!("plan/{index}")),
            message: r#"{"prompt":"a child"}"#.to_owned(),
        })
        .collect();
    let fence = fixture
        .end_with(&first, StepOutcome::Completed, &spawned)
        .await;
    assert_eq!(fence, Fence::Held);
    assert_eq!(fixture.run_all(WELL).await, ["plan/0", "plan/1", "after"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}
