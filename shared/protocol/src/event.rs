//! Events for the ledger: JSON texts (`e`) in the `{ns}:events` stream. One stream entry holds the
//! events of one script call.
//!
//! An event consists of facts. Each fact has its own identity (job id and version, attempt id, dead
//! letter id), so recording it twice or in another order changes nothing.

mod audit;
mod limits;

use chrono::{
    DateTime, Utc,
    serde::{ts_milliseconds, ts_milliseconds_option},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    audit::{ActOutcome, AuditRecord},
    limits::{AlertRecord, WindowRecord, WindowUnit},
};
use crate::{
    call::{ErrorClass, FinishReason, ToolCall, Usage},
    chain::{ChainId, ChainKind, ChainState},
    checkpoint::Checkpoint,
    envelope::Envelope,
    id::{AttemptId, EntryId, JobId, QueueName, WorkerId},
    money::Usd,
    review::ReviewRecord,
    serialized::{Serialized, serialize_as},
    state::{AttemptOutcome, JobState},
    tool_rounds::ToolsOutcome,
};

/// What happened in one atomic change. The facts are boxed, so that a batch of events is not moved as a whole with each
/// that is added.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Box<JobRecord>>,
    /// The attempt that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Box<AttemptRecord>>,
    /// The dead letter that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<Box<DeadLetterRecord>>,
    /// The dead letter that was resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_end: Option<Box<DeadLetterEnd>>,
    /// The message that was dropped as a duplicate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Box<DropRecord>>,
    /// The quota or budget window that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Box<WindowRecord>>,
    /// The chain after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<Box<ChainEvent>>,
    /// The threshold that a window passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Box<AlertRecord>>,
    /// What a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Box<AuditRecord>>,
    /// The review after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Box<ReviewRecord>>,
}

/// The part of an [`Event`] that records an attempt alone.
#[derive(Serialize)]
struct AttemptEvent<'a> {
    attempt: &'a AttemptRecord,
}

impl Event {
    /// Serializes the event that records an attempt and nothing else.
    ///
    /// # Errors
    /// As [`Serialized::new`].
    pub fn serialize_attempt(
        attempt: &AttemptRecord,
    ) -> Result<Serialized<Self>, serde_json::Error> {
        serialize_as(&AttemptEvent { attempt })
    }

    /// The attempt, with the labels of its job in it.
    pub fn into_labelled_attempt(self) -> Option<Box<AttemptRecord>> {
        let mut attempt = self.attempt?;
        if attempt.labels.is_none() {
            attempt.labels = self.job.map(|job| job.labels);
        }
        Some(attempt)
    }

    /// The attempt with the labels of its job, which an event contains once.
    pub fn labelled_attempt(&self) -> Option<(&AttemptRecord, &JobLabels)> {
        let attempt = self.attempt.as_ref()?;
        let labels = attempt
            .labels
            .as_ref()
            .or_else(|| self.job.as_ref().map(|job| &job.labels))?;
        Some((attempt, labels))
    }
}

/// What is known of every job in every state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobLabels {
    pub job_id: JobId,
    /// The queue that it was enqueued in.
    pub queue: QueueName,
    pub task_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The chain that the cost belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// The job that created this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// The part of the chain that it runs: `STEP` or `STEP/INDEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

impl JobLabels {
    /// The labels of a job; `envelope` is absent if its message is malformed.
    pub fn new(job_id: JobId, queue: QueueName, envelope: Option<&Envelope>) -> Self {
        let text = |of: fn(&Envelope) -> &Option<String>| {
            envelope.and_then(|envelope| of(envelope).clone())
        };
        Self {
            job_id,
            queue,
            task_type: envelope.map_or_else(
                || "unknown".to_owned(),
                |envelope| envelope.task_type.clone(),
            ),
            tenant: text(|envelope| &envelope.tenant),
            chain_id: text(|envelope| &envelope.chain_id),
            parent_id: text(|envelope| &envelope.parent_id),
            step: None,
        }
    }
}

/// A job after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub labels: JobLabels,
    pub state: JobState,
    /// When the server received it.
    #[serde(rename = "enqueued_ms", with = "ts_milliseconds")]
    pub enqueued_at: DateTime<Utc>,
    /// When its first attempt began.
    #[serde(rename = "started_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(rename = "finished_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// When it becomes available again, if it waits.
    #[serde(rename = "due_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    /// The platform of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The model of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// The start of the prompt, by which people recognize the job.
    pub prompt_head: String,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The tools that the model wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The error class: an [`ErrorClass`], or a reason of the queue itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// The producer's own metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// What was left out of the call, and which fields are unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The calls of tools that the worker ran for it; set at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<ToolsOutcome>>,
}

impl JobRecord {
    /// The record of a job that has not ended, from its envelope and checkpoint.
    pub fn unended(
        envelope: Option<&Envelope>,
        queue: QueueName,
        state: JobState,
        checkpoint: &Checkpoint,
    ) -> Self {
        let past = checkpoint.history.last();
        let id = envelope.and_then(|envelope| envelope.id.clone());
        Self {
            labels: JobLabels::new(id.unwrap_or_else(|| checkpoint.id.clone()), queue, envelope),
            state,
            enqueued_at: checkpoint.enqueued_at,
            started_at: checkpoint.started_at,
            finished_at: None,
            due_at: None,
            platform: past.map(|past| past.platform.clone()),
            model: past.map(|past| past.model.clone()),
            attempts: checkpoint.attempts,
            prompt_head: envelope.map(Envelope::prompt_head).unwrap_or_default(),
            output: None,
            tool_calls: Vec::new(),
            finish_reason: None,
            error: past.map(|past| past.error.clone()),
            error_class: past.map(|past| past.error_class.to_string()),
            metadata: envelope.and_then(|envelope| envelope.metadata.clone()),
            warnings: Vec::new(),
            traceparent: envelope.and_then(|envelope| envelope.traceparent.clone()),
            tools: None,
        }
    }
}

/// One ended call to a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The attempt; the provider saw it as idempotency key.
    pub attempt_id: AttemptId,
    /// The job's labels; absent if the event contains the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<JobLabels>,
    /// The number of the attempt within its job, from 1.
    pub attempt: u32,
    pub worker: WorkerId,
    pub platform: String,
    pub model: String,
    /// Why routing chose this platform and model.
    pub routing_reason: String,
    /// The full routing decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// When the call began.
    #[serde(rename = "started_ms", with = "ts_milliseconds")]
    pub started_at: DateTime<Utc>,
    /// When it ended; absent if it was lost.
    #[serde(rename = "finished_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Whether another worker had taken over the job: the attempt was paid for, but settled nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The HTTP status, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Tokens; zero if nothing is known about them.
    pub usage: Usage,
    /// Whether the tokens, and so the cost, are Longshore's own count, because the provider reported none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub usage_estimated: bool,
    /// The cost; absent if unknown (lost, timed out, disconnected).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
    /// The upper bound that was reserved before the call.
    pub reserved_usd: Usd,
    /// The cost that the provider reports, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost_usd: Option<Usd>,
    /// Tokens of prompt and answer that were reserved before the call, if tokens are limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_estimated: Option<u64>,
    /// The provider's own id of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// The W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// How routing chose a platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The stages that influenced the decision, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DecisionStep>,
    /// The candidates that came first and were not called, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRecord>,
}

/// One stage of a routing decision and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionStep {
    /// The name of the stage.
    pub step: String,
    /// A short description.
    pub outcome: String,
}

/// A candidate that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRecord {
    pub platform: String,
    pub model: String,
    /// Why: a limit is exhausted, a circuit is open, or the job's retries there are exhausted.
    pub why: String,
}

/// A dead letter when it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterRecord {
    /// The job's id, or the message's entry id if the job's id is unknown.
    pub id: JobId,
    /// The entry that the message came from.
    #[serde(rename = "place")]
    pub entry_id: EntryId,
    pub queue: QueueName,
    /// A code of `docs/PROTOCOL.md`, `exhausted`, `poison`, `expired` or an error class.
    pub reason: String,
    /// The exact reason, for people.
    pub error: String,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The job type, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The platform of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    pub attempts: u32,
}

/// The resolution of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterEnd {
    /// The dead letter.
    pub id: JobId,
    /// When it was written.
    pub at: DateTime<Utc>,
    pub resolution: DeadLetterResolution,
    /// When it was removed from Redis.
    pub gone_at: DateTime<Utc>,
}

string_enum! {
    /// What happened to a dead letter.
    DeadLetterResolution {
        /// It returned to its queue.
        Replayed = "replayed",
        /// A person deleted it.
        Purged = "purged",
        /// Its retention time ended.
        Expired = "expired",
    }
}

/// A message that was dropped because an earlier one has its id or unique key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DropRecord {
    /// The entry of the dropped message.
    #[serde(rename = "place")]
    pub entry_id: EntryId,
    /// The job that it duplicates.
    pub job_id: JobId,
    /// When it was dropped.
    pub at: DateTime<Utc>,
}

/// A chain after it began or ended. The scripts write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRecord {
    pub chain_id: ChainId,
    /// Its display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub kind: ChainKind,
    pub state: ChainState,
    /// The number of steps, or of tasks in a batch.
    pub steps: u64,
    /// When it began, in ms since the epoch.
    pub begun_ms: i64,
    /// When it ended, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
}

/// What an event says of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEvent {
    #[serde(flatten)]
    pub record: ChainRecord,
    /// The W3C trace context that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
