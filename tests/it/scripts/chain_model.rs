//! Random chains run by workers that die and repeat calls, compared with a simple model: the same steps run,
//! none before its needs, none twice in effect, and the chain ends the same.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

use std::collections::{BTreeMap, BTreeSet};

use longshore_broker::{ChainStarted, DeliveredEntry, Fence, StepOutcome};
use longshore_protocol::{
    chain::{Instance, OnFailure},
    checkpoint::Checkpoint,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    chains::{Plan, memory, name, step_of},
    fixture::Fixture,
};

/// Chains per run.
const CHAINS: u64 = 10;

/// The most steps of a chain.
const STEPS: usize = 200;

#[derive(Debug, Clone)]
struct Step {
    name: String,
    needs: Vec<usize>,
    /// How many completed needs are enough.
    least: Option<usize>,
    on_failure: OnFailure,
    /// Items, and how many of them must succeed.
    items: Option<(u32, Option<u32>)>,
    /// The outcome of the step or of its items.
    ends: Vec<StepOutcome>,
}

fn random_outcome(luck: &mut StdRng, can_skip: bool) -> StepOutcome {
    match luck.random_range(0..10) {
        0 | 1 => StepOutcome::Failed,
        2 if can_skip => StepOutcome::Skipped,
        _ => StepOutcome::Completed,
    }
}

fn random_steps(luck: &mut StdRng) -> Vec<Step> {
    let count = luck.random_range(1..=STEPS);
    (0..count)
        .map(|at| {
            let earlier: Vec<usize> = (at.saturating_sub(12)..at).collect();
            let wanted = luck.random_range(0..=earlier.len().min(5));
            let needs: Vec<usize> = earlier.choose_multiple(luck, wanted).copied().collect();
            let items = luck.random_bool(0.15).then(|| {
                let count = luck.random_range(0..6_u32);
                let least =
                    (count > 1 && luck.random_bool(0.5)).then(|| luck.random_range(1..=count));
                (count, least)
            });
            let can_quorum = items.is_none() && needs.len() > 1;
            let least =
                (can_quorum && luck.random_bool(0.3)).then(|| luck.random_range(1..=needs.len()));
            let ends = match items {
                Some((count, _)) => (0..count).map(|_| random_outcome(luck, false)).collect(),
                None => vec![random_outcome(luck, true)],
            };
            Step {
                name: format!("s{at}"),
                needs,
                least,
                on_failure: if luck.random_bool(0.4) {
                    OnFailure::Continue
                } else {
                    OnFailure::Fail
                },
                items,
                ends,
            }
        })
        .collect()
}

/// The expected result: the steps that run with their outcomes, and whether the chain fails.
fn expected(steps: &[Step]) -> (BTreeMap<usize, StepOutcome>, bool) {
    let mut ran: BTreeMap<usize, StepOutcome> = BTreeMap::new();
    let mut broken = false;
    for (at, step) in steps.iter().enumerate() {
        let completed = |need: &&usize| ran.get(need) == Some(&StepOutcome::Completed);
        let passed = |need: &usize| match ran.get(need) {
            Some(StepOutcome::Completed | StepOutcome::Skipped) => true,
            Some(_) => steps[*need].on_failure == OnFailure::Continue,
            None => false,
        };
        let runs = match step.least {
            Some(least) => step.needs.iter().filter(completed).count() >= least,
            None => step.needs.iter().all(passed),
        };
        if !runs {
            continue;
        }
        let end = match step.items {
            None => step.ends[0],
            Some((count, least)) => {
                let well = step
                    .ends
                    .iter()
                    .filter(|end| **end == StepOutcome::Completed);
                if well.count() >= least.unwrap_or(count) as usize {
                    StepOutcome::Completed
                } else {
                    StepOutcome::Failed
                }
            }
        };
        broken |= end == StepOutcome::Failed && step.on_failure != OnFailure::Continue;
        ran.insert(at, end);
    }
    (ran, broken)
}

fn plan(id: &str, steps: &[Step], luck: &mut StdRng) -> Plan {
    let mut plan = Plan::new(id);
    for step in steps {
        let needs: Vec<&str> = step
            .needs
            .iter()
            .map(|need| steps[*need].name.as_str())
            .collect();
        plan = plan.step(&step.name, &needs, step.least, |plan| {
            plan.on_failure = step.on_failure;
            plan.min_success = step.items.and_then(|(_, least)| least);
        });
    }
    plan.max_parallel = luck
        .random_bool(0.5)
        .then(|| luck.random_range(1..10_u32).try_into().unwrap());
    plan
}

/// Workers that read, settle, repeat and die at random.
struct Workers<'a> {
    fixture: &'a Fixture,
    steps: &'a [Step],
    plan: &'a Plan,
    luck: StdRng,
    hands: Vec<DeliveredEntry>,
    ended: BTreeSet<String>,
    died: u64,
}

impl Workers<'_> {
    async fn work(&mut self) {
        loop {
            let worker = format!("w{}", self.died);
            let wanted = self.luck.random_range(1..8);
            let read = self.fixture.read(&worker, wanted).await;
            for one in &read {
                self.assert_may_run(&step_of(one).instance()).await;
            }
            self.hands.extend(read);
            if self.hands.is_empty() {
                return;
            }
            if self.luck.random_bool(0.1) {
                // It dies with all its entries and without a heartbeat.
                self.hands.clear();
                self.died += 1;
                let _recovered = self
                    .fixture
                    .broker
                    .workers()
                    .recover(&self.fixture.queue, std::time::Duration::ZERO)
                    .await
                    .unwrap();
                continue;
            }
            let at = self.luck.random_range(0..self.hands.len());
            let one = self.hands.swap_remove(at);
            self.end(&one).await;
            if self.luck.random_bool(0.1) {
                // The reply was lost: the call is repeated.
                assert_eq!(self.tell(&one).await, Fence::Lost);
            }
        }
    }

    async fn end(&mut self, one: &DeliveredEntry) {
        let instance = step_of(one).instance();
        assert_eq!(self.tell(one).await, Fence::Held, "{instance}");
        let first = self.ended.insert(instance.to_string());
        assert!(first, "{instance} ended twice");
    }

    async fn tell(&self, one: &DeliveredEntry) -> Fence {
        let instance = step_of(one).instance();
        let step = self.step(&instance);
        match (step.items, instance.index) {
            (Some((count, _)), None) => {
                let memories: Vec<Checkpoint> = (0..count)
                    .map(|index| memory(&self.plan.id, &format!("{}/{index}", step.name)))
                    .collect();
                let fixture = self.fixture;
                let expanded = fixture
                    .broker
                    .chains()
                    .expand_step(&one.delivery, &self.plan.id, &name(&step.name), &memories)
                    .await;
                expanded.unwrap()
            }
            (_, index) => {
                let outcome = step.ends[index.unwrap_or(0) as usize];
                self.fixture.end_step(one, outcome).await
            }
        }
    }

    fn step(&self, instance: &Instance) -> &Step {
        self.steps
            .iter()
            .find(|step| step.name == instance.step.as_str())
            .unwrap()
    }

    /// Asserts that enough needs of a delivered step have ended.
    async fn assert_may_run(&self, instance: &Instance) {
        let step = self.step(instance);
        let hash = self.fixture.chain_hash(&self.plan.id).await;
        let over = step
            .needs
            .iter()
            .filter(|need| hash.contains_key(&format!("s:{}", self.steps[**need].name)));
        let least = step.least.unwrap_or(step.needs.len());
        assert!(over.count() >= least, "{instance} runs before its needs");
    }
}

#[tokio::test]
async fn random_chains_end_as_the_model_predicts() {
    for seed in 0..CHAINS {
        let mut luck = StdRng::seed_from_u64(seed);
        let steps = random_steps(&mut luck);
        let (ran, broken) = expected(&steps);
        let fixture = Fixture::new().await;
        let plan = plan(&format!("chain-{seed}"), &steps, &mut luck);
        assert_eq!(fixture.begin_chain(&plan).await, ChainStarted::Yes);
        let mut workers = Workers {
            fixture: &fixture,
            steps: &steps,
            plan: &plan,
            luck,
            hands: Vec::new(),
            ended: BTreeSet::new(),
            died: 0,
        };
        workers.work().await;

        let mut instances = BTreeSet::new();
        for at in ran.keys() {
            let step = &steps[*at];
            instances.insert(step.name.clone());
            let items = step.items.map_or(0, |(count, _)| count);
            instances.extend((0..items).map(|index| format!("{}/{index}", step.name)));
        }
        assert_eq!(workers.ended, instances, "seed {seed}");
        let hash = fixture.chain_hash(&plan.id).await;
        let state = if broken { "failed" } else { "completed" };
        assert_eq!(hash["state"], state, "seed {seed}");
        for (at, end) in &ran {
            let name = &steps[*at].name;
            assert_eq!(
                hash[&format!("s:{name}")],
                end.as_str(),
                "seed {seed}: {name}"
            );
        }
        let ends = hash.keys().filter(|field| field.starts_with("s:")).count();
        assert_eq!(ends, ran.len(), "seed {seed}: steps ran that must not");
    }
}
