//! Loads what a step's templates can read: the outcomes of the steps before it.

use std::{collections::BTreeMap, ops::ControlFlow};

use longshore_protocol::{
    chain::{
        Instance, StepName, StepRef,
        template::{StepAnswers, TemplateScope},
    },
    outcome::Outcome,
};

use crate::{
    admit::encrypted::refuse_encrypted,
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Stage},
};

/// Why a step is given up that lacks an outcome it reads.
const OUTCOME_NOT_FOUND: &str = "context_not_found";

/// The most outcomes of one command: each holds a whole answer.
const BATCH: usize = 200;

/// Loads what the templates of a step can read.
pub(super) async fn load_scope(step: &StepRef, context: &Context) -> Stage<TemplateScope> {
    let mut steps = BTreeMap::new();
    let ends = retry_until_answered("read chain", || {
        context.broker.chains().step_ends(&step.chain, &step.reads)
    })
    .await;
    for (name, (ended, items)) in step.reads.iter().zip(ends) {
        let view = match (ended.as_deref(), items) {
            (None, _) => StepAnswers::One(None),
            (Some(_), Some(items)) => {
                StepAnswers::Many(item_outcomes(step, name, items, context).await?)
            }
            (Some(_), None) => StepAnswers::One(Some(step_outcome(step, name, context).await?)),
        };
        steps.insert(name.clone(), view);
    }
    ControlFlow::Continue(TemplateScope {
        chain: step.chain.clone(),
        chain_name: step.chain_name.clone(),
        steps,
        item: step.item.clone(),
        index: step.index,
        gather: step.gather.clone(),
    })
}

/// The outcomes of all items of a step that has ended, in order, whether they succeeded or not.
pub(super) async fn load_items(
    step: &StepRef,
    name: &StepName,
    context: &Context,
) -> Stage<Vec<Outcome>> {
    let names = std::slice::from_ref(name);
    let ends = retry_until_answered("read chain", || {
        context.broker.chains().step_ends(&step.chain, names)
    })
    .await;
    let items = ends.first().and_then(|(_, items)| *items).unwrap_or(0);
    let instances: Vec<Instance> = (0..items)
        .map(|index| Instance::item(name.clone(), index))
        .collect();
    let mut outcomes = Vec::new();
    let found = load_outcomes(step, &instances, context).await;
    for (instance, outcome) in instances.iter().zip(found) {
        // An item that never began, or that is still being cancelled, has none.
        if let Some(mut outcome) = outcome {
            refuse_encrypted(&format!("output of {instance}"), &mut outcome)?;
            outcomes.push(outcome);
        }
    }
    ControlFlow::Continue(outcomes)
}

/// The outcome of a step that has ended. It must exist, however the step ended.
async fn step_outcome(step: &StepRef, name: &StepName, context: &Context) -> Stage<Outcome> {
    let instance = Instance::whole_step(name.clone());
    let mut found = load_outcomes(step, std::slice::from_ref(&instance), context).await;
    match found.pop().flatten() {
        Some(mut outcome) => {
            refuse_encrypted(&format!("output of {instance}"), &mut outcome)?;
            ControlFlow::Continue(outcome)
        }
        None => outcome_not_found(step, &instance),
    }
}

/// The outcomes of the items that succeeded, with their indexes.
async fn item_outcomes(
    step: &StepRef,
    name: &StepName,
    items: u32,
    context: &Context,
) -> Stage<Vec<(u32, Outcome)>> {
    let mut outcomes = Vec::new();
    let instances: Vec<Instance> = (0..items)
        .map(|index| Instance::item(name.clone(), index))
        .collect();
    for batch in instances.chunks(BATCH) {
        let found = load_outcomes(step, batch, context).await;
        for (instance, outcome) in batch.iter().zip(found) {
            let Some(mut outcome) = outcome else {
                return outcome_not_found(step, instance);
            };
            refuse_encrypted(&format!("output of {instance}"), &mut outcome)?;
            if let Some(index) = instance.index.filter(|_| outcome.success) {
                outcomes.push((index, outcome));
            }
        }
    }
    ControlFlow::Continue(outcomes)
}

async fn load_outcomes(
    step: &StepRef,
    instances: &[Instance],
    context: &Context,
) -> Vec<Option<Outcome>> {
    retry_until_answered("load step outcomes", || {
        context
            .broker
            .chains()
            .step_outcomes(&step.chain, instances)
    })
    .await
}

/// A step never runs without an outcome that it reads. `docs/PROTOCOL.md` fixes the text.
fn outcome_not_found<T>(step: &StepRef, instance: &Instance) -> Stage<T> {
    let error = format!(
        "Handoff context not found: {}. Task cannot proceed.",
        step.chain.job(instance)
    );
    ControlFlow::Break(Discard::new(OUTCOME_NOT_FOUND, error).into())
}
