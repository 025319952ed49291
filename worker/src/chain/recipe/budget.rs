//! Refuses a recipe that could cost more than its job may, before anything is paid.

use std::sync::Arc;

use longshore_policy::recipes::{Explainer, Explanation, Recipe};
use longshore_protocol::{chain::template::RecipeInputs, clock::local_time};

use super::Run;
use crate::{
    blocking,
    disposition::Discard,
    route::{estimate::BUDGET_EXCEEDED, policy::Policy},
};

/// Fails if the most possible cost of all rounds is known, and is over the job's `max_cost_usd`.
pub(super) async fn check_budget(
    run: Run<'_>,
    recipe: Arc<Recipe>,
    inputs: &RecipeInputs,
) -> Result<(), Discard> {
    let Some(max_cost) = run.envelope.max_cost else {
        return Ok(());
    };
    let rounds = run.call.repeat.as_ref().map_or(1, |repeat| repeat.at_most);
    let (policy, inputs) = (run.context.policy(), inputs.clone());
    let explained = blocking::TEMPLATES
        .run(move || explain(&policy, &recipe, &inputs, rounds))
        .await;
    // What cannot be explained fails where it runs.
    let Ok(Some(explained)) = explained else {
        return Ok(());
    };
    if explained.may_cost_more || explained.at_most <= max_cost {
        return Ok(());
    }
    let error = format!(
        "recipe `{}` may cost ${}, and the job may cost ${max_cost}: raise `max_cost_usd`, or limit the answers of the \
         recipe",
        run.call.name, explained.at_most
    );
    Err(Discard::new(BUDGET_EXCEEDED, error))
}

fn explain(
    policy: &Policy,
    recipe: &Recipe,
    inputs: &RecipeInputs,
    rounds: u32,
) -> Option<Explanation> {
    let config = &policy.config;
    let explainer = Explainer {
        recipes: &config.recipes,
        catalog: &config.catalog,
        routing: &config.routing,
        router: &policy.router,
        limits: &config.limits,
        now: local_time(),
    };
    explainer.job(recipe, inputs, rounds).ok()
}
