//! From what happened to what is written: the job's record, its outcome, its dead letter.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::{
    call::Answer,
    dead_letter::{Kept, Letter},
    envelope::Envelope,
    event::{DeadRecord, JobRecord},
    outcome::Outcome,
    state::JobState,
};

use crate::{
    job::{Job, Progress},
    verdict::Discard,
};

/// How a job ends or waits, in the words of its record.
#[derive(Debug, Default)]
pub(crate) struct Ended<'a> {
    /// The answer, if there is one.
    pub(crate) answer: Option<&'a Answer>,
    /// What went wrong, and what kind of failure that is.
    pub(crate) error: Option<(&'a str, &'a str)>,
    /// When it goes on.
    pub(crate) due: Option<DateTime<Utc>>,
}

/// The job as it stands after a step.
pub(crate) fn job_record(
    job: &Job,
    progress: &Progress,
    state: JobState,
    now: DateTime<Utc>,
    ended: &Ended<'_>,
) -> JobRecord {
    let envelope = progress.envelope.as_deref();
    JobRecord {
        labels: progress.labels(&job.held),
        state,
        enqueued_at: progress.resume.enqueued_at,
        started_at: progress.resume.started_at,
        finished_at: state.is_final().then_some(now),
        due_at: ended.due,
        platform: progress
            .asked
            .as_ref()
            .map(|(platform, _)| platform.clone()),
        model: progress.asked.as_ref().map(|(_, model)| model.clone()),
        attempts: progress.resume.attempts,
        prompt_head: envelope.map(Envelope::prompt_head).unwrap_or_default(),
        output: ended.answer.map(|answer| answer.output.clone()),
        finish_reason: ended.answer.map(|answer| answer.finish_reason),
        error: ended.error.map(|(error, _)| error.to_owned()),
        error_class: ended.error.map(|(_, class)| class.to_owned()),
        metadata: envelope.and_then(|envelope| envelope.metadata.clone()),
        traceparent: envelope.and_then(|envelope| envelope.traceparent.clone()),
    }
}

/// The outcome that producers read.
pub(crate) fn outcome(record: &JobRecord, progress: &Progress, now: DateTime<Utc>) -> Outcome {
    let usage = progress.resume.usage;
    let started = record.started_at.unwrap_or(now);
    Outcome {
        id: record.labels.job_id.clone(),
        state: record.state,
        success: record.state == JobState::Completed,
        output: record.output.clone(),
        error: record.error.clone(),
        error_class: record.error_class.clone(),
        platform: record.platform.clone(),
        model: record.model.clone(),
        finish_reason: record.finish_reason,
        attempts: record.attempts,
        input_tokens: usage.total_input(),
        output_tokens: usage.total_output(),
        cached_tokens: usage.cached,
        reasoning_tokens: usage.reasoning,
        cost_usd: progress.resume.cost,
        duration_ms: milliseconds(now - started),
        queued_ms: milliseconds(started - record.enqueued_at),
        metadata: record.metadata.clone(),
    }
}

/// The dead letter that a job leaves.
pub(crate) fn letter(
    job: &Job,
    progress: &Progress,
    discard: &Discard,
    now: DateTime<Utc>,
) -> Letter {
    let labels = progress.labels(&job.held);
    let mut resume = progress.resume.clone();
    let id = discard
        .letter_id
        .clone()
        .unwrap_or_else(|| resume.id.clone());
    resume.id = id.clone();
    Letter {
        record: DeadRecord {
            id,
            place: job.held.place.clone(),
            queue: job.held.queue.base(),
            reason: discard.reason.clone(),
            error: discard.error.clone(),
            at: now,
            task_type: progress.envelope.is_some().then_some(labels.task_type),
            platform: progress
                .asked
                .as_ref()
                .map(|(platform, _)| platform.clone()),
            tenant: labels.tenant,
            chain_id: labels.chain_id,
            attempts: progress.resume.attempts,
        },
        message: discard
            .kept
            .clone()
            .unwrap_or_else(|| Kept::whole(&job.message.fields)),
        resume,
    }
}

fn milliseconds(time: TimeDelta) -> u64 {
    u64::try_from(time.num_milliseconds()).unwrap_or(0)
}
