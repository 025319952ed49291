//! Answers a job by a recipe: starts the recipe's chain, parks the job until the chain ends, and ends the job with the
//! chain's answer. Each round of a repetition is a chain of its own.

mod budget;
mod end;
mod start;

use std::sync::Arc;

use longshore_broker::{ChainRetried, ChainRetry};
use longshore_policy::recipes::{Recipe, RecipeError};
use longshore_protocol::{
    chain::{ChainId, ChainState},
    checkpoint::Spent,
    envelope::Envelope,
    event::{DeadLetterEnd, DeadLetterResolution, Event},
    outcome::{ChainOutcome, RecipeOutcome},
    recipe::{RecipeCall, RecipeProgress},
};

use self::{end::end_round, start::start_round};
use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition, WaitsFor},
    job::Job,
    record::serialize,
};

/// Why a job is given up whose recipe cannot start.
const BAD_RECIPE: &str = "bad_recipe";

/// Why a job is given up whose recipe did not complete.
const RECIPE_FAILED: &str = "recipe_failed";

/// How long a job waits until it looks at its chain again. The end of the chain releases it before; this is for a chain
/// that somebody deleted.
const LOOK_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// How a recipe answered a job.
#[derive(Debug, Clone)]
pub(crate) struct RecipeResult {
    pub(crate) outcome: RecipeOutcome,
    /// What all its rounds spent.
    pub(crate) spent: Spent,
}

/// A job and the recipe that answers it.
#[derive(Clone, Copy)]
struct Run<'a> {
    job: &'a Job,
    call: &'a RecipeCall,
    envelope: &'a Envelope,
    context: &'a Context,
}

impl Run<'_> {
    fn recipe(self) -> Result<Arc<Recipe>, RecipeError> {
        let policy = self.context.policy();
        policy.config.recipes.find(&self.call.name).cloned()
    }

    /// Parks the job until the chain ends.
    fn wait(self) -> Disposition {
        Disposition::Parked {
            due: self.context.clock.now() + LOOK_AGAIN,
            waits_for: WaitsFor::Recipe,
        }
    }

    /// Remembers that the chain has been retried for the job's last replay.
    fn remember_replay(self, progress: RecipeProgress) {
        let checkpoint = &mut self.job.progress().checkpoint;
        let replays = checkpoint.replays;
        checkpoint.recipe = Some(Box::new(RecipeProgress {
            replays,
            ..progress
        }));
    }

    async fn read(self, chain: &ChainId) -> Option<ChainOutcome> {
        retry_until_answered("read recipe", || self.context.broker.chains().read(chain)).await
    }
}

/// Runs the recipe of a job as far as it goes without waiting.
pub(crate) async fn run_recipe(
    job: &Job,
    call: &RecipeCall,
    envelope: &Envelope,
    context: &Context,
) -> Disposition {
    let run = Run {
        job,
        call,
        envelope,
        context,
    };
    let Some(progress) = job.progress().checkpoint.recipe.clone() else {
        return start_round(run, 1, Spent::default(), None).await;
    };
    let is_replay = job.progress().checkpoint.replays > progress.replays;
    match run.read(&progress.chain).await {
        Some(outcome) if !outcome.state.is_final() => {
            // A worker that died had retried it.
            run.remember_replay(*progress);
            run.wait()
        }
        Some(outcome) if is_replay && outcome.state != ChainState::Completed => {
            retry(run, *progress, outcome).await
        }
        Some(outcome) => end_round(run, &progress, outcome).await,
        // The chain expired before the dead letter was replayed.
        None if is_replay => start_round(run, 1, progress.earlier, None).await,
        None => {
            let error = format!("the chain {} is no longer stored", progress.chain);
            Discard::new(RECIPE_FAILED, error).into()
        }
    }
}

/// Runs again what failed in the chain of a job that was replayed.
async fn retry(run: Run<'_>, progress: RecipeProgress, outcome: ChainOutcome) -> Disposition {
    let (chains, now) = (run.context.broker.chains(), run.context.clock.now());
    let limits = run.context.policy().config.limits;
    let retry = retry_until_answered("retry recipe", || {
        chains.retry_with_letters(&progress.chain, &limits, now)
    })
    .await;
    record_replays(&retry, run.context).await;
    run.remember_replay(progress.clone());
    match retry.result {
        ChainRetried::Again(_) | ChainRetried::Running => run.wait(),
        ChainRetried::Unknown | ChainRetried::Nothing => end_round(run, &progress, outcome).await,
    }
}

/// Records that the dead letters of the chain's jobs were replayed.
async fn record_replays(retry: &ChainRetry, context: &Context) {
    let gone_at = context.clock.now();
    let events: Vec<_> = retry
        .replayed
        .iter()
        .filter_map(|(id, at)| {
            let resolved = DeadLetterEnd {
                id: id.clone(),
                at: *at,
                resolution: DeadLetterResolution::Replayed,
                gone_at,
            };
            let event = Event {
                dead_end: Some(Box::new(resolved)),
                ..Event::default()
            };
            serialize(&event, context.broker.keyring())
        })
        .collect();
    if !events.is_empty() {
        let append = || context.broker.events().append(&events);
        retry_until_answered("record replays", append).await;
    }
}

/// Cancels the chain of a job that ends before its recipe.
pub(crate) async fn stop_recipe(job: &Job, context: &Context) {
    let Some(progress) = job.progress().checkpoint.recipe.clone() else {
        return;
    };
    let chains = context.broker.chains();
    retry_until_answered("cancel recipe", || chains.cancel(&progress.chain)).await;
}
