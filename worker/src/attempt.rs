//! One attempt: journalled, called, and written down whatever comes of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::Begun,
    call::{Answer, Call, CallError, ErrorClass, Spend, Usage},
    catalog::{ModelEntry, Prices},
    envelope::Envelope,
    event::AttemptRecord,
    id::AttemptId,
    money::Usd,
    state::AttemptOutcome,
};

use crate::{
    deps::Deps,
    job::Job,
    patience::patiently,
    route::Candidate,
    run::{cancelled, record_failure},
    settle::json,
    verdict::{Discard, Verdict},
};

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Attempted {
    /// The provider answered.
    Answered(Answer),
    /// It did not.
    Failed(CallError),
    /// The job does not go on here.
    Ended(Verdict),
}

/// Makes one attempt. Before it, whatever attempt is still open is recorded.
pub(crate) async fn attempt(
    job: &Job,
    envelope: &Envelope,
    candidate: &Candidate<'_>,
    deps: &Deps,
) -> Attempted {
    let unrecorded = job.progress().open.is_some();
    if unrecorded && let Err(verdict) = record_failure(job, deps.clock.now(), deps).await {
        return Attempted::Ended(verdict);
    }
    let Some(provider) = deps.providers.get(&candidate.provider.name) else {
        let error = format!("platform `{}` is not available", candidate.provider.name);
        return Attempted::Failed(CallError::new(ErrorClass::Internal, error));
    };
    let call = match prepare(job, envelope, candidate, deps.clock.now()) {
        Ok(call) => call,
        Err(discard) => return Attempted::Ended(discard.into()),
    };
    if let Some(ended) = begin(job, envelope, candidate, &call, deps).await {
        return Attempted::Ended(ended);
    }
    tokio::select! {
        biased;
        answer = provider.call(&call) => close(job, candidate.model, answer, deps.clock.now()),
        () = job.cancelled.cancelled() => {
            stop(job, "cancelled on request in mid-call", deps.clock.now());
            Attempted::Ended(cancelled())
        }
        () = deps.abort.cancelled() => {
            stop(job, "handed back in mid-call: the worker had to stop", deps.clock.now());
            Attempted::Ended(Verdict::HandedBack)
        }
    }
}

fn prepare(
    job: &Job,
    envelope: &Envelope,
    candidate: &Candidate<'_>,
    now: DateTime<Utc>,
) -> Result<Call, Discard> {
    let received = job.progress().resume.enqueued_at;
    let left = envelope.deadline.map(|limit| limit.at(received) - now);
    let timeout = match left.map(|left| left.to_std().unwrap_or(Duration::ZERO)) {
        Some(Duration::ZERO) => return Err(Discard::new("expired", "its deadline has passed")),
        Some(left) => envelope.timeout.min(left),
        None => envelope.timeout,
    };
    Ok(Call {
        attempt_id: AttemptId::new(),
        model: candidate.model.model.clone(),
        system: envelope.system.clone(),
        messages: envelope.messages.clone(),
        max_tokens: envelope.max_tokens,
        default_max_tokens: candidate.model.max_output_tokens,
        temperature: envelope.temperature,
        response_format: envelope.response_format.clone(),
        timeout,
    })
}

/// What is said of an attempt that nobody saw the end of.
const LOST: &str = "its worker died in mid-call";

/// An event that has an attempt and nothing else, in the form of [`Event`](longshore_shared::event::Event).
#[derive(serde::Serialize)]
struct AttemptEvent<'a> {
    attempt: &'a AttemptRecord,
}

/// Journals the attempt; what it says should its worker die is written beforehand.
async fn begin(
    job: &Job,
    envelope: &Envelope,
    candidate: &Candidate<'_>,
    call: &Call,
    deps: &Deps,
) -> Option<Verdict> {
    let (id, if_lost, record, resume) = {
        let mut progress = job.progress();
        let now = deps.clock.now();
        progress.resume.attempts += 1;
        let mut record = AttemptRecord {
            attempt_id: call.attempt_id,
            labels: progress.labels(&job.held),
            attempt: progress.resume.attempts,
            worker: deps.worker.clone(),
            platform: candidate.provider.name.to_string(),
            model: candidate.model.model.clone(),
            routing_reason: candidate.reason.to_string(),
            started_at: now,
            finished_at: None,
            outcome: AttemptOutcome::Lost,
            duplicate: false,
            error_class: None,
            error: Some(LOST.to_owned()),
            status: None,
            usage: Usage::default(),
            cost_usd: None,
            reserved_usd: reserve(call, candidate.model.prices.at(now.date_naive())),
            response_id: None,
            traceparent: envelope.traceparent.clone(),
        };
        let if_lost = json(&AttemptEvent { attempt: &record });
        record.error = None;
        let resume = if envelope.concurrency.is_some() {
            let mut waiting = progress.resume.clone().moved();
            waiting.attempts -= 1;
            json(&waiting)
        } else {
            String::new()
        };
        (progress.resume.id.clone(), if_lost, record, resume)
    };
    let concurrency = envelope.concurrency.as_ref();
    let begun = patiently("begin", || {
        deps.broker.begin(
            &job.held,
            &id,
            call.attempt_id,
            &if_lost,
            concurrency,
            &resume,
        )
    })
    .await;
    let mut progress = job.progress();
    match begun {
        Begun::Yes => {
            progress.resume.started_at.get_or_insert(record.started_at);
            progress.asked = Some((record.platform.clone(), record.model.clone()));
            progress.open = Some(record);
            return None;
        }
        Begun::Lost | Begun::Cancelled | Begun::Parked => progress.resume.attempts -= 1,
    }
    Some(if begun == Begun::Cancelled {
        cancelled()
    } else {
        Verdict::Gone
    })
}

/// The most that the call can cost: no prompt has more tokens than bytes.
fn reserve(call: &Call, prices: &Prices) -> Usd {
    let bytes = call.system.as_ref().map_or(0, String::len)
        + call
            .messages
            .iter()
            .map(|message| message.content.len())
            .sum::<usize>();
    let output = call.max_tokens.unwrap_or(call.default_max_tokens);
    prices.upper_bound(u64::try_from(bytes).unwrap_or(u64::MAX), u64::from(output))
}

/// Writes the call's end into the open attempt.
fn close(
    job: &Job,
    model: &ModelEntry,
    answer: Result<Answer, CallError>,
    now: DateTime<Utc>,
) -> Attempted {
    let mut progress = job.progress();
    let Some(record) = &mut progress.open else {
        return Attempted::Ended(Verdict::Gone);
    };
    record.finished_at = Some(now);
    // The price of the day on which it was asked, as when the money was set aside.
    let prices = model.prices.at(record.started_at.date_naive());
    match answer {
        Ok(answer) => {
            record.outcome = AttemptOutcome::Completed;
            record.usage = answer.usage;
            record.cost_usd = Some(prices.cost(&answer.usage));
            record.response_id.clone_from(&answer.response_id);
            measure(record);
            Attempted::Answered(answer)
        }
        Err(error) => {
            record.outcome = AttemptOutcome::Failed;
            record.error_class = Some(error.class);
            record.error = Some(error.message.clone());
            record.status = error.status;
            record.cost_usd = match error.spend {
                Spend::Nothing => Some(Usd::ZERO),
                Spend::Unknown => None,
                Spend::Known(usage) => {
                    record.usage = usage;
                    Some(prices.cost(&usage))
                }
            };
            measure(record);
            Attempted::Failed(error)
        }
    }
}

/// The call is dropped; what the provider makes of it is not known.
fn stop(job: &Job, why: &str, now: DateTime<Utc>) {
    if let Some(record) = &mut job.progress().open {
        record.outcome = AttemptOutcome::Cancelled;
        record.finished_at = Some(now);
        record.error = Some(why.to_owned());
        measure(record);
    }
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
