//! Starts a round of a recipe.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use longshore_broker::{ChainPlan, ChainStarted};
use longshore_policy::recipes::{Expanded, Recipe, RecipeError};
use longshore_protocol::{
    call::{ChatMessage, Content, Part},
    chain::{
        ChainId, Document, StepName, StepRef,
        template::{RecipeInputs, steps_of_expression},
    },
    checkpoint::Spent,
    envelope::Envelope,
    money::Usd,
    recipe::{MAX_NESTED, RecipeProgress},
};
use longshore_service::instruments::CHAINS_STARTED;
use serde_json::{Map, Value, json};

use super::{BAD_RECIPE, Run, budget::check_budget};
use crate::{
    backoff::retry_until_answered,
    chain::plan::{Around, Planner},
    disposition::{Discard, Disposition},
    record::serialize,
    route::estimate::BUDGET_EXCEEDED,
    trace::Traced,
};

/// Starts a round and parks the job. `earlier` is what the rounds before spent, `last_round` the chain of the last one.
pub(super) async fn start_round(
    run: Run<'_>,
    round: u32,
    earlier: Spent,
    last_round: Option<ChainId>,
) -> Disposition {
    let (recipe, inputs, expanded) = match expand(run, round) {
        Ok(expanded) => expanded,
        Err(fault) => return Discard::new(BAD_RECIPE, fault).into(),
    };
    if round == 1
        && let Err(discard) = check_budget(run, recipe, &inputs).await
    {
        return discard.into();
    }
    let max_cost = match most_cost(run.envelope, &expanded.document, earlier) {
        Ok(max_cost) => max_cost,
        Err(discard) => return discard.into(),
    };
    let id = ChainId::of_recipe(&run.job.delivery.entry_id, &run.call.name, round);
    let planner = planner(run, &id, &expanded.document, max_cost, last_round);
    let steps = planner.step_plans();
    let Some(inputs) = serialize(&inputs, run.context.broker.keyring()) else {
        return Discard::new(BAD_RECIPE, "the job cannot be stored for the recipe").into();
    };
    let plan = ChainPlan {
        id: &id,
        hash: expanded.document.hash(),
        document: &expanded.text,
        name: Some(run.call.name.as_str()),
        max_parallel: expanded.document.max_parallel,
        fail_fast: expanded.document.fail_fast,
        reply: None,
        metadata: None,
        traceparent: run.envelope.traceparent.as_deref(),
        steps: &steps,
        drop_event: None,
        inputs: Some(&inputs),
    };
    match start(run, &plan).await {
        ChainStarted::Lost => return Disposition::Gone,
        ChainStarted::Yes => {
            CHAINS_STARTED.add([], 1);
            tracing::info!(job_id = %run.job.id(), chain_id = %id, round, "recipe started");
        }
        // A worker that died had started it.
        ChainStarted::Duplicate | ChainStarted::Conflict => {}
    }
    let mut progress = run.job.progress();
    let replays = progress.checkpoint.replays;
    progress
        .checkpoint
        .started_at
        .get_or_insert(run.context.clock.now());
    progress.checkpoint.recipe = Some(Box::new(RecipeProgress {
        chain: id,
        round,
        replays,
        earlier,
    }));
    drop(progress);
    run.wait()
}

async fn start(run: Run<'_>, plan: &ChainPlan<'_>) -> ChainStarted {
    retry_until_answered("start recipe", || {
        run.context.broker.chains().start(&run.job.delivery, plan)
    })
    .await
}

/// The recipe, the chain of the round, and what its steps read of the job; or what is wrong.
fn expand(run: Run<'_>, round: u32) -> Result<(Arc<Recipe>, RecipeInputs, Expanded), String> {
    if levels(run) > MAX_NESTED {
        return Err(format!(
            "recipes call one another more than {MAX_NESTED} deep"
        ));
    }
    let say = |error: RecipeError| error.to_string();
    let recipe = run.recipe().map_err(say)?;
    let inputs = RecipeInputs {
        job: fields_of(run)?,
        parameters: recipe.parameters(&run.call.parameters).map_err(say)?,
        round,
    };
    let limits = run.context.policy().config.limits;
    let expanded = recipe.expand(&inputs, &limits).map_err(say)?;
    check_until(run, &expanded.document)?;
    Ok((recipe, inputs, expanded))
}

/// How many recipes are around the steps of this one.
fn levels(run: Run<'_>) -> u32 {
    let progress = run.job.progress();
    let step = progress.checkpoint.step.as_deref();
    step.map_or(0, |step| step.recipes_around).saturating_add(1)
}

/// The condition of a repetition may read every step of the recipe.
fn check_until(run: Run<'_>, document: &Document) -> Result<(), String> {
    let Some(repeat) = &run.call.repeat else {
        return Ok(());
    };
    let is_known = |name: &StepName| document.steps.iter().any(|step| step.name == *name);
    match steps_of_expression(&repeat.until)
        .iter()
        .find(|name| !is_known(name))
    {
        None => Ok(()),
        Some(unknown) => {
            let names: Vec<&str> = document
                .steps
                .iter()
                .map(|step| step.name.as_str())
                .collect();
            Err(format!(
                "`repeat`: `until`: recipe `{}` has no step `{unknown}`; expected one of {}",
                run.call.name,
                names.join(", ")
            ))
        }
    }
}

/// The fields of the job that templates read as `job`.
fn fields_of(run: Run<'_>) -> Result<Map<String, Value>, String> {
    let envelope = run.envelope;
    let mut texts = Vec::new();
    for message in &envelope.messages {
        match &message.content {
            Content::Text(_) if message.tool_calls.is_empty() => {}
            Content::Parts(parts) if parts.iter().all(is_text) => {}
            _ => {
                return Err(
                    "a recipe reads texts only: leave images, files, sound and calls of tools out"
                        .to_owned(),
                );
            }
        }
        texts.push(json!({"role": message.role.as_str(), "content": message.text()}));
    }
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
    let prompt = envelope.messages.last().map(ChatMessage::text);
    let fields = [
        ("id", Value::from(run.job.id().as_str())),
        (
            "prompt",
            prompt.map_or(Value::Null, |prompt| prompt.into_owned().into()),
        ),
        ("messages", Value::from(texts)),
        ("type", Value::from(envelope.task_type.as_str())),
        ("risk", text(&envelope.routing.risk)),
        ("area", text(&envelope.routing.area)),
        ("complexity", text(&envelope.routing.complexity)),
        ("tenant", text(&envelope.tenant)),
        (
            "metadata",
            Value::Object(envelope.metadata.clone().unwrap_or_default()),
        ),
    ];
    Ok(fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect())
}

fn is_text(part: &Part) -> bool {
    matches!(part, Part::Text(_))
}

/// The most that the round may cost: what the job has left, and no more than the recipe allows.
fn most_cost(
    envelope: &Envelope,
    document: &Document,
    earlier: Spent,
) -> Result<Option<Usd>, Discard> {
    let of_job = match envelope.max_cost {
        None => None,
        Some(max_cost) if max_cost > earlier.cost_usd => Some(Usd(max_cost.0 - earlier.cost_usd.0)),
        Some(max_cost) => {
            let spent = earlier.cost_usd;
            let error =
                format!("the rounds of its recipe cost ${spent}, and the job may cost ${max_cost}");
            return Err(Discard::new(BUDGET_EXCEEDED, error));
        }
    };
    Ok(match (of_job, document.max_cost) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    })
}

fn planner<'a>(
    run: Run<'a>,
    id: &'a ChainId,
    document: &'a Document,
    max_cost: Option<Usd>,
    last_round: Option<ChainId>,
) -> Planner<'a> {
    let now = run.context.clock.now();
    let recipes = levels(run);
    let progress = run.job.progress();
    let received = progress.checkpoint.enqueued_at;
    let step = progress.checkpoint.step.as_deref();
    Planner {
        id,
        document,
        traceparent: Traced::Chain(id.as_str())
            .below(run.envelope.traceparent.as_deref(), run.context),
        deadline: earliest(
            run.envelope.deadline.map(|limit| limit.at(received)),
            document.deadline.map(|limit| limit.at(now)),
        ),
        max_cost,
        tenant: run.envelope.tenant.clone(),
        now,
        around: Around {
            parent: Some(progress.checkpoint.id.clone()),
            recipes,
            caps: step.into_iter().flat_map(StepRef::caps).collect(),
            last_round,
        },
    }
}

fn earliest(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
