//! A job's run: admitted, routed, tried, tried again, tried elsewhere.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_policy::{retry::RetryPolicy, routing::Decision};
use longshore_protocol::{
    call::{CallError, ErrorClass},
    chain::StepRef,
    envelope::Envelope,
    event::Event,
    state::JobState,
};

use crate::{
    admit::admit,
    attempt::{Attempted, attempt},
    begin::begin,
    chain,
    choose::{Choice, Query, choose},
    deps::Deps,
    job::Job,
    limits,
    patience::patiently,
    policy::Policy,
    records::{self, Ended},
    retry::{self, Next},
    settle::{close, json},
    verdict::{Discard, Verdict, Wait},
};

/// A job that was in so many crashes runs alone among its like.
const SUSPECT_CRASHES: u32 = 2;

/// Runs a job as far as it goes.
pub(crate) async fn run(job: Arc<Job>, deps: Arc<Deps>) -> Verdict {
    match admit(&job, &deps).await {
        Ok(envelope) => {
            if let Some((step, address)) = webhook(&job) {
                return chain::tell(&job, &step, &address, &deps).await;
            }
            let suspect = job.progress().resume.crashes >= SUSPECT_CRASHES;
            // The semaphore is never closed; should it be, the job runs all the same.
            let _alone = if suspect {
                deps.suspects.acquire().await.ok()
            } else {
                None
            };
            match try_all(&job, &envelope, &deps).await {
                Ok(verdict) | Err(verdict) => verdict,
            }
        }
        Err(verdict) => verdict,
    }
}

/// Of a job that no model answers: where it tells the end of its chain.
fn webhook(job: &Job) -> Option<(Box<StepRef>, String)> {
    let step = job.progress().resume.step.clone()?;
    let address = step.webhook.clone()?;
    Some((step, address))
}

/// `Err` is as good an end as `Ok`; it is the short way out.
async fn try_all(job: &Job, envelope: &Envelope, deps: &Deps) -> Result<Verdict, Verdict> {
    let policy = &*deps.policy();
    let retry = retry::policy(&policy.config, envelope)
        .map_err(|error| Discard::new(ErrorClass::BadRequest.as_str(), error))?;
    let mut decision = decide(job, envelope, policy)?;
    let mut last: Option<CallError> = None;
    loop {
        let resume = job.progress().resume.clone();
        let query = Query {
            envelope,
            decision: &decision,
            policy,
            deps,
        };
        let choice = choose(query, &resume, 1).await;
        if let Some(lane) = choice.waits_for_resume() {
            return Ok(Verdict::Paused(lane));
        }
        if choice.usable.is_empty() {
            match no_one(job, &choice, last.as_ref()) {
                Ok(until) => {
                    let wait = (until - deps.clock.now()).to_std().unwrap_or_default();
                    pause(job, envelope, wait, &retry, deps).await?;
                    continue;
                }
                Err(discard) => {
                    decision = escalate(job, envelope, &decision, policy).ok_or(discard)?;
                    continue;
                }
            }
        }
        if job.progress().open.is_some() {
            record_failure(job, deps.clock.now(), deps).await?;
        }
        let resume = job.progress().resume.clone();
        let begun = begin(job, query, choice, resume).await?;
        let platform = begun.to.candidate.provider.name.as_str();
        let window = begun.to.candidate.model.context_window;
        let (error, open) = match attempt(job, envelope, begun, policy, deps).await {
            Attempted::Answered(answer) => return Ok(Verdict::Answered(answer)),
            Attempted::Ended(verdict) => return Ok(verdict),
            Attempted::Failed(error, open) => (error, open),
        };
        let next = after(job, platform, window, &error, open, &retry);
        if error.class == ErrorClass::ContextTooLong {
            decision = decide(job, envelope, policy)?;
        }
        last = Some(error);
        match next {
            Next::Again(wait) => pause(job, envelope, wait, &retry, deps).await?,
            Next::Elsewhere => {}
            Next::End => {
                let higher = escalate(job, envelope, &decision, policy);
                decision = higher.ok_or_else(|| all_failed(job, last.as_ref()))?;
            }
        }
    }
}

/// Who may answer the job. One that did not fit a window goes to larger ones.
fn decide<'a>(job: &Job, envelope: &Envelope, policy: &'a Policy) -> Result<Decision<'a>, Discard> {
    let mut prompt = policy.router.measure(envelope);
    if let Some(window) = job.progress().resume.outgrew {
        prompt.upper_bound = prompt.upper_bound.max(window + 1);
    }
    let above = job.progress().resume.above;
    if let Some(higher) = above.and_then(|above| policy.router.escalate(envelope, prompt, above)) {
        return Ok(higher);
    }
    policy
        .router
        .decide(envelope, prompt)
        .map_err(|error| Discard::new(ErrorClass::BadRequest.as_str(), error.to_string()))
}

/// Of a step that escalates: who of a higher tier may answer what those of the decision could not.
fn escalate<'a>(
    job: &Job,
    envelope: &Envelope,
    decision: &Decision<'a>,
    policy: &'a Policy,
) -> Option<Decision<'a>> {
    let mut progress = job.progress();
    let resume = &mut progress.resume;
    if !resume.step.as_ref().is_some_and(|step| step.escalate) {
        return None;
    }
    let failed = decision.highest_tier()?;
    let prompt = policy.router.measure(envelope);
    let higher = policy.router.escalate(envelope, prompt, failed)?;
    resume.above = Some(failed);
    resume.spent.clear();
    resume.tries.clear();
    Some(higher)
}

/// What follows a failed attempt; takes down what it says of the platform.
fn after(
    job: &Job,
    platform: &str,
    window: u64,
    error: &CallError,
    open: bool,
    policy: &RetryPolicy,
) -> Next {
    let mut progress = job.progress();
    let resume = &mut progress.resume;
    if error.class == ErrorClass::ContextTooLong {
        resume.outgrew = Some(window.max(resume.outgrew.unwrap_or(0)));
        resume.tries.remove(platform);
        return Next::Elsewhere;
    }
    let tries = resume.tries.entry(platform.to_owned()).or_default();
    *tries += 1;
    let next = retry::next(policy, *tries, error, rand::random());
    match next {
        // The whole platform is not well: others first, and this one again when it is.
        Next::Again(_) if open => {
            resume.tries.remove(platform);
            Next::Elsewhere
        }
        // Its quota comes back at a time that is known: it can be waited for.
        Next::Elsewhere
            if error.class == ErrorClass::QuotaExhausted && error.retry_after.is_some() =>
        {
            resume.tries.remove(platform);
            Next::Elsewhere
        }
        Next::Again(_) => next,
        Next::Elsewhere | Next::End => {
            resume.tries.remove(platform);
            resume.spent.push(platform.to_owned());
            next
        }
    }
}

/// Nobody may be asked now: until when, or why never.
fn no_one(
    job: &Job,
    choice: &Choice<'_>,
    last: Option<&CallError>,
) -> Result<DateTime<Utc>, Discard> {
    if let Some(until) = choice.until {
        return Ok(until);
    }
    if let Some((could, allowance)) = choice.too_dear {
        return Err(limits::too_dear(could, allowance));
    }
    Err(all_failed(job, last))
}

/// Spends a wait: a short one in place, a long one in the lane of time.
async fn pause(
    job: &Job,
    envelope: &Envelope,
    wait: Duration,
    policy: &RetryPolicy,
    deps: &Deps,
) -> Result<(), Verdict> {
    let due = deps.clock.now() + wait;
    let received = job.progress().resume.enqueued_at;
    if let Some(deadline) = envelope
        .deadline
        .map(|limit| limit.at(received))
        .filter(|at| *at <= due)
    {
        let error = format!(
            "its deadline, {}, comes before the next attempt could",
            deadline.to_rfc3339()
        );
        return Err(Discard::new("expired", error).into());
    }
    if wait > policy.hold_limit {
        return Err(Verdict::Parked {
            due,
            until: Wait::Retry,
        });
    }
    record_failure(job, due, deps).await?;
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        () = job.cancelled.cancelled() => Err(cancelled()),
        // A worker that stops does not hold a job that only waits.
        () = deps.drain.cancelled() => Err(Verdict::Parked { due, until: Wait::Retry }),
    }
}

/// Records the open attempt, which another will follow in this place.
pub(crate) async fn record_failure(
    job: &Job,
    due: DateTime<Utc>,
    deps: &Deps,
) -> Result<(), Verdict> {
    let step = {
        let mut progress = job.progress();
        let Some(record) = close(&mut progress) else {
            return Ok(());
        };
        let ended = Ended {
            due: Some(due),
            error: record
                .error
                .as_deref()
                .zip(record.error_class.map(ErrorClass::as_str)),
            ..Ended::default()
        };
        let event = json(&Event {
            job: Some(records::job_record(
                job,
                &progress,
                JobState::Retryable,
                deps.clock.now(),
                &ended,
            )),
            attempt: Some(record.clone()),
            ..Event::default()
        });
        let resume = json(&progress.resume);
        (
            record.attempt_id,
            event,
            resume,
            progress.concurrency().cloned(),
            progress.spent,
        )
    };
    let (attempt, event, resume, concurrency, spent) = step;
    let fence = patiently("record a failed attempt", || {
        deps.broker.fail(
            &job.held,
            attempt,
            &event,
            concurrency.as_ref(),
            &resume,
            spent,
        )
    })
    .await;
    match fence {
        longshore_broker::Fence::Held => Ok(()),
        longshore_broker::Fence::Lost => Err(Verdict::Gone),
    }
}

/// What is said of a job that somebody asked to cancel.
pub(crate) fn cancelled() -> Verdict {
    Verdict::Cancelled {
        reason: "cancelled",
        error: "cancelled on request".to_owned(),
    }
}

fn all_failed(job: &Job, last: Option<&CallError>) -> Discard {
    let progress = job.progress();
    let mut tried: Vec<&str> = Vec::new();
    let asked = progress
        .resume
        .history
        .iter()
        .map(|past| past.platform.as_str());
    for platform in progress
        .resume
        .spent
        .iter()
        .map(String::as_str)
        .chain(asked)
    {
        if !tried.contains(&platform) {
            tried.push(platform);
        }
    }
    let tried = tried.join(", ");
    let past = progress.resume.history.last();
    let (class, said) = match (last, past) {
        (Some(error), _) => (error.class, error.message.clone()),
        (None, Some(past)) => (past.error_class, past.error.clone()),
        (None, None) => (
            ErrorClass::Internal,
            "no platform is left to try".to_owned(),
        ),
    };
    Discard::new(
        class.as_str(),
        format!("All platforms failed. Last error: {said}. Tried: {tried}"),
    )
}
