//! The life of a job: admit, route, reserve, call, retry. Its disposition is then settled by the layer in
//! [`settle`](crate::settle).

use std::{ops::ControlFlow, sync::Arc};

use longshore_protocol::call::CallError;
use tokio::sync::SemaphorePermit;

use crate::{
    admit::admit,
    call::{Called, call},
    chain,
    context::Context,
    disposition::{Disposition, OrDispose as _, Stage},
    gate,
    job::Job,
    reserve::reserve,
    retry::{self, NextRound},
    review::run_review,
    route::{
        self,
        candidates::{Query, select_first},
    },
    tools::{self, Toolbox},
    trace::StageSpan,
};

/// A job whose workers died this many times runs alone among jobs like it.
const SUSPECT_CRASHES: u32 = 2;

/// Runs a job until it has a disposition.
pub(crate) async fn run_job(job: Arc<Job>, context: Arc<Context>) -> Disposition {
    let disposition = match run_stages(&job, &context).await {
        ControlFlow::Continue(disposition) | ControlFlow::Break(disposition) => disposition,
    };
    chain::or_for_a_person(&job, disposition)
}

/// Each round of the loop makes one attempt or waits for one. A stage that ends the run breaks.
async fn run_stages(job: &Job, context: &Context) -> Stage<Disposition> {
    // Boxed, so that a job in its call does not hold memory for the stages around it.
    let admitted = Box::pin(admit(job, context)).await?;
    if let Some(webhook) = chain::Webhook::to_notify(job) {
        return ControlFlow::Continue(Box::pin(webhook.notify(job, context)).await);
    }
    if let Some(call) = &admitted.recipe {
        return ControlFlow::Continue(
            Box::pin(chain::run_recipe(job, call, &admitted, context)).await,
        );
    }
    if let Some(gate) = gate::GateStep::to_run(job) {
        return ControlFlow::Continue(Box::pin(gate.run(job, context)).await);
    }
    let asked = job.progress().asked.take();
    if let Some(asked) = asked {
        let run = run_review(job, asked, &admitted, context);
        return ControlFlow::Continue(Box::pin(run).await);
    }
    let toolbox = Toolbox::of_step(job, context)?;
    let admitted = match &toolbox {
        Some(toolbox) => toolbox.offer(&admitted),
        None => admitted,
    };
    let _alone = alone_if_suspect(job, context).await;
    let policy = &*context.policy();
    let retry_policy = retry::retry_policy(&policy.config, &admitted).or_dispose()?;
    // A long prompt is counted once, not for each decision and each attempt.
    let length = policy.router.measure(&admitted);
    let mut decision = route::decide(job, &admitted, length, policy).or_dispose()?;
    let authors = job.progress().authors.clone();
    if let Some(toolbox) = &toolbox {
        Box::pin(toolbox.resume(job, context)).await?;
    }
    let mut last_error: Option<CallError> = None;
    loop {
        // Another worker makes the next attempt: one that began now would delay the drain or be cut off by its end.
        if context.drain.is_cancelled() {
            return ControlFlow::Break(Disposition::HandedBack);
        }
        let mut checkpoint = job.progress().checkpoint.clone();
        let conversation = match &toolbox {
            Some(toolbox) => toolbox.converse(job, &admitted),
            None => admitted.clone(),
        };
        let envelope = retry::changed(job, &conversation);
        if toolbox.is_some() {
            tools::prefer_last(job, &mut decision);
        }
        let is_as_admitted = Arc::ptr_eq(&envelope, &admitted);
        let query = Query {
            queue: &job.delivery.queue,
            envelope: &envelope,
            length: if is_as_admitted {
                length
            } else {
                policy.router.measure(&envelope)
            },
            decision: &decision,
            authors: authors.as_deref(),
            policy,
            availability: &context.availability,
        };
        let routing = StageSpan::begin("route", job, context);
        let selected = select_first(query, &checkpoint).await;
        StageSpan::end(routing);
        let next = match selected {
            Ok(chosen) => {
                let follows_attempt = job.progress().open_attempt.is_some();
                if follows_attempt {
                    Box::pin(retry::record_open_attempt(
                        job,
                        context.clock.now(),
                        context,
                    ))
                    .await?;
                    checkpoint = job.progress().checkpoint.clone();
                }
                let reserving = StageSpan::begin("reserve", job, context);
                let reserved = Box::pin(reserve(job, query, chosen, checkpoint, context)).await;
                StageSpan::end(reserving);
                let attempt = reserved?;
                match call(job, &envelope, attempt, policy, context).await? {
                    Called::Answered(answer) => {
                        let calls_tools = !answer.tool_calls.is_empty();
                        if let Some(toolbox) = toolbox.as_ref().filter(|_| calls_tools) {
                            last_error = None;
                            Box::pin(toolbox.run_round(job, answer, context)).await?;
                            continue;
                        }
                        return ControlFlow::Continue(chain::answered(job, answer));
                    }
                    Called::Failed(failed) => {
                        let now = context.clock.now();
                        let larger =
                            retry::larger_limit(job, &envelope, &failed, &policy.config, now);
                        let next =
                            retry::after_failed_call(job, &failed, larger, &retry_policy, now);
                        context.log.attempt_failed(job, &failed, &next);
                        last_error = Some(failed.error);
                        next
                    }
                }
            }
            Err(none) => retry::without_candidate(job, none, last_error.as_ref(), context)?,
        };
        match next {
            NextRound::After(wait, waits_for) => {
                let wait = (wait, waits_for);
                Box::pin(retry::wait_in_place(
                    job,
                    &admitted,
                    wait,
                    &retry_policy,
                    context,
                ))
                .await?;
            }
            NextRound::OtherCandidate => {}
            NextRound::LargerWindow => {
                decision = route::decide(job, &admitted, length, policy).or_dispose()?;
            }
            NextRound::Escalate(discard) => {
                let higher = route::escalate(job, &admitted, length, &decision, policy);
                decision = higher.ok_or(discard).or_dispose()?;
            }
        }
    }
}

/// The permit to run, for a job whose workers died; other jobs need none.
async fn alone_if_suspect<'c>(job: &Job, context: &'c Context) -> Option<SemaphorePermit<'c>> {
    if job.progress().checkpoint.crashes < SUSPECT_CRASHES {
        return None;
    }
    // The semaphore is never closed; if it were, the job would still run.
    context.suspects.acquire().await.ok()
}
