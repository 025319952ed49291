//! Waits for the next attempt: in place if the wait is short, parked if it is long.

use std::{ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::Fence;
use longshore_policy::retry::RetryPolicy;
use longshore_protocol::{
    call::ErrorClass,
    envelope::Envelope,
    event::Event,
    state::{AttemptOutcome, JobState},
};

use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition, Stage, WaitsFor},
    job::Job,
    record::{JobEnd, job_record, serialize},
};

/// Waits in place. Ends the run of a job whose wait is too long for that, or goes beyond its deadline.
pub(crate) async fn wait_in_place(
    job: &Job,
    envelope: &Envelope,
    (wait, waits_for): (Duration, WaitsFor),
    policy: &RetryPolicy,
    context: &Context,
) -> Stage<()> {
    let due = context.clock.now() + wait;
    let received = job.progress().checkpoint.enqueued_at;
    let deadline = envelope.deadline.map(|limit| limit.at(received));
    if let Some(deadline) = deadline.filter(|at| *at <= due) {
        let error = format!(
            "the next attempt would start after the deadline {}",
            deadline.to_rfc3339()
        );
        return ControlFlow::Break(Discard::new("expired", error).into());
    }
    let parked = Disposition::Parked { due, waits_for };
    if wait > policy.hold_limit {
        return ControlFlow::Break(parked);
    }
    record_open_attempt(job, due, context).await?;
    tokio::select! {
        () = tokio::time::sleep(wait) => ControlFlow::Continue(()),
        () = job.cancelled.cancelled() => ControlFlow::Break(Disposition::cancelled_on_request()),
        // A worker that drains does not keep a job that only waits.
        () = context.drain.cancelled() => ControlFlow::Break(parked),
    }
}

/// Records the attempt that is still open, because another attempt of this delivery follows at `due`: it failed, or its
/// answer called tools.
pub(crate) async fn record_open_attempt(
    job: &Job,
    due: DateTime<Utc>,
    context: &Context,
) -> Stage<()> {
    let (attempt, event, checkpoint, concurrency, consumed) = {
        let Some(record) = job.close_attempt() else {
            return ControlFlow::Continue(());
        };
        let (now, keyring) = (context.clock.now(), context.broker.keyring());
        let mut progress = job.progress();
        progress.checkpoint.next_attempt_at = (due > now).then_some(due);
        let is_answered = record.outcome == AttemptOutcome::Completed;
        let state = if is_answered {
            JobState::Running
        } else {
            JobState::Retryable
        };
        let end = JobEnd {
            due: (!is_answered).then_some(due),
            error: record
                .error
                .as_deref()
                .zip(record.error_class.map(ErrorClass::as_str)),
            ..JobEnd::default()
        };
        let (attempt, mut event) = (record.attempt_id, Event::default());
        event.job = Some(Box::new(job_record(job, &progress, state, now, &end)));
        event.attempt = Some(record);
        let serialized = serialize(&event, keyring);
        progress.keep_until_acknowledged(event);
        (
            attempt,
            serialized,
            serialize(&progress.checkpoint, keyring),
            progress.concurrency().cloned(),
            progress.consumed,
        )
    };
    let fence = retry_until_answered("record attempt", || {
        context.broker.deliveries().fail(
            &job.delivery,
            attempt,
            event.as_ref(),
            concurrency.as_ref(),
            checkpoint.as_ref(),
            consumed,
        )
    })
    .await;
    job.acknowledge(fence, context);
    match fence {
        Fence::Held => ControlFlow::Continue(()),
        Fence::Lost => ControlFlow::Break(Disposition::Gone),
    }
}
