//! What a step's templates can see: the answers of the steps before it, each loaded once from its context.

use std::collections::BTreeMap;

use longshore_protocol::{
    chain::{
        Instance, StepName, StepRef,
        template::{Scope, StepView},
    },
    outcome::Outcome,
};

use crate::{
    deps::Deps,
    patience::patiently,
    verdict::{Discard, Verdict},
};

/// Why a step is given up that cannot see what it needs.
const NO_CONTEXT: &str = "context_not_found";

/// Contexts that one command asks for: each holds a whole answer.
const TOGETHER: usize = 200;

/// What the templates of a step can see.
pub(super) async fn scope(step: &StepRef, deps: &Deps) -> Result<Scope, Verdict> {
    let mut steps = BTreeMap::new();
    let ends = patiently("read a chain", || {
        deps.broker.step_ends(&step.chain, &step.reads)
    })
    .await;
    for (name, (ended, items)) in step.reads.iter().zip(ends) {
        let view = match (ended.as_deref(), items) {
            (None, _) => StepView::One(None),
            (Some(_), Some(items)) => StepView::Many(many(step, name, items, deps).await?),
            (Some(_), None) => StepView::One(one(step, name, deps).await?),
        };
        steps.insert(name.clone(), view);
    }
    Ok(Scope {
        chain: step.chain.clone(),
        chain_name: step.chain_name.clone(),
        steps,
        item: step.item.clone(),
        index: step.index,
        gather: step.gather.clone(),
    })
}

/// A step that ended has a context, however it ended.
async fn one(step: &StepRef, name: &StepName, deps: &Deps) -> Result<Option<Outcome>, Verdict> {
    let instance = Instance::of(name.clone());
    let mut found = load(step, std::slice::from_ref(&instance), deps).await;
    match found.pop().flatten() {
        Some(outcome) => Ok(Some(outcome)),
        None => Err(missing(step, &instance)),
    }
}

async fn many(
    step: &StepRef,
    name: &StepName,
    items: u32,
    deps: &Deps,
) -> Result<Vec<(u32, Outcome)>, Verdict> {
    let mut outcomes = Vec::new();
    let instances: Vec<Instance> = (0..items)
        .map(|index| Instance::item(name.clone(), index))
        .collect();
    for part in instances.chunks(TOGETHER) {
        let found = load(step, part, deps).await;
        for (instance, outcome) in part.iter().zip(found) {
            let outcome = outcome.ok_or_else(|| missing(step, instance))?;
            if let Some(index) = instance.index.filter(|_| outcome.success) {
                outcomes.push((index, outcome));
            }
        }
    }
    Ok(outcomes)
}

async fn load(step: &StepRef, instances: &[Instance], deps: &Deps) -> Vec<Option<Outcome>> {
    patiently("load contexts", || {
        deps.broker.contexts(&step.chain, instances)
    })
    .await
}

/// A step never runs on an empty context.
fn missing(step: &StepRef, instance: &Instance) -> Verdict {
    Discard::new(
        NO_CONTEXT,
        format!(
            "Handoff context not found: {}. Task cannot proceed.",
            step.chain.job(instance)
        ),
    )
    .into()
}
