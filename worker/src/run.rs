//! A job's run: admitted, routed, tried, tried again, tried elsewhere.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_shared::{
    call::{CallError, ErrorClass},
    config::RetryPolicy,
    envelope::Envelope,
    event::Event,
    routing::Candidate,
    state::JobState,
};

use crate::{
    admit::admit,
    attempt::{Attempted, attempt},
    deps::Deps,
    job::Job,
    patience::patiently,
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

/// `Err` is as good an end as `Ok`; it is the short way out.
async fn try_all(job: &Job, envelope: &Envelope, deps: &Deps) -> Result<Verdict, Verdict> {
    let policy = retry::policy(&deps.config, envelope)
        .map_err(|error| Discard::new(ErrorClass::BadRequest.as_str(), error))?;
    let prompt = deps.router.measure(envelope);
    let decision = deps
        .router
        .decide(envelope, prompt)
        .map_err(|none| Discard::new(ErrorClass::BadRequest.as_str(), none.error))?;
    let mut last: Option<CallError> = None;
    for candidate in &decision.candidates {
        let platform = candidate.provider.name.as_str();
        if job
            .progress()
            .resume
            .spent
            .iter()
            .any(|spent| spent == platform)
        {
            continue;
        }
        let error = try_one(job, envelope, candidate, &policy, deps).await?;
        {
            let mut progress = job.progress();
            progress.resume.spent.push(platform.to_owned());
            progress.resume.tries = 0;
        }
        let end = retry::ends_job(error.class);
        last = Some(error);
        if end {
            break;
        }
    }
    Ok(Verdict::Discarded(all_failed(job, last.as_ref())))
}

/// Tries one platform until it answers or its cycle of tries is over; `Err` is the job's end.
async fn try_one(
    job: &Job,
    envelope: &Envelope,
    candidate: &Candidate<'_>,
    policy: &RetryPolicy,
    deps: &Deps,
) -> Result<CallError, Verdict> {
    loop {
        let error = match attempt(job, envelope, candidate, deps).await {
            Attempted::Answered(answer) => return Err(Verdict::Answered(answer)),
            Attempted::Ended(verdict) => return Err(verdict),
            Attempted::Failed(error) => error,
        };
        let tries = {
            let mut progress = job.progress();
            progress.resume.tries += 1;
            progress.resume.tries
        };
        match retry::next(policy, tries, &error, rand::random()) {
            Next::End | Next::Elsewhere => return Ok(error),
            Next::Again(wait) => pause(job, envelope, wait, policy, deps).await?,
        }
    }
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
        )
    };
    let (attempt, event, resume, concurrency) = step;
    let fence = patiently("record a failed attempt", || {
        deps.broker
            .fail(&job.held, attempt, &event, concurrency.as_ref(), &resume)
    })
    .await;
    match fence {
        longshore_shared::broker::Fence::Held => Ok(()),
        longshore_shared::broker::Fence::Lost => Err(Verdict::Gone),
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
    let tried = progress.resume.spent.join(", ");
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
