//! Steps that fan out over a list or spawn others.

use std::num::NonZeroU32;

use longshore_broker::{ChainRetried, DeliveredEntry, Fence, SpawnedJob, StepOutcome};
use longshore_protocol::{chain::OnFailure, checkpoint::Checkpoint};

use super::{Plan, WELL, memory, name, step_of};
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

/// The script that fans out takes 500 items; those before the last 500 are stored by calls of their own.
#[tokio::test]
async fn a_step_fans_out_into_more_items_than_one_call_takes() {
    for count in [500, 501, 1001] {
        let fixture = Fixture::new().await;
        let plan = Plan::new("wide").plain("each", &[]);
        let _started = fixture.begin_chain(&plan).await;
        let each = fixture.read_one("w").await;
        let memories: Vec<Checkpoint> = (0..count)
            .map(|index| memory(&plan.id, &format!("each/{index}")))
            .collect();
        let chains = fixture.broker.chains();
        let step = name("each");
        let expanded = chains.expand_step(&each.delivery, &plan.id, &step, &memories);
        assert_eq!(expanded.await.unwrap(), Fence::Held);
        let ran = fixture.run_all(WELL).await;
        let expected: Vec<String> = (0..count).map(|index| format!("each/{index}")).collect();
        assert_eq!(ran, expected);
        assert_eq!(fixture.chain_state(&plan.id).await, "completed");
    }
}

/// The step had failed, so its dependents wait for it no longer; they must not count its second end.
#[tokio::test]
async fn a_retried_step_without_items_ends_only_once_for_its_dependents() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("again")
        .step("each", &[], None, |step| {
            step.on_failure = OnFailure::Continue;
        })
        .plain("other", &[])
        .plain("after", &["each", "other"]);
    let _started = fixture.begin_chain(&plan).await;
    for delivered in fixture.read("w", 100).await {
        let _held = fixture.end_step(&delivered, StepOutcome::Failed).await;
    }
    assert_eq!(fixture.chain_state(&plan.id).await, "failed");
    let chains = fixture.broker.chains();
    assert_eq!(
        chains.retry(&plan.id, &[]).await.unwrap(),
        ChainRetried::Again(2)
    );
    let retried = fixture.read("w", 100).await;
    let find = |step: &str| {
        let is_it = |one: &&DeliveredEntry| step_of(one).name == name(step);
        retried.iter().find(is_it).unwrap()
    };
    let step = name("each");
    let expanded = chains.expand_step(&find("each").delivery, &plan.id, &step, &[]);
    assert_eq!(expanded.await.unwrap(), Fence::Held);
    assert!(fixture.read("w", 100).await.is_empty(), "`after` began");
    let _held = fixture
        .end_step(find("other"), StepOutcome::Completed)
        .await;
    assert_eq!(fixture.run_all(WELL).await, ["after"]);
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
async fn a_step_that_ends_early_cancels_its_other_items() {
    let fixture = Fixture::new().await;
    let mut plan = Plan::new("early")
        .step("ask", &[], None, |step| {
            (step.min_success, step.ends_early) = (Some(1), true);
        })
        .plain("after", &["ask"])
        .plain("broken", &["after"]);
    plan.max_parallel = NonZeroU32::new(3);
    let _started = fixture.begin_chain(&plan).await;
    let ask = fixture.read_one("w").await;
    let memories: Vec<Checkpoint> = (0..4)
        .map(|index| memory(&plan.id, &format!("ask/{index}")))
        .collect();
    let chains = fixture.broker.chains();
    let expanded = chains
        .expand_step(&ask.delivery, &plan.id, &name("ask"), &memories)
        .await;
    assert_eq!(expanded.unwrap(), Fence::Held);
    let running = fixture.read("w", 100).await;
    let [failed, first, last] = running.as_slice() else {
        panic!("expected three of four items, got {running:?}");
    };
    assert_eq!(
        fixture.end_step(failed, StepOutcome::Failed).await,
        Fence::Held
    );
    let fourth = fixture.read_one("w").await;
    assert_eq!(step_of(&fourth).instance().to_string(), "ask/3");
    assert_eq!(
        fixture.end_step(first, StepOutcome::Completed).await,
        Fence::Held
    );
    let cancelled: Vec<String> = fixture
        .ask(&["ZRANGE", &fixture.key("cancelled"), "0", "-1"])
        .await;
    assert_eq!(cancelled, ["early/ask/2", "early/ask/3"]);
    // One is cancelled, the other answers before the request reaches it.
    assert_eq!(
        fixture.end_step(last, StepOutcome::Cancelled).await,
        Fence::Held
    );
    assert_eq!(
        fixture.end_step(&fourth, StepOutcome::Completed).await,
        Fence::Held
    );
    let ran = fixture
        .run_all(|instance| match instance {
            "broken" => StepOutcome::Failed,
            _ => StepOutcome::Completed,
        })
        .await;
    assert_eq!(ran, ["after", "broken"]);
    let hash = fixture.chain_hash(&plan.id).await;
    let counts = ["state", "completed", "failed", "cancelled"].map(|field| hash[field].as_str());
    assert_eq!(counts, ["failed", "3", "2", "1"]);
    // A retry runs what failed, and not what the step no longer needed.
    let failed = fixture.hash("chain:early:failed").await;
    let failed: Vec<&str> = failed.keys().map(String::as_str).collect();
    assert_eq!(failed, ["ask/0", "broken"]);
}

#[tokio::test]
async fn items_that_wait_when_a_step_ends_early_never_run() {
    let fixture = Fixture::new().await;
    let mut plan = Plan::new("alone").step("ask", &[], None, |step| {
        (step.min_success, step.ends_early) = (Some(1), true);
    });
    plan.max_parallel = NonZeroU32::new(1);
    let _started = fixture.begin_chain(&plan).await;
    let ask = fixture.read_one("w").await;
    let memories = [memory(&plan.id, "ask/0"), memory(&plan.id, "ask/1")];
    let chains = fixture.broker.chains();
    let expanded = chains
        .expand_step(&ask.delivery, &plan.id, &name("ask"), &memories)
        .await;
    assert_eq!(expanded.unwrap(), Fence::Held);
    assert_eq!(fixture.run_all(WELL).await, ["ask/0"]);
    let hash = fixture.chain_hash(&plan.id).await;
    let counts = ["state", "completed", "cancelled"].map(|field| hash[field].as_str());
    assert_eq!(counts, ["completed", "1", "1"]);
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
