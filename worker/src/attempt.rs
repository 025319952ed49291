//! One attempt: its turn awaited, called, and written down whatever comes of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::Spent;
use longshore_policy::{catalog::ModelEntry, routing::Candidate};
use longshore_protocol::{
    call::{Answer, Call, CallError, ErrorClass, Spend},
    envelope::Envelope,
    event::AttemptRecord,
    id::AttemptId,
    money::Usd,
    state::AttemptOutcome,
};

use crate::{
    begin::Begin,
    deps::Deps,
    job::Job,
    policy::Policy,
    run::cancelled,
    schema,
    verdict::{Discard, Verdict},
};

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Attempted {
    /// The provider answered.
    Answered(Answer),
    /// It did not; whether its circuit is open now.
    Failed(CallError, bool),
    /// The job does not go on here.
    Ended(Verdict),
}

/// Makes an attempt that was journalled.
pub(crate) async fn attempt(
    job: &Job,
    envelope: &Envelope,
    begun: Begin<'_>,
    policy: &Policy,
    deps: &Deps,
) -> Attempted {
    if let Some(verdict) = await_turn(job, begun.wait, deps).await {
        return Attempted::Ended(verdict);
    }
    let candidate = &begun.to.candidate;
    let Some(provider) = policy.providers.get(&candidate.provider.name) else {
        let error = format!("platform `{}` is not available", candidate.provider.name);
        let error = CallError::new(ErrorClass::Internal, error);
        let closed = close(job, candidate.model, Err(error), deps.clock.now());
        return finish(closed, begun, deps).await;
    };
    let call = match prepare(job, envelope, candidate, begun.attempt, deps.clock.now()) {
        Ok(call) => call,
        Err(discard) => {
            forgo(job);
            return Attempted::Ended(discard.into());
        }
    };
    let closed = tokio::select! {
        biased;
        answer = schema::checked(&**provider, &call, &policy.config.limits) => close(job, candidate.model, answer, deps.clock.now()),
        () = job.cancelled.cancelled() => {
            stop(job, "cancelled on request in mid-call", deps.clock.now());
            return Attempted::Ended(cancelled());
        }
        () = deps.abort.cancelled() => {
            stop(job, "handed back in mid-call: the worker had to stop", deps.clock.now());
            return Attempted::Ended(Verdict::HandedBack);
        }
    };
    finish(closed, begun, deps).await
}

/// Waits until it is the attempt's turn under a paced limit.
async fn await_turn(job: &Job, wait: Duration, deps: &Deps) -> Option<Verdict> {
    if wait.is_zero() {
        return None;
    }
    let verdict = tokio::select! {
        () = tokio::time::sleep(wait) => {
            if let Some(record) = &mut job.progress().open {
                record.started_at = deps.clock.now();
            }
            return None;
        }
        () = job.cancelled.cancelled() => cancelled(),
        () = deps.drain.cancelled() => Verdict::HandedBack,
    };
    forgo(job);
    Some(verdict)
}

/// The attempt is not made after all: no trace of it is left.
fn forgo(job: &Job) {
    let mut progress = job.progress();
    progress.resume.attempts = progress.resume.attempts.saturating_sub(1);
    progress.open = None;
    progress.spent = Spent::Known {
        tokens: 0,
        requests: 0,
        nanos: 0,
        answered: false,
    };
}

/// Lets the others know what the call says of the provider.
async fn finish(closed: Closed, begun: Begin<'_>, deps: &Deps) -> Attempted {
    let provider = begun.to.candidate.provider;
    let now = deps.clock.now();
    match closed {
        Closed::Answered(answer) => {
            begun.to.pass.succeeded().await;
            deps.accounts
                .heed_answer(provider, &answer.room, &deps.broker, now)
                .await;
            Attempted::Answered(answer)
        }
        Closed::Failed(error) => {
            deps.accounts
                .heed_failure(provider, &error, &deps.broker, now)
                .await;
            let open = begun.to.pass.failed(&error).await;
            Attempted::Failed(error, open)
        }
        Closed::Gone => Attempted::Ended(Verdict::Gone),
    }
}

fn prepare(
    job: &Job,
    envelope: &Envelope,
    candidate: &Candidate<'_>,
    attempt: AttemptId,
    now: DateTime<Utc>,
) -> Result<Call, Discard> {
    let received = job.progress().resume.enqueued_at;
    let left = envelope.deadline.map(|limit| limit.at(received) - now);
    let timeout = match left.map(|left| left.to_std().unwrap_or(Duration::ZERO)) {
        Some(Duration::ZERO) => return Err(Discard::new("expired", "its deadline has passed")),
        Some(left) => envelope.timeout.min(left),
        None => envelope.timeout,
    };
    let timeout = match candidate.provider.timeout {
        Some(cap) => timeout.min(cap),
        None => timeout,
    };
    Ok(Call {
        attempt_id: attempt,
        model: candidate.model.model.clone(),
        system: envelope.system.clone(),
        messages: envelope.messages.clone(),
        max_tokens: envelope.max_tokens,
        default_max_tokens: candidate.model.max_output_tokens,
        temperature: envelope.temperature,
        response_format: envelope.response_format.clone(),
        spawn: envelope.spawn,
        timeout,
    })
}

/// How a call ended.
enum Closed {
    Answered(Answer),
    Failed(CallError),
    Gone,
}

/// Writes the call's end into the open attempt.
fn close(
    job: &Job,
    model: &ModelEntry,
    answer: Result<Answer, CallError>,
    now: DateTime<Utc>,
) -> Closed {
    let mut progress = job.progress();
    let taken = progress.taken;
    let Some(record) = &mut progress.open else {
        return Closed::Gone;
    };
    record.finished_at = Some(now);
    let (closed, spent) = match answer {
        Ok(answer) => {
            record.outcome = AttemptOutcome::Completed;
            record.usage = answer.usage;
            let cost = model.cost(&answer.usage, record.started_at);
            record.cost_usd = Some(cost);
            record.reported_cost_usd = answer.reported_cost;
            record.response_id.clone_from(&answer.response_id);
            let spent = known(record, true);
            (Closed::Answered(answer), spent)
        }
        Err(error) => {
            record.outcome = AttemptOutcome::Failed;
            record.error_class = Some(error.class);
            record.error = Some(error.message.clone());
            record.status = error.status;
            let spent = match error.spend {
                Spend::Nothing => {
                    record.cost_usd = Some(Usd::ZERO);
                    known(record, false)
                }
                Spend::Unknown => Spent::Unknown,
                Spend::Known(usage) => {
                    record.usage = usage;
                    record.cost_usd = Some(model.cost(&usage, record.started_at));
                    known(record, false)
                }
            };
            (Closed::Failed(error), spent)
        }
    };
    measure(record);
    progress.spent = if taken { spent } else { Spent::NothingTaken };
    closed
}

/// What the attempt came to, for the limits that it took from.
fn known(record: &AttemptRecord, answered: bool) -> Spent {
    // Providers do not count what they turn away for being too much.
    let turned_away = matches!(
        record.error_class,
        Some(ErrorClass::RateLimited | ErrorClass::QuotaExhausted)
    );
    let reached = answered || record.status.is_some();
    Spent::Known {
        tokens: record.usage.total_input() + record.usage.total_output(),
        requests: u64::from(reached && !turned_away),
        nanos: record.cost_usd.unwrap_or(Usd::ZERO).nanos_up(),
        answered,
    }
}

/// The call is dropped; what the provider makes of it is not known.
fn stop(job: &Job, why: &str, now: DateTime<Utc>) {
    let mut progress = job.progress();
    let taken = progress.taken;
    if let Some(record) = &mut progress.open {
        record.outcome = AttemptOutcome::Cancelled;
        record.finished_at = Some(now);
        record.error = Some(why.to_owned());
        measure(record);
    }
    progress.spent = if taken {
        Spent::Unknown
    } else {
        Spent::NothingTaken
    };
}

fn measure(record: &AttemptRecord) {
    let platform = record.platform.clone();
    metrics::counter!(
        "longshore_attempts_total",
        "platform" => platform.clone(),
        "outcome" => record.outcome.as_str()
    )
    .increment(1);
    if let Some(took) = record
        .finished_at
        .and_then(|end| (end - record.started_at).to_std().ok())
    {
        metrics::histogram!("longshore_attempt_seconds", "platform" => platform).record(took);
    }
}
