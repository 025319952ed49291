//! Chains: begun, advanced, fanned out, stopped, resumed.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

mod stops;
mod wide;

use std::{collections::BTreeMap, num::NonZeroU32};

use longshore_broker::{
    ChainPlan, ChainRetried, ChainStarted, DeliveredEntry, Delivery, Ending, Fence, SpawnedJob,
    StepEnd, StepOutcome, StepPlan,
};
use longshore_policy::limits::{MeterAmount, Meters};
use longshore_protocol::{
    chain::{self, ChainId, Instance, OnFailure, StepName, StepRef},
    checkpoint::{Checkpoint, Spent},
    envelope::MessageLimits,
    id::JobId,
    money::Usd,
    reply::ReplyTo,
};
use serde_json::Value;

use super::fixture::{Fixture, past, prompt, stored};

/// A builder of chains for tests.
pub(crate) struct Plan {
    pub(crate) id: ChainId,
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) max_parallel: Option<NonZeroU32>,
    pub(crate) fail_fast: bool,
}

pub(crate) fn name(step: &str) -> StepName {
    StepName::parse(step).unwrap()
}

pub(crate) fn chain_id(id: &str) -> ChainId {
    ChainId::parse(id).unwrap()
}

pub(crate) fn memory(chain: &ChainId, instance: &str) -> Checkpoint {
    let instance: Instance = instance.parse().unwrap();
    let step = StepRef {
        index: instance.index,
        keeps_outcome: true,
        ..StepRef::new(chain.clone(), instance.step.clone())
    };
    Checkpoint {
        step: Some(Box::new(step)),
        ..Checkpoint::fresh(chain.job(&instance), past(0))
    }
}

impl Plan {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: chain_id(id),
            steps: Vec::new(),
            max_parallel: None,
            fail_fast: false,
        }
    }

    /// Adds a step that waits for all of `needs`, or for a number of completed ones.
    pub(crate) fn step(
        mut self,
        step: &str,
        needs: &[&str],
        least: Option<usize>,
        change: impl FnOnce(&mut StepPlan),
    ) -> Self {
        for plan in &mut self.steps {
            let is_need = plan
                .name
                .as_ref()
                .is_some_and(|name| needs.contains(&name.as_str()));
            if is_need {
                plan.dependents.push((name(step), least.is_some()));
            }
        }
        let mut plan = StepPlan {
            name: Some(name(step)),
            checkpoint: memory(&self.id, step),
            message: r#"{"prompt":"x"}"#.to_owned(),
            on_failure: OnFailure::Fail,
            min_success: None,
            ends_early: false,
            queue: None,
            needs: needs.iter().copied().map(name).collect(),
            waits_for: least.unwrap_or(needs.len()),
            dependents: Vec::new(),
        };
        change(&mut plan);
        self.steps.push(plan);
        self
    }

    pub(crate) fn plain(self, step: &str, needs: &[&str]) -> Self {
        self.step(step, needs, None, |_| {})
    }
}

impl Fixture {
    /// Enqueues a chain's message and has a worker begin it.
    pub(crate) async fn begin_chain(&self, plan: &Plan) -> ChainStarted {
        self.enqueue(&prompt("the chain's message")).await;
        let held = self.read_one("starter").await.delivery;
        self.start_chain(&held, plan).await
    }

    async fn start_chain(&self, held: &Delivery, plan: &Plan) -> ChainStarted {
        let text = format!(r#"{{"steps":[{{"name":"a","prompt":"{}"}}]}}"#, plan.id);
        self.broker
            .chains()
            .start(
                held,
                &ChainPlan {
                    inputs: None,
                    id: &plan.id,
                    hash: chain::parse(&text, &MessageLimits::default())
                        .unwrap()
                        .hash(),
                    document: "{}",
                    name: Some("a chain"),
                    max_parallel: plan.max_parallel,
                    fail_fast: plan.fail_fast,
                    reply: Some(&ReplyTo::Anyone),
                    metadata: None,
                    traceparent: None,
                    steps: &plan.steps,
                    drop_event: stored(""),
                },
            )
            .await
            .unwrap()
    }

    pub(crate) async fn chain_hash(&self, chain: &ChainId) -> BTreeMap<String, String> {
        self.hash(&format!("chain:{chain}")).await
    }

    pub(crate) async fn chain_state(&self, chain: &ChainId) -> String {
        self.chain_hash(chain).await["state"].clone()
    }

    /// Settles a step's job.
    pub(crate) async fn end_step(&self, delivered: &DeliveredEntry, outcome: StepOutcome) -> Fence {
        self.end_with(delivered, outcome, &[]).await
    }

    async fn end_with(
        &self,
        delivered: &DeliveredEntry,
        outcome: StepOutcome,
        spawned: &[SpawnedJob],
    ) -> Fence {
        let step = step_of(delivered);
        let job = step.chain.job(&step.instance());
        let ending = Ending {
            event: stored("ended"),
            outcome: stored("an outcome"),
            has_stored_state: true,
            step: Some(StepEnd {
                step: &step,
                outcome,
                spent: Spent {
                    cost_usd: Usd::from_nanos(1),
                    ..Spent::default()
                },
            }),
            spawned,
            ..Ending::default()
        };
        self.broker
            .deliveries()
            .settle(&delivered.delivery, &job, &ending)
            .await
            .unwrap()
    }

    /// Runs everything in the queue until it is empty, and returns what ran, in order.
    async fn run_all(&self, outcome: impl Fn(&str) -> StepOutcome) -> Vec<String> {
        let mut ran = Vec::new();
        loop {
            let delivered = self.read("a", 100).await;
            if delivered.is_empty() {
                return ran;
            }
            for one in delivered {
                let instance = step_of(&one).instance().to_string();
                let _held = self.end_step(&one, outcome(&instance)).await;
                ran.push(instance);
            }
        }
    }
}

pub(crate) fn step_of(delivered: &DeliveredEntry) -> StepRef {
    let checkpoint: Checkpoint = delivered.checkpoint.as_ref().unwrap().parse().unwrap();
    *checkpoint.step.unwrap()
}

pub(super) const WELL: fn(&str) -> StepOutcome = |_| StepOutcome::Completed;

#[tokio::test]
async fn a_step_begins_when_the_last_of_its_needs_has_ended() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("diamond")
        .plain("a", &[])
        .plain("b", &["a"])
        .plain("c", &["a"])
        .plain("d", &["b", "c"]);
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Yes);
    assert_eq!(fixture.run_all(WELL).await, ["a", "b", "c", "d"]);
    let hash = fixture.chain_hash(&plan.id).await;
    assert_eq!(
        (
            hash["state"].as_str(),
            hash["completed"].as_str(),
            hash["nanos"].as_str()
        ),
        ("completed", "4", "4")
    );
    let outcome: Value = serde_json::from_str(
        &fixture
            .ask::<String>(&["GET", &fixture.key("result:diamond")])
            .await,
    )
    .unwrap();
    assert_eq!(outcome["cost_usd"], "0.000000004");
    assert_eq!(outcome["success"], true);
    let reply: Vec<String> = fixture
        .ask(&["LRANGE", &fixture.key("reply:diamond"), "0", "-1"])
        .await;
    assert_eq!(reply.len(), 1);
    let ttl: i64 = fixture.ask(&["TTL", &fixture.key("chain:diamond")]).await;
    assert!(ttl > 0);
}

#[tokio::test]
async fn a_step_reported_twice_counts_once() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("twice").plain("a", &[]).plain("b", &["a"]);
    let _started = fixture.begin_chain(&plan).await;
    let a = fixture.read_one("w").await;
    assert_eq!(
        fixture.end_step(&a, StepOutcome::Completed).await,
        Fence::Held
    );
    assert_eq!(
        fixture.end_step(&a, StepOutcome::Completed).await,
        Fence::Lost
    );
    assert_eq!(fixture.run_all(WELL).await, ["b"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn a_chain_that_is_started_twice_starts_once_and_leaves_no_prepared_steps() {
    let fixture = Fixture::new().await;
    // The script that starts a chain takes 500 steps; those before the last 500 are prepared.
    let mut plan = Plan::new("lost-reply");
    for number in 0..501 {
        plan = plan.plain(&format!("s{number}"), &[]);
    }
    fixture.enqueue(&prompt("the chain's message")).await;
    let held = fixture.read_one("starter").await.delivery;
    assert_eq!(fixture.start_chain(&held, &plan).await, ChainStarted::Yes);
    assert_eq!(fixture.start_chain(&held, &plan).await, ChainStarted::Lost);
    let prepared: Vec<String> = fixture
        .ask(&["KEYS", &fixture.key("chains:prepared:*")])
        .await;
    assert_eq!(prepared, [""; 0]);
    let steps = fixture.hash_keys("chain:lost-reply:steps").await;
    assert_eq!(steps.len(), 501);
    assert_eq!(fixture.run_all(WELL).await.len(), 501);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn a_duplicate_chain_is_dropped_and_a_different_one_conflicts() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("same").plain("a", &[]);
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Yes);
    let a = fixture.read_one("w").await;
    // A job with the id of the chain.
    let () = fixture
        .ask(&["SET", &fixture.key("result:same"), "another's outcome"])
        .await;
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Duplicate);
    assert!(!fixture.names().await.contains("reply:same"));
    let _hash: i64 = fixture
        .ask(&["HSET", &fixture.key("chain:same"), "hash", "of another"])
        .await;
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Conflict);
    assert_eq!(
        fixture.end_step(&a, StepOutcome::Completed).await,
        Fence::Held
    );
}

#[tokio::test]
async fn a_duplicate_of_a_chain_that_ended_gets_its_outcome_even_if_it_has_expired() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("same").plain("a", &[]);
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Yes);
    assert_eq!(fixture.run_all(WELL).await, ["a"]);
    let reply = fixture.key("reply:same");
    let first: Vec<String> = fixture.ask(&["LRANGE", &reply, "0", "-1"]).await;
    let () = fixture
        .ask(&["DEL", &reply, &fixture.key("result:same")])
        .await;
    assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Duplicate);
    let second: Vec<String> = fixture.ask(&["LRANGE", &reply, "0", "-1"]).await;
    assert_eq!(second, first);
    assert!(!fixture.names().await.contains("replies:waiting"));
}

#[tokio::test]
async fn the_budget_of_a_chain_expires_with_the_chain() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("thrifty").plain("a", &[]);
    let _started = fixture.begin_chain(&plan).await;
    let MeterAmount::Window { meter, .. } = Meters::chain_cap(&plan.id, Usd::ZERO, Usd::ZERO)
    else {
        panic!("the cap of a chain is a window");
    };
    let key = fixture.key(&format!("quota:{meter}"));
    let () = fixture
        .ask(&["HSET", &key, "w", "0", "end", "0", "used", "7", "held", "0"])
        .await;
    let windows = fixture.key("windows");
    let () = fixture
        .ask(&["ZADD", &windows, "99999999999999", &meter])
        .await;
    assert_eq!(fixture.run_all(|_| StepOutcome::Failed).await, ["a"]);
    let (chain_ttl, ttl): (i64, i64) = (
        fixture.ask(&["TTL", &fixture.key("chain:thrifty")]).await,
        fixture.ask(&["TTL", &key]).await,
    );
    assert!(ttl > 0 && (chain_ttl - ttl).abs() <= 1, "{ttl}");
    let checked: f64 = fixture.ask(&["ZSCORE", &windows, &meter]).await;
    assert!(checked < 99_999_999_999_999.0, "{checked}");
    let again = fixture.broker.chains().retry(&plan.id, &[]).await.unwrap();
    assert_eq!(again, ChainRetried::Again(1));
    let ttl: i64 = fixture.ask(&["TTL", &key]).await;
    assert_eq!(ttl, -1, "a chain that runs again keeps its budget");
}

#[tokio::test]
async fn steps_that_need_a_failed_step_are_skipped_and_the_rest_run() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("failing")
        .plain("a", &[])
        .plain("after_a", &["a"])
        .step("b", &[], None, |step| step.on_failure = OnFailure::Continue)
        .plain("after_b", &["b"])
        .plain("c", &[])
        .step("two_of_three", &["a", "b", "c"], Some(1), |_| {});
    let _started = fixture.begin_chain(&plan).await;
    let fails = |instance: &str| match instance {
        "a" | "b" => StepOutcome::Failed,
        _ => StepOutcome::Completed,
    };
    let ran = fixture.run_all(fails).await;
    assert_eq!(ran, ["a", "b", "c", "after_b", "two_of_three"]);
    assert_eq!(fixture.chain_state(&plan.id).await, "failed");
}

#[tokio::test]
async fn a_failed_chain_resumes_at_the_failed_step() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("again")
        .plain("paid", &[])
        .plain("broken", &["paid"])
        .plain("last", &["broken"]);
    let _started = fixture.begin_chain(&plan).await;
    let ran = fixture
        .run_all(|instance| match instance {
            "broken" => StepOutcome::Failed,
            _ => StepOutcome::Completed,
        })
        .await;
    assert_eq!(ran, ["paid", "broken"]);
    let again = fixture.broker.chains().retry(&plan.id, &[]).await.unwrap();
    assert_eq!(again, ChainRetried::Again(1));
    assert_eq!(
        fixture.broker.chains().retry(&plan.id, &[]).await.unwrap(),
        ChainRetried::Running
    );
    assert_eq!(fixture.run_all(WELL).await, ["broken", "last"]);
    let hash = fixture.chain_hash(&plan.id).await;
    assert_eq!(
        (hash["state"].as_str(), hash["completed"].as_str()),
        ("completed", "3")
    );
    assert_eq!(
        fixture.broker.chains().retry(&plan.id, &[]).await.unwrap(),
        ChainRetried::Nothing
    );
    let unknown = fixture
        .broker
        .chains()
        .retry(&chain_id("unknown"), &[])
        .await
        .unwrap();
    assert_eq!(unknown, ChainRetried::Unknown);
}

#[tokio::test]
async fn no_more_run_at_once_than_the_chain_allows() {
    let fixture = Fixture::new().await;
    let mut plan = Plan {
        max_parallel: NonZeroU32::new(2),
        ..Plan::new("narrow")
    };
    for step in ["a", "b", "c", "d", "e"] {
        plan = plan.plain(step, &[]);
    }
    let _started = fixture.begin_chain(&plan).await;
    let first = fixture.read("w", 100).await;
    assert_eq!(first.len(), 2);
    let _held = fixture.end_step(&first[0], StepOutcome::Completed).await;
    let next = fixture.read("w", 100).await;
    assert_eq!(next.len(), 1);
    for one in first[1..].iter().chain(&next) {
        let _held = fixture.end_step(one, StepOutcome::Completed).await;
    }
    assert_eq!(fixture.run_all(WELL).await.len(), 2);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
}

#[tokio::test]
async fn the_outcomes_of_steps_are_kept() {
    let fixture = Fixture::new().await;
    let plan = Plan::new("kept").plain("a", &[]);
    let _started = fixture.begin_chain(&plan).await;
    let _ran = fixture.run_all(WELL).await;
    let kept = fixture.hash("chain:kept:contexts").await;
    assert_eq!(
        kept,
        BTreeMap::from([("a".to_owned(), "an outcome".to_owned())])
    );
    let result: String = fixture
        .ask(&[
            "GET",
            &fixture.key(&format!("result:{}", JobId::parse("kept/a").unwrap())),
        ])
        .await;
    assert_eq!(result, "an outcome");
}
