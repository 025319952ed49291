//! Settle: turns the disposition of a job into one atomic step in Redis, repeated until Redis answers. The
//! step acknowledges the entry, stores the outcome and appends the event.

mod end;
pub(crate) mod layer;
mod park;
mod spawn;
mod step_end;

use longshore_broker::{Fence, Parked};
use longshore_protocol::{
    event::{AttemptRecord, Event},
    state::JobState,
};
use longshore_service::instruments::SETTLES_FENCED;

use self::end::end_job;
use crate::{
    backoff::retry_until_answered,
    chain,
    context::Context,
    disposition::Disposition,
    job::Job,
    log::Cause,
    record::{JobEnd, serialize, serialize_attempt},
    review::withdraw_review,
};

/// Settles a job.
async fn settle(job: &Job, disposition: Disposition, context: &Context) {
    if matches!(disposition, Disposition::Gone) {
        return;
    }
    let attempt = job.close_attempt();
    let fence = match disposition {
        Disposition::Gone => return,
        Disposition::HandedBack => Box::pin(hand_back(job, attempt, context)).await,
        Disposition::Parked { due, waits_for } => {
            match park::park_until(job, attempt.as_deref(), due, waits_for, context).await {
                Parked::Yes => {
                    let cause = Cause::Time(waits_for);
                    context.log.parked(&job.progress(), cause, Some(due));
                    Fence::Held
                }
                Parked::Resumed => Box::pin(hand_back(job, attempt, context)).await,
                Parked::Lost => Fence::Lost,
                Parked::Cancelled => cancel_on_request(job, attempt, context).await,
            }
        }
        Disposition::Paused(lane) => {
            match park::park_paused(job, attempt.as_deref(), &lane, context).await {
                Parked::Yes => {
                    let cause = Cause::Paused(lane.as_str());
                    context.log.parked(&job.progress(), cause, None);
                    Fence::Held
                }
                Parked::Lost => Fence::Lost,
                Parked::Resumed => Box::pin(hand_back(job, attempt, context)).await,
                Parked::Cancelled => cancel_on_request(job, attempt, context).await,
            }
        }
        Disposition::Answered(answer) => {
            let end = JobEnd {
                answer: Some(&answer),
                ..JobEnd::default()
            };
            end_job(job, attempt, JobState::Completed, &end, None, context).await
        }
        Disposition::Done => {
            let end = JobEnd::default();
            end_job(job, attempt, JobState::Completed, &end, None, context).await
        }
        Disposition::Cancelled { reason, error } => {
            cancel(job, attempt, reason, &error, context).await
        }
        Disposition::Discarded(discard) => {
            let end = JobEnd {
                answer: discard.answer.as_deref(),
                error: Some((&discard.error, &discard.reason)),
                ..JobEnd::default()
            };
            let state = JobState::Discarded;
            Box::pin(chain::stop_recipe(job, context)).await;
            Box::pin(withdraw_review(job, context)).await;
            let fence = end_job(job, attempt, state, &end, Some(&discard), context).await;
            if fence == Fence::Held {
                context.log.dead_letter(job, &discard);
            }
            fence
        }
    };
    job.acknowledge(fence, context);
    if fence == Fence::Lost {
        SETTLES_FENCED.add([], 1);
        tracing::warn!(
            job_id = %job.id(),
            entry_id = %job.delivery.entry_id,
            "settle refused: another worker has recovered the job; the attempt is recorded as a duplicate"
        );
    }
}

async fn cancel_on_request(
    job: &Job,
    attempt: Option<Box<AttemptRecord>>,
    context: &Context,
) -> Fence {
    cancel(job, attempt, "cancelled", "cancelled on request", context).await
}

async fn cancel(
    job: &Job,
    attempt: Option<Box<AttemptRecord>>,
    reason: &str,
    error: &str,
    context: &Context,
) -> Fence {
    let end = JobEnd {
        error: Some((error, reason)),
        ..JobEnd::default()
    };
    Box::pin(chain::stop_recipe(job, context)).await;
    Box::pin(withdraw_review(job, context)).await;
    // Redis keeps the cancel request; the settle step must delete it.
    job.progress().is_in_redis = true;
    // Boxed, as all that is rare here: the settle step of a job is as large as its largest branch.
    Box::pin(end_job(
        job,
        attempt,
        JobState::Cancelled,
        &end,
        None,
        context,
    ))
    .await
}

/// Returns the job to its queue, for another worker to run at once.
async fn hand_back(job: &Job, attempt: Option<Box<AttemptRecord>>, context: &Context) -> Fence {
    let (attempt_id, event, checkpoint, consumed) = {
        let mut progress = job.progress();
        let attempt_id = progress.ending_attempt(attempt.as_deref());
        let checkpoint = if progress.is_in_redis {
            serialize(&progress.checkpoint, context.broker.keyring())
        } else {
            None
        };
        let event = attempt.and_then(|mut attempt| {
            attempt.labels = Some(progress.labels(&job.delivery));
            let event = serialize_attempt(&attempt, context.broker.keyring());
            progress.keep_until_acknowledged(Event {
                attempt: Some(attempt),
                ..Event::default()
            });
            event
        });
        (attempt_id, event, checkpoint, progress.consumed)
    };
    retry_until_answered("hand back job", || {
        context.broker.deliveries().hand_back(
            &job.delivery,
            attempt_id,
            event.as_ref(),
            checkpoint.as_ref(),
            consumed,
        )
    })
    .await
}
