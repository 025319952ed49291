//! Retry: decides what follows a failed attempt, and waits for the next one.

mod change;
mod policy;
mod wait;

use std::{ops::ControlFlow, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_policy::retry::RetryPolicy;
use longshore_protocol::call::{CallError, ErrorClass};

use self::policy::{AfterFailure, after_failure};
pub(crate) use self::{
    change::{changed, larger_limit},
    policy::retry_policy,
    wait::{record_open_attempt, wait_in_place},
};
use crate::{
    call::FailedCall,
    context::Context,
    disposition::{Discard, Disposition, Stage, WaitsFor},
    job::Job,
    route::{candidates::NoCandidate, estimate::cap_exceeded},
};

/// How the job continues after a round without an answer.
pub(crate) enum NextRound {
    /// Route again after this wait, for this.
    After(Duration, WaitsFor),
    /// Route again at once, to the next candidate.
    OtherCandidate,
    /// Route again to models with larger context windows.
    LargerWindow,
    /// Escalate to a higher tier if the job may; otherwise give it up for this reason.
    Escalate(Discard),
}

/// What follows a failed call; `larger` is the token limit that the next one could have. Updates what the checkpoint
/// says about the platform.
pub(crate) fn after_failed_call(
    job: &Job,
    failed: &FailedCall<'_>,
    larger: Option<u32>,
    policy: &RetryPolicy,
    now: DateTime<Utc>,
) -> NextRound {
    let FailedCall {
        candidate,
        error,
        circuit_is_open,
    } = failed;
    let platform = candidate.provider.name.as_str();
    let mut progress = job.progress();
    let checkpoint = &mut progress.checkpoint;
    if error.class == ErrorClass::ContextTooLong {
        let window = candidate.model.context_window;
        checkpoint.outgrew = Some(window.max(checkpoint.outgrew.unwrap_or(0)));
        checkpoint.tries.remove(platform);
        return NextRound::LargerWindow;
    }
    let earlier = checkpoint.earlier_tries.remove(platform).unwrap_or(0);
    let failures = checkpoint
        .tries
        .entry(platform.to_owned())
        .or_insert(earlier);
    *failures += 1;
    let failures = *failures;
    let quota_returns = error.class == ErrorClass::QuotaExhausted
        && error.retry_after.is_some()
        && failures <= policy.max_retries;
    let tries = (failures, checkpoint.repairs);
    let next = match after_failure(policy, tries, error, rand::random()) {
        AfterFailure::SamePlatform(wait) if !circuit_is_open => {
            let asks_for_long = error
                .retry_after
                .is_some_and(|asked| asked > policy.hold_limit);
            if !asks_for_long {
                return NextRound::After(wait, WaitsFor::Retry);
            }
            // Another platform may answer meanwhile; if none can, the job is parked until the wait ends.
            let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
            let until = now
                .checked_add_signed(wait)
                .unwrap_or(DateTime::<Utc>::MAX_UTC);
            checkpoint.not_before.insert(platform.to_owned(), until);
            return NextRound::OtherCandidate;
        }
        AfterFailure::ToldFault => {
            checkpoint.repairs += 1;
            checkpoint.fault = Some(error.message.clone());
            return NextRound::OtherCandidate;
        }
        AfterFailure::LargerLimit => {
            if larger.is_some() {
                checkpoint.repairs += 1;
                checkpoint.token_limit = larger;
                return NextRound::OtherCandidate;
            }
            AfterFailure::OtherModel
        }
        next => next,
    };
    checkpoint.tries.remove(platform);
    let stays_candidate = match next {
        // Its circuit closes again.
        AfterFailure::SamePlatform(_) => true,
        // Its quota returns at a known time.
        AfterFailure::OtherPlatform => quota_returns,
        AfterFailure::ToldFault
        | AfterFailure::LargerLimit
        | AfterFailure::OtherModel
        | AfterFailure::GiveUp => false,
    };
    if stays_candidate {
        checkpoint
            .earlier_tries
            .insert(platform.to_owned(), failures);
        return NextRound::OtherCandidate;
    }
    checkpoint.exhausted.push(platform.to_owned());
    match next {
        AfterFailure::GiveUp => {
            drop(progress);
            return NextRound::Escalate(all_failed(job, Some(error)));
        }
        AfterFailure::OtherModel => checkpoint.repairs += 1,
        AfterFailure::SamePlatform(_)
        | AfterFailure::ToldFault
        | AfterFailure::LargerLimit
        | AfterFailure::OtherPlatform => {}
    }
    NextRound::OtherCandidate
}

/// What follows a round in which no candidate could be called.
pub(crate) fn without_candidate(
    job: &Job,
    none: NoCandidate,
    last_error: Option<&CallError>,
    context: &Context,
) -> Stage<NextRound> {
    let next = match none {
        NoCandidate::Paused(lane) => return ControlFlow::Break(Disposition::Paused(lane)),
        NoCandidate::Until(until) => {
            let wait = until - context.clock.now();
            NextRound::After(wait.to_std().unwrap_or_default(), WaitsFor::Platform)
        }
        NoCandidate::OverCap(possible, cap) => NextRound::Escalate(cap_exceeded(cap, possible)),
        NoCandidate::AllFailed => NextRound::Escalate(all_failed(job, last_error)),
    };
    ControlFlow::Continue(next)
}

/// The reason for giving up a job that every platform failed.
fn all_failed(job: &Job, last_error: Option<&CallError>) -> Discard {
    let progress = job.progress();
    let checkpoint = &progress.checkpoint;
    let mut tried: Vec<&str> = Vec::new();
    let past = checkpoint.history.iter().map(|past| &past.platform);
    for platform in checkpoint.exhausted.iter().chain(past) {
        if !tried.contains(&platform.as_str()) {
            tried.push(platform);
        }
    }
    let (class, message) = match (last_error, checkpoint.history.last()) {
        (Some(error), _) => (error.class, error.message.as_str()),
        (None, Some(past)) => (past.error_class, past.error.as_str()),
        (None, None) => (ErrorClass::Internal, "no platform is left"),
    };
    let raised = checkpoint.token_limit.map_or_else(String::new, |limit| {
        format!(", with `max_tokens` raised to {limit}")
    });
    let message = message.trim_end_matches('.');
    let is_bound = progress
        .envelope
        .as_ref()
        .is_some_and(|envelope| !envelope.fallback);
    let text = if is_bound && tried.len() == 1 {
        format!("{message}{raised}. No other platform was tried, because `fallback` is false")
    } else {
        let tried = tried.join(", ");
        format!("All platforms failed. Last error: {message}. Tried: {tried}{raised}")
    };
    Discard::new(class.as_str(), text)
}
