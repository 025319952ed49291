//! The step that ends a job: completed, discarded or cancelled. The script `settle.lua` acknowledges the
//! entry in it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Consumed, Ending, Fence, SpawnedJob};
use longshore_protocol::{
    dead_letter::DeadLetter,
    envelope::Concurrency,
    event::{AttemptRecord, Event, JobRecord},
    id::{AttemptId, JobId, QueueName},
    outcome::Outcome,
    serialized::Serialized,
    state::JobState,
};
use longshore_service::instruments::{JOB_DURATION, JOB_WAIT, JOBS};

use super::{
    spawn::spawned_jobs,
    step_end::{StepResult, step_result},
};
use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::Discard,
    job::Job,
    record::{JobEnd, dead_letter, job_record, outcome, serialize},
};

/// Ends the job in `state`; with `discard`, it leaves a dead letter.
pub(super) async fn end_job(
    job: &Job,
    attempt: Option<Box<AttemptRecord>>,
    state: JobState,
    end: &JobEnd<'_>,
    discard: Option<&Discard>,
    context: &Context,
) -> Fence {
    let mut payload = end_payload(job, attempt, state, end, discard, context);
    let reply = job.reply_to(&context.policy().config.limits);
    if let Some(answer) = end.answer.filter(|_| state == JobState::Completed) {
        payload.spawned_jobs = spawned_jobs(job, &answer.output, context);
    }
    let ending = Ending {
        attempt: payload.attempt,
        event: payload.event.as_ref(),
        outcome: payload.outcome.as_ref(),
        reply: reply.as_ref(),
        owns_id: payload.owns_id,
        keep_result: payload.keep_result,
        concurrency: payload.concurrency.as_ref(),
        has_stored_state: payload.is_in_redis,
        dead_letter: payload.dead_letter.as_ref().map(|(id, json)| (id, json)),
        consumed: payload.consumed,
        step: payload.step.as_ref().map(StepResult::to_step_end),
        spawned: &payload.spawned_jobs,
    };
    let fence = retry_until_answered("settle job", || {
        context
            .broker
            .deliveries()
            .settle(&job.delivery, &payload.id, &ending)
    })
    .await;
    if fence == Fence::Held {
        count_end(&payload.end, state, context);
    }
    fence
}

/// Counts a job that ended in the metrics.
fn count_end(end: &EndOf, state: JobState, context: &Context) {
    let queue = end.queue.base();
    let (queue, outcome) = (queue.as_str(), state.as_str());
    let policy = context.policy();
    let task_type = if policy.router.knows_type(&end.task_type) {
        &end.task_type
    } else {
        "other"
    };
    JOBS.add([queue, task_type, outcome], 1);
    // Of a job that never ran, nothing is known but its end.
    if let Some((wait, duration)) = end.times {
        JOB_WAIT.record([queue], wait);
        JOB_DURATION.record([queue, outcome], duration);
    }
}

/// What the metrics of an end need.
struct EndOf {
    queue: QueueName,
    task_type: String,
    /// The time until the first attempt, and from then on.
    times: Option<(Duration, Duration)>,
}

impl EndOf {
    fn new(record: &JobRecord, now: DateTime<Utc>) -> Self {
        let times = record.started_at.and_then(|started| {
            let wait = (started - record.enqueued_at).to_std().ok()?;
            Some((wait, (now - started).to_std().ok()?))
        });
        Self {
            queue: record.labels.queue.clone(),
            task_type: record.labels.task_type.clone(),
            times,
        }
    }
}

/// What the settle step sends.
struct EndPayload {
    id: JobId,
    end: EndOf,
    attempt: Option<AttemptId>,
    event: Option<Serialized<Event>>,
    outcome: Option<Serialized<Outcome>>,
    owns_id: bool,
    keep_result: bool,
    concurrency: Option<Concurrency>,
    is_in_redis: bool,
    dead_letter: Option<(JobId, Serialized<DeadLetter>)>,
    consumed: Consumed,
    step: Option<StepResult>,
    spawned_jobs: Vec<SpawnedJob>,
}

fn end_payload(
    job: &Job,
    attempt: Option<Box<AttemptRecord>>,
    state: JobState,
    end: &JobEnd<'_>,
    discard: Option<&Discard>,
    context: &Context,
) -> EndPayload {
    let (now, keyring) = (context.clock.now(), context.broker.keyring());
    let mut progress = job.progress();
    let mut record = Box::new(job_record(job, &progress, state, now, end));
    let dead_letter = discard.map(|discard| dead_letter(job, &progress, discard, now));
    // If the job's id belongs to another job, that job's row and outcome must not change: this one ends under the id
    // of its receipt. The task of a batch, or a replayed job, has none.
    let receipt = discard.and_then(|discard| discard.dead_letter_id.as_ref());
    if let Some(id) = receipt {
        record.labels.job_id = id.clone();
    }
    let id_is_foreign = receipt.is_some_and(|id| !id.is_server_form());
    let outcome = if id_is_foreign {
        None
    } else {
        serialize(&outcome(&record, &progress, end, now), keyring)
    };
    let envelope = progress.envelope.as_deref();
    let mut payload = EndPayload {
        id: record.labels.job_id.clone(),
        end: EndOf::new(&record, now),
        attempt: progress.ending_attempt(attempt.as_deref()),
        event: None,
        outcome,
        owns_id: receipt.is_none() && envelope.is_some_and(|envelope| envelope.id.is_some()),
        keep_result: envelope.is_some_and(|envelope| envelope.keep_result),
        concurrency: progress.concurrency().cloned(),
        is_in_redis: progress.is_in_redis,
        consumed: progress.consumed,
        step: step_result(&progress, &record),
        spawned_jobs: Vec::new(),
        dead_letter: dead_letter
            .as_ref()
            .and_then(|letter| Some((letter.record.id.clone(), serialize(letter, keyring)?))),
    };
    let event = Event {
        job: (!id_is_foreign).then_some(record),
        attempt,
        dead: dead_letter.map(|letter| Box::new(letter.record)),
        ..Event::default()
    };
    payload.event = serialize(&event, keyring);
    progress.keep_until_acknowledged(event);
    payload
}
