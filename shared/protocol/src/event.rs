//! The facts that go to the record: JSON texts (`e`) in the `{ns}:events` stream, where an entry holds those of one
//! call of a script.
//!
//! A fact has an identity of its own (job id and version, attempt id, dead letter id), so that
//! recording it twice, or in another order, changes nothing.

mod limits;

use chrono::{
    DateTime, Utc,
    serde::{ts_milliseconds, ts_milliseconds_option},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::limits::{AlertRecord, WindowRecord, WindowUnit};
use crate::{
    call::{ErrorClass, FinishReason, Usage},
    chain::{ChainId, ChainKind, ChainState},
    checkpoint::Resume,
    envelope::Envelope,
    id::{AttemptId, JobId, Place, QueueName, WorkerId},
    money::Usd,
    state::{AttemptOutcome, JobState},
};

/// What happened in one atomic step of a job's life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job as it stands after the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobRecord>,
    /// The attempt that ended in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptRecord>,
    /// The dead letter that it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<DeadRecord>,
    /// What became of a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_end: Option<DeadEnd>,
    /// The message that was dropped as a duplicate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DropRecord>,
    /// The window of a quota or a budget that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowRecord>,
    /// The chain as it stands after the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainRecord>,
    /// The threshold that a window has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertRecord>,
}

impl Event {
    /// The attempt with what is known of its job, which is said once.
    pub fn labelled_attempt(&self) -> Option<(&AttemptRecord, &JobLabels)> {
        let attempt = self.attempt.as_ref()?;
        let labels = attempt
            .labels
            .as_ref()
            .or_else(|| self.job.as_ref().map(|job| &job.labels))?;
        Some((attempt, labels))
    }
}

/// What is known of every job, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobLabels {
    /// The job.
    pub job_id: JobId,
    /// The queue that it came through.
    pub queue: QueueName,
    /// The type of the task.
    pub task_type: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The chain that its cost belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// The job that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// What it runs of the chain: `STEP` or `STEP/INDEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

impl JobLabels {
    /// Of a job whose envelope may not have been understood.
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

/// A job, after something happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// What it is.
    pub labels: JobLabels,
    /// Where it is in its life.
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
    /// When it is to go on, of a job that waits.
    #[serde(rename = "due_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    /// The platform that answered, or was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The model that answered, or was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// The head of the prompt, for people who look for it.
    pub prompt_head: String,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What kind of failure it was: an [`ErrorClass`], or a reason of the queue's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// What the producer wants back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// The W3C trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl JobRecord {
    /// A job that has not ended, as Redis knows it.
    pub fn unended(
        envelope: Option<&Envelope>,
        queue: QueueName,
        state: JobState,
        resume: &Resume,
    ) -> Self {
        let past = resume.history.last();
        let id = envelope.and_then(|envelope| envelope.id.clone());
        Self {
            labels: JobLabels::new(id.unwrap_or_else(|| resume.id.clone()), queue, envelope),
            state,
            enqueued_at: resume.enqueued_at,
            started_at: resume.started_at,
            finished_at: None,
            due_at: None,
            platform: past.map(|past| past.platform.clone()),
            model: past.map(|past| past.model.clone()),
            attempts: resume.attempts,
            prompt_head: envelope.map(Envelope::prompt_head).unwrap_or_default(),
            output: None,
            finish_reason: None,
            error: past.map(|past| past.error.clone()),
            error_class: past.map(|past| past.error_class.to_string()),
            metadata: envelope.and_then(|envelope| envelope.metadata.clone()),
            traceparent: envelope.and_then(|envelope| envelope.traceparent.clone()),
        }
    }
}

/// One call to a provider, after it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The attempt: the idempotency key that the provider saw.
    pub attempt_id: AttemptId,
    /// Of which job; absent where the event's own job says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<JobLabels>,
    /// The how-manieth of the job, from 1.
    pub attempt: u32,
    /// Who called.
    pub worker: WorkerId,
    /// Who was called.
    pub platform: String,
    /// Which model.
    pub model: String,
    /// Why this one.
    pub routing_reason: String,
    /// How it came to that, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// When the call began.
    #[serde(rename = "started_ms", with = "ts_milliseconds")]
    pub started_at: DateTime<Utc>,
    /// When it ended; absent of a lost one.
    #[serde(rename = "finished_ms", with = "ts_milliseconds_option", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Set when another worker had taken the job over: it was paid for, but settled nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// What kind of failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The HTTP status, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Tokens; zero where the provider did not say.
    pub usage: Usage,
    /// What it cost; absent when only the provider knows (lost, timed out, broken off).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
    /// The upper bound that was reserved before the call.
    pub reserved_usd: Usd,
    /// What the provider says that it cost, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost_usd: Option<Usd>,
    /// Tokens of prompt and answer that were reserved before the call, where tokens are limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_estimated: Option<u64>,
    /// The provider's own id of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// The W3C trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// How it came that a platform was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The steps that had a say, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DecisionStep>,
    /// Those that stood before it and were not asked, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRecord>,
}

/// A step of a decision, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionStep {
    /// Which.
    pub step: String,
    /// In a few words.
    pub outcome: String,
}

/// A platform that stood first and was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRecord {
    /// Who.
    pub platform: String,
    /// With which model.
    pub model: String,
    /// Why not: no room, an open circuit, spent by this job already.
    pub why: String,
}

/// A dead letter, as it came to be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadRecord {
    /// Its id: the job's, or the message's place where the job's is not known.
    pub id: JobId,
    /// Where the message stood.
    pub place: Place,
    /// The queue.
    pub queue: QueueName,
    /// Why: a code of `docs/PROTOCOL.md`, `exhausted`, `poison`, `expired` or an error class.
    pub reason: String,
    /// The exact reason, for people.
    pub error: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The type of the task, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The platform that failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Of which chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// Attempts that were made.
    pub attempts: u32,
}

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadEnd {
    /// The letter.
    pub id: JobId,
    /// When it came to be one.
    pub at: DateTime<Utc>,
    /// What became of it.
    pub resolution: DeadResolution,
    /// When it was gone.
    pub gone_at: DateTime<Utc>,
}

string_enum! {
    /// What became of a dead letter.
    DeadResolution {
        /// It went back to its queue.
        Replayed = "replayed",
        /// A person threw it away.
        Purged = "purged",
        /// It lay there for as long as dead letters are kept.
        Expired = "expired",
    }
}

/// A message that was dropped because another with its id or key came first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DropRecord {
    /// Where the dropped message stood.
    pub place: Place,
    /// The job that it repeats.
    pub job_id: JobId,
    /// When it was dropped.
    pub at: DateTime<Utc>,
}

/// A chain, after it began or ended. The scripts write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRecord {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it came from.
    pub kind: ChainKind,
    /// Where it is in its life.
    pub state: ChainState,
    /// Steps, or of a batch the tasks.
    pub steps: u64,
    /// When it began, in ms since the epoch.
    pub begun_ms: i64,
    /// When it ended, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
}
