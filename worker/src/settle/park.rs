//! The steps that park a job: until a time, or until something is resumed.

use chrono::{DateTime, Utc};
use longshore_broker::{AskedReview, Consumed, ParkForPause, ParkUntil, Parked};
use longshore_policy::pause::{PausedLane, order};
use longshore_protocol::{
    checkpoint::Checkpoint,
    encryption::Keyring,
    envelope::Concurrency,
    event::{AttemptRecord, Event},
    id::{AttemptId, JobId},
    review::ReviewRecord,
    serialized::Serialized,
    state::JobState,
};

use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::WaitsFor,
    job::{Job, Progress},
    record::{JobEnd, job_record, serialize},
};

/// Parks the job until `due`.
pub(super) async fn park_until(
    job: &Job,
    attempt: Option<&AttemptRecord>,
    due: DateTime<Utc>,
    waits_for: WaitsFor,
    context: &Context,
) -> Parked {
    let state = match waits_for {
        WaitsFor::NotBefore | WaitsFor::NewerWorker | WaitsFor::Worker(_) => JobState::Scheduled,
        WaitsFor::Retry | WaitsFor::Platform => JobState::Retryable,
        WaitsFor::Recipe | WaitsFor::Person => JobState::Running,
    };
    let now = context.clock.now();
    let keyring = context.broker.keyring();
    let payload = park_payload(
        job,
        &mut job.progress(),
        attempt,
        (state, Some(due)),
        now,
        keyring,
    );
    let chain = match waits_for {
        WaitsFor::Recipe => job.progress().checkpoint.recipe.clone(),
        _ => None,
    };
    let review = match waits_for {
        WaitsFor::Person => job.progress().review.as_ref().map(|run| run.review.clone()),
        _ => None,
    };
    let parking = ParkUntil {
        attempt: payload.attempt,
        event: payload.event.as_ref(),
        for_version: waits_for == WaitsFor::NewerWorker,
        due,
        chain: chain.as_ref().map(|recipe| &recipe.chain),
        concurrency: payload.concurrency.as_ref(),
        checkpoint: payload.checkpoint.as_ref(),
        consumed: payload.consumed,
        review: review.as_ref().map(|review| AskedReview {
            review,
            alerts: context.config.alerts.webhook.is_some(),
        }),
    };
    retry_until_answered("park job", || {
        context
            .broker
            .deliveries()
            .park(&job.delivery, &payload.id, &parking)
    })
    .await
}

/// Parks the job in the lane of what is paused.
pub(super) async fn park_paused(
    job: &Job,
    attempt: Option<&AttemptRecord>,
    lane: &PausedLane,
    context: &Context,
) -> Parked {
    let (payload, order) = {
        let mut progress = job.progress();
        let checkpoint = &progress.checkpoint;
        let state = if checkpoint.attempts > 0 {
            JobState::Retryable
        } else {
            JobState::Scheduled
        };
        let received_ms = checkpoint.enqueued_at.timestamp_millis();
        let order = order(received_ms, &checkpoint.id, &job.delivery.entry_id);
        let now = context.clock.now();
        let keyring = context.broker.keyring();
        let payload = park_payload(job, &mut progress, attempt, (state, None), now, keyring);
        (payload, order)
    };
    let pausing = ParkForPause {
        attempt: payload.attempt,
        event: payload.event.as_ref(),
        lane,
        order: &order,
        concurrency: payload.concurrency.as_ref(),
        checkpoint: payload.checkpoint.as_ref(),
        consumed: payload.consumed,
    };
    retry_until_answered("park paused job", || {
        context
            .broker
            .deliveries()
            .park_paused(&job.delivery, &payload.id, &pausing)
    })
    .await
}

/// What a parking step sends.
struct ParkPayload {
    id: JobId,
    attempt: Option<AttemptId>,
    event: Option<Serialized<Event>>,
    checkpoint: Option<Serialized<Checkpoint>>,
    concurrency: Option<Concurrency>,
    consumed: Consumed,
}

/// The review that the job asks now.
fn asked_review(progress: &Progress) -> Option<ReviewRecord> {
    let run = progress.review.as_ref().filter(|run| run.is_new)?;
    Some(ReviewRecord::asked(run.review.clone()))
}

fn park_payload(
    job: &Job,
    progress: &mut Progress,
    attempt: Option<&AttemptRecord>,
    (state, due): (JobState, Option<DateTime<Utc>>),
    now: DateTime<Utc>,
    keyring: &Keyring,
) -> ParkPayload {
    let end = JobEnd {
        due,
        ..JobEnd::default()
    };
    let event = Event {
        job: Some(Box::new(job_record(job, progress, state, now, &end))),
        attempt: attempt.cloned().map(Box::new),
        review: asked_review(progress).map(Box::new),
        ..Event::default()
    };
    let serialized = serialize(&event, keyring);
    progress.keep_until_acknowledged(event);
    ParkPayload {
        id: progress.checkpoint.id.clone(),
        attempt: progress.ending_attempt(attempt),
        event: serialized,
        checkpoint: serialize(&progress.checkpoint.clone().moved(), keyring),
        concurrency: progress.concurrency().cloned(),
        consumed: progress.consumed,
    }
}
