//! Loads what a step's templates can read: the outcomes of the steps before it.

use std::{collections::BTreeMap, ops::ControlFlow};

use longshore_protocol::{
    chain::{
        ChainId, Instance, StepName, StepRef,
        template::{RecipeScope, StepAnswers, TemplateScope},
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
    ControlFlow::Continue(TemplateScope {
        chain: step.chain.clone(),
        chain_name: step.chain_name.clone(),
        steps: load_steps(&step.chain, &step.reads, context).await?,
        item: step.item.clone(),
        index: step.index,
        gather: step.gather.clone(),
        recipe: if step.reads_recipe {
            Some(load_recipe(step, context).await?)
        } else {
            None
        },
    })
}

/// What a step of a recipe reads of the job that called it, and of the last round.
async fn load_recipe(step: &StepRef, context: &Context) -> Stage<RecipeScope> {
    let found = retry_until_answered("read recipe", || {
        context.broker.chains().recipe_inputs(&step.chain)
    })
    .await;
    let Some(mut inputs) = found else {
        return not_found(&format!("{}/job", step.chain));
    };
    refuse_encrypted("the job of the recipe", &mut inputs)?;
    let last = match &step.last_round {
        Some(chain) => Some(load_steps(chain, &step.reads_last, context).await?),
        None => None,
    };
    ControlFlow::Continue(RecipeScope { inputs, last })
}

/// The outcomes of these steps of a chain.
async fn load_steps(
    chain: &ChainId,
    names: &[StepName],
    context: &Context,
) -> Stage<BTreeMap<StepName, StepAnswers>> {
    // Most steps read none, and none costs no command.
    if names.is_empty() {
        return ControlFlow::Continue(BTreeMap::new());
    }
    let ends = retry_until_answered("read chain", || {
        context.broker.chains().step_ends(chain, names)
    })
    .await;
    let mut steps = BTreeMap::new();
    for (name, (ended, items)) in names.iter().zip(ends) {
        let view = match (ended.as_deref(), items) {
            (None, _) => StepAnswers::One(None),
            (Some(_), Some(items)) => {
                StepAnswers::Many(item_outcomes(chain, name, items, context).await?)
            }
            (Some(_), None) => StepAnswers::One(Some(step_outcome(chain, name, context).await?)),
        };
        steps.insert(name.clone(), view);
    }
    ControlFlow::Continue(steps)
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
    let found = load_outcomes(&step.chain, &instances, context).await;
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
async fn step_outcome(chain: &ChainId, name: &StepName, context: &Context) -> Stage<Outcome> {
    match ended_outcome(chain, name, context).await? {
        Some(outcome) => ControlFlow::Continue(outcome),
        None => outcome_not_found(chain, &Instance::whole_step(name.clone())),
    }
}

/// The outcome of a step; `None` if it never ran.
pub(super) async fn ended_outcome(
    chain: &ChainId,
    name: &StepName,
    context: &Context,
) -> Stage<Option<Outcome>> {
    let instance = Instance::whole_step(name.clone());
    let mut found = load_outcomes(chain, std::slice::from_ref(&instance), context).await;
    let mut outcome = found.pop().flatten();
    if let Some(outcome) = &mut outcome {
        refuse_encrypted(&format!("output of {instance}"), outcome)?;
    }
    ControlFlow::Continue(outcome)
}

/// The outcomes of the items that succeeded, with their indexes.
async fn item_outcomes(
    chain: &ChainId,
    name: &StepName,
    items: u32,
    context: &Context,
) -> Stage<Vec<(u32, Outcome)>> {
    let mut outcomes = Vec::new();
    let instances: Vec<Instance> = (0..items)
        .map(|index| Instance::item(name.clone(), index))
        .collect();
    for batch in instances.chunks(BATCH) {
        let found = load_outcomes(chain, batch, context).await;
        for (instance, outcome) in batch.iter().zip(found) {
            let Some(mut outcome) = outcome else {
                return outcome_not_found(chain, instance);
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
    chain: &ChainId,
    instances: &[Instance],
    context: &Context,
) -> Vec<Option<Outcome>> {
    retry_until_answered("load step outcomes", || {
        context.broker.chains().step_outcomes(chain, instances)
    })
    .await
}

/// A step never runs without an outcome that it reads.
fn outcome_not_found<T>(chain: &ChainId, instance: &Instance) -> Stage<T> {
    not_found(chain.job(instance).as_str())
}

/// `docs/PROTOCOL.md` fixes the text.
fn not_found<T>(what: &str) -> Stage<T> {
    let error = format!("Handoff context not found: {what}. Task cannot proceed.");
    ControlFlow::Break(Discard::new(OUTCOME_NOT_FOUND, error).into())
}
