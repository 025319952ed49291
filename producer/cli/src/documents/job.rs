//! A job as JSON.

use chrono::{DateTime, Utc};
use longshore_client::{JobId, JobState, QueueName, ToolCall, Usd};
use longshore_ledger::JobRow;
use longshore_protocol::{call::FinishReason, tool_rounds::ToolsOutcome};
use serde::Serialize;
use serde_json::{Map, Value};

/// A job in Postgres, or one in Redis that has not ended.
#[derive(Debug, Serialize)]
pub(crate) struct JobDocument<'a> {
    id: &'a JobId,
    state: JobState,
    /// What it waits for, if its state does not say it.
    waits_for: Option<&'a str>,
    queue: &'a QueueName,
    r#type: &'a str,
    tenant: Option<&'a str>,
    chain_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    step: Option<&'a str>,
    enqueued_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    platform: Option<&'a str>,
    model: Option<&'a str>,
    attempts: u32,
    cost_usd: Usd,
    prompt_head: &'a str,
    output: Option<&'a str>,
    tool_calls: &'a [ToolCall],
    /// The calls of tools that the worker ran for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a ToolsOutcome>,
    finish_reason: Option<FinishReason>,
    error: Option<&'a str>,
    error_class: Option<&'a str>,
    metadata: Option<&'a Map<String, Value>>,
    warnings: &'a [String],
    traceparent: Option<&'a str>,
    #[serde(flatten)]
    old: OldNames<'a>,
}

/// Names that fields had before; kept for one release.
#[derive(Debug, Serialize)]
struct OldNames<'a> {
    job_id: &'a JobId,
    task_type: &'a str,
    enqueued_ms: i64,
    started_ms: Option<i64>,
    finished_ms: Option<i64>,
    due_ms: Option<i64>,
}

impl<'a> JobDocument<'a> {
    pub(crate) fn new(row: &'a JobRow, waits_for: Option<&'a str>) -> Self {
        let (job, labels) = (&row.job, &row.job.labels);
        let ms = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
        Self {
            id: &labels.job_id,
            state: job.state,
            waits_for,
            queue: &labels.queue,
            r#type: &labels.task_type,
            tenant: labels.tenant.as_deref(),
            chain_id: labels.chain_id.as_deref(),
            parent_id: labels.parent_id.as_deref(),
            step: labels.step.as_deref(),
            enqueued_at: job.enqueued_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            due_at: job.due_at,
            platform: job.platform.as_deref(),
            model: job.model.as_deref(),
            attempts: job.attempts,
            cost_usd: row.cost_usd,
            prompt_head: &job.prompt_head,
            output: job.output.as_deref(),
            tool_calls: &job.tool_calls,
            tools: job.tools.as_deref(),
            finish_reason: job.finish_reason,
            error: job.error.as_deref(),
            error_class: job.error_class.as_deref(),
            metadata: job.metadata.as_ref(),
            warnings: &job.warnings,
            traceparent: job.traceparent.as_deref(),
            old: OldNames {
                job_id: &labels.job_id,
                task_type: &labels.task_type,
                enqueued_ms: job.enqueued_at.timestamp_millis(),
                started_ms: ms(job.started_at),
                finished_ms: ms(job.finished_at),
                due_ms: ms(job.due_at),
            },
        }
    }
}
