//! Ends a round of a recipe: with the job's answer, with the next round, or with its failure.

use std::ops::ControlFlow;

use longshore_protocol::{
    call::{Answer, FinishReason},
    chain::{ChainState, SKIPPED, StepName, StepRef, Validation, template::steps_of_expression},
    checkpoint::Spent,
    outcome::{ChainOutcome, Outcome, RecipeOutcome},
    recipe::{RecipeProgress, Repeat},
};

use super::{RECIPE_FAILED, RecipeResult, Run, start::start_round};
use crate::{
    blocking,
    chain::scope::{ended_outcome, load_scope},
    disposition::{Discard, Disposition, OrDispose as _, Stage},
};

/// Why a job is given up whose condition did not hold in any round.
const REPEAT_EXHAUSTED: &str = "repeat_exhausted";

/// Follows the end of a round's chain.
pub(super) async fn end_round(
    run: Run<'_>,
    progress: &RecipeProgress,
    outcome: ChainOutcome,
) -> Disposition {
    let spent = progress.earlier.plus(Spent::from(&outcome));
    run.job.progress().recipe = Some(Box::new(RecipeResult {
        outcome: RecipeOutcome {
            name: run.call.name.clone(),
            chain_id: progress.chain.clone(),
            rounds: progress.round,
        },
        spent,
    }));
    match outcome.state {
        ChainState::Completed => {}
        ChainState::Cancelled => {
            return Disposition::Cancelled {
                reason: "cancelled",
                error: format!("the chain {} of its recipe was cancelled", progress.chain),
            };
        }
        _ => return failed(run, progress, &outcome).into(),
    }
    match completed(run, progress, outcome, spent).await {
        ControlFlow::Continue(disposition) | ControlFlow::Break(disposition) => disposition,
    }
}

fn failed(run: Run<'_>, progress: &RecipeProgress, outcome: &ChainOutcome) -> Discard {
    let why = outcome
        .error
        .as_deref()
        .unwrap_or("a step did not complete");
    let error = format!(
        "recipe `{}`, chain {}: {why}",
        run.call.name, progress.chain
    );
    Discard::new(RECIPE_FAILED, error)
}

/// The job's answer, or the next round.
async fn completed(
    run: Run<'_>,
    progress: &RecipeProgress,
    outcome: ChainOutcome,
    spent: Spent,
) -> Stage<Disposition> {
    if let Some(repeat) = &run.call.repeat
        && !holds(run, progress, repeat).await?
    {
        if progress.round < repeat.at_most {
            let (next, last) = (progress.round + 1, progress.chain.clone());
            return ControlFlow::Continue(start_round(run, next, spent, Some(last)).await);
        }
        let error = format!(
            "`{}` does not hold after {} rounds of recipe `{}`",
            repeat.until, progress.round, run.call.name
        );
        let answer = answer(run, progress, outcome).await?;
        return ControlFlow::Break(
            Discard {
                answer: Some(Box::new(answer)),
                ..Discard::new(REPEAT_EXHAUSTED, error)
            }
            .into(),
        );
    }
    let answer = answer(run, progress, outcome).await?;
    ControlFlow::Continue(Disposition::Answered(answer))
}

/// Whether the condition of a repetition holds after this round.
async fn holds(run: Run<'_>, progress: &RecipeProgress, repeat: &Repeat) -> Stage<bool> {
    let reader = StepRef {
        reads: steps_of_expression(&repeat.until),
        reads_recipe: true,
        ..StepRef::new(progress.chain.clone(), StepName::on_complete())
    };
    let scope = load_scope(&reader, run.context).await?;
    let until = repeat.until.clone();
    let evaluated = blocking::TEMPLATES.run(move || scope.holds(&until)).await;
    let held = match evaluated {
        Ok(held) => held.map_err(|error| error.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    };
    held.map_err(|error| {
        let error = format!("`repeat`: `until`: `{}`: {error}", repeat.until);
        Discard::new(RECIPE_FAILED, error)
    })
    .or_dispose()
}

/// The answer of the recipe's answering step, or else that of its last steps.
async fn answer(run: Run<'_>, progress: &RecipeProgress, outcome: ChainOutcome) -> Stage<Answer> {
    // A recipe that the configuration no longer has answers as any chain does.
    let recipe = run.recipe().ok();
    if let Some(step) = recipe
        .as_ref()
        .and_then(|recipe| recipe.validated_by.as_ref())
    {
        let checked = ended_outcome(&progress.chain, step, run.context).await?;
        run.job.progress().validation = checked.and_then(validation_of);
    }
    for step in recipe.iter().flat_map(|recipe| &recipe.answer) {
        let answered = ended_outcome(&progress.chain, step, run.context).await?;
        if let Some(answered) = answered.filter(|answered| answered.success) {
            return ControlFlow::Continue(answer_of_step(run, answered));
        }
    }
    run.job.progress().last_called = outcome.platform.zip(outcome.model);
    ControlFlow::Continue(Answer {
        finish_reason: outcome.finish_reason.unwrap_or(FinishReason::Stop),
        ..Answer::without_call(outcome.output.unwrap_or_default())
    })
}

/// What the recipe says about its answer. An answer that nobody could check needs a person.
fn validation_of(checked: Outcome) -> Option<Box<Validation>> {
    let is_skipped = checked.error_class.as_deref() == Some(SKIPPED);
    if checked.validation.is_some() || is_skipped {
        return checked.validation;
    }
    let error = checked.error.unwrap_or_default();
    let reason = format!("the answer was not checked: {error}");
    Some(Box::new(Validation::for_a_person(reason)))
}

fn answer_of_step(run: Run<'_>, answered: Outcome) -> Answer {
    let mut progress = run.job.progress();
    progress.last_called = answered.platform.zip(answered.model);
    progress.merged = answered.merged;
    Answer {
        tool_calls: answered.tool_calls,
        finish_reason: answered.finish_reason.unwrap_or(FinishReason::Stop),
        ..Answer::without_call(answered.output.unwrap_or_default())
    }
}
