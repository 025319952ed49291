//! Builds the facts of a job: its record, its outcome, its dead letter.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::{
    call::Answer,
    chain::Extracted,
    dead_letter::{DeadLetter, StoredMessage},
    encryption::{Content, Keyring},
    envelope::Envelope,
    event::{AttemptRecord, DeadLetterRecord, Event, JobRecord},
    outcome::Outcome,
    serialized::Serialized,
    state::JobState,
};

use crate::{
    disposition::Discard,
    job::{Job, Progress},
};

/// How a job ends or waits, in its record.
#[derive(Debug, Default)]
pub(crate) struct JobEnd<'a> {
    pub(crate) answer: Option<&'a Answer>,
    /// The error and its code.
    pub(crate) error: Option<(&'a str, &'a str)>,
    /// When a waiting job continues.
    pub(crate) due: Option<DateTime<Utc>>,
}

/// The record of the job in `state`.
pub(crate) fn job_record(
    job: &Job,
    progress: &Progress,
    state: JobState,
    now: DateTime<Utc>,
    end: &JobEnd<'_>,
) -> JobRecord {
    let envelope = progress.envelope.as_deref();
    let last_called = progress.last_called.as_ref();
    JobRecord {
        labels: progress.labels(&job.delivery),
        state,
        enqueued_at: progress.checkpoint.enqueued_at,
        started_at: progress.checkpoint.started_at,
        finished_at: state.is_final().then_some(now),
        due_at: end.due,
        platform: last_called.map(|(platform, _)| platform.clone()),
        model: last_called.map(|(_, model)| model.clone()),
        attempts: progress.checkpoint.attempts,
        prompt_head: envelope.map(Envelope::prompt_head).unwrap_or_default(),
        output: match end.answer {
            Some(answer) => Some(answer.output.clone()),
            None => progress.gate.as_ref().map(|gate| gate.output.clone()),
        },
        tool_calls: end
            .answer
            .map(|answer| answer.tool_calls.clone())
            .unwrap_or_default(),
        finish_reason: end.answer.map(|answer| answer.finish_reason),
        error: end.error.map(|(error, _)| error.to_owned()),
        error_class: end.error.map(|(_, class)| class.to_owned()),
        metadata: envelope.and_then(|envelope| envelope.metadata.clone()),
        warnings: progress.warnings(),
        traceparent: envelope.and_then(|envelope| envelope.traceparent.clone()),
        tools: progress
            .checkpoint
            .tools
            .as_ref()
            .filter(|_| state.is_final())
            .map(|tools| Box::new(tools.outcome.clone())),
    }
}

/// The outcome that producers read.
pub(crate) fn outcome(
    record: &JobRecord,
    progress: &Progress,
    end: &JobEnd<'_>,
    now: DateTime<Utc>,
) -> Outcome {
    let spent = progress.spent();
    let started = record.started_at.unwrap_or(now);
    Outcome {
        id: record.labels.job_id.clone(),
        state: record.state,
        success: record.state == JobState::Completed,
        output: record.output.clone(),
        tool_calls: record.tool_calls.clone(),
        logprobs: end.answer.and_then(|answer| answer.logprobs.clone()),
        error: record.error.clone(),
        error_class: record.error_class.clone(),
        platform: record.platform.clone(),
        model: record.model.clone(),
        finish_reason: record.finish_reason,
        attempts: u32::try_from(spent.attempts).unwrap_or(u32::MAX),
        input_tokens: spent.input_tokens,
        output_tokens: spent.output_tokens,
        cached_tokens: spent.cached_tokens,
        reasoning_tokens: spent.reasoning_tokens,
        cost_usd: spent.cost_usd,
        cost_estimated: spent.cost_estimated,
        duration_ms: milliseconds(now - started),
        queued_ms: milliseconds(started - record.enqueued_at),
        metadata: record.metadata.clone(),
        warnings: record.warnings.clone(),
        merged: progress
            .merged
            .clone()
            .filter(|_| record.state == JobState::Completed),
        recipe: progress
            .recipe
            .as_ref()
            .map(|recipe| Box::new(recipe.outcome.clone())),
        gate: progress
            .gate
            .as_ref()
            .map(|gate| Box::new(gate.result.clone())),
        extracted: extracted(record, progress).map(Box::new),
        validation: progress
            .validation
            .clone()
            .filter(|_| record.state == JobState::Completed),
        review: progress
            .review
            .as_ref()
            .and_then(|review| review.result.clone())
            .map(Box::new),
        tools: record.tools.clone(),
    }
}

/// The part of the answer that the step asks for. Its call, or those of the models whose answers it merges, made sure that
/// it is there.
fn extracted(record: &JobRecord, progress: &Progress) -> Option<Extracted> {
    let step = progress.checkpoint.step.as_deref()?;
    let output = record.output.as_deref()?;
    let is_answer = record.state == JobState::Completed;
    step.extract.filter(|_| is_answer)?.find(output).ok()
}

/// The dead letter of a job that is given up.
pub(crate) fn dead_letter(
    job: &Job,
    progress: &Progress,
    discard: &Discard,
    now: DateTime<Utc>,
) -> DeadLetter {
    let labels = progress.labels(&job.delivery);
    let mut checkpoint = progress.checkpoint.clone();
    if let Some(id) = &discard.dead_letter_id {
        checkpoint.id = id.clone();
    }
    DeadLetter {
        record: DeadLetterRecord {
            id: checkpoint.id.clone(),
            entry_id: job.delivery.entry_id.clone(),
            queue: job.delivery.queue.base(),
            reason: discard.reason.clone(),
            error: discard.error.clone(),
            at: now,
            task_type: progress.envelope.is_some().then_some(labels.task_type),
            platform: progress
                .last_called
                .as_ref()
                .map(|(platform, _)| platform.clone()),
            tenant: labels.tenant,
            chain_id: labels.chain_id,
            attempts: checkpoint.attempts,
        },
        message: discard
            .kept
            .clone()
            .unwrap_or_else(|| StoredMessage::whole(&job.message.fields)),
        checkpoint,
    }
}

fn milliseconds(time: TimeDelta) -> u64 {
    u64::try_from(time.num_milliseconds()).unwrap_or(0)
}

/// Serializes a fact as it is stored: with keys, its content is encrypted. Every fact of ours has a JSON form; should one
/// not, the step continues without it instead of failing.
pub(crate) fn serialize<T: serde::Serialize + Content>(
    fact: &T,
    keyring: &Keyring,
) -> Option<Serialized<T>> {
    let stored = keyring.sealed(fact).inspect_err(|error| {
        tracing::error!("record not stored: {error}; the step continues without it");
    });
    serialized(Serialized::new(&*stored.ok()?))
}

/// Serializes the event that records an attempt alone, as it is stored.
pub(crate) fn serialize_attempt(
    attempt: &AttemptRecord,
    keyring: &Keyring,
) -> Option<Serialized<Event>> {
    let stored = keyring.sealed(attempt).inspect_err(|error| {
        tracing::error!("attempt not stored: {error}; the step continues without it");
    });
    serialized(Event::serialize_attempt(&*stored.ok()?))
}

/// The same for a fact that was serialized from its parts.
pub(crate) fn serialized<T>(
    json: Result<Serialized<T>, serde_json::Error>,
) -> Option<Serialized<T>> {
    json.inspect_err(|error| {
        tracing::error!("record not serialized: {error}; the step continues without it");
    })
    .ok()
}
