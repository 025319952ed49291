//! Writes jobs: the newest version of each.

use longshore_protocol::{call::FinishReason, event::JobRecord};
use serde::Serialize;
use sqlx::PgConnection;

use super::{SHORT_COLUMNS, column, text_length};
use crate::{EventId, sanitize};

pub(super) struct JobWrite<'a> {
    pub(super) version: i64,
    record: &'a JobRecord,
    metadata: Option<String>,
    warnings: Option<String>,
    tool_calls: Option<String>,
    tools: Option<String>,
}

impl<'a> JobWrite<'a> {
    pub(super) fn new(id: EventId, record: &'a JobRecord) -> Self {
        Self {
            version: id.version(),
            record,
            metadata: record.metadata.as_ref().and_then(sanitize::json),
            warnings: list(&record.warnings),
            tool_calls: list(&record.tool_calls),
            tools: record.tools.as_ref().and_then(sanitize::json),
        }
    }

    /// The approximate size of the row in bytes.
    pub(super) fn size(&self) -> usize {
        let JobRecord {
            labels,
            prompt_head,
            platform,
            model,
            output,
            error,
            ..
        } = self.record;
        let optional = [
            platform,
            model,
            output,
            error,
            &self.metadata,
            &self.warnings,
            &self.tool_calls,
            &self.tools,
        ];
        SHORT_COLUMNS + labels.task_type.len() + prompt_head.len() + text_length(optional)
    }
}

/// A list as JSON; `None` if it is empty.
fn list<T: Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty()).then(|| sanitize::json(list)).flatten()
}

pub(super) async fn upsert(
    rows: &[&JobWrite<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/upsert_jobs.sql"))
        .bind(column(rows, |row| row.record.labels.job_id.as_str()))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.record.labels.queue.as_str()))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.record.labels.task_type)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.labels.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.labels.chain_id.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.labels.parent_id.as_ref())
        }))
        .bind(column(rows, |row| row.record.state.as_str()))
        .bind(column(rows, |row| {
            sanitize::timestamp(row.record.enqueued_at)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.record.started_at)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.record.finished_at)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.record.due_at)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.platform.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.model.as_ref())
        }))
        .bind(column(rows, |row| sanitize::integer(row.record.attempts)))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.record.prompt_head)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.output.as_ref())
        }))
        .bind(column(rows, |row| {
            row.record.finish_reason.map(FinishReason::as_str)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.error.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.error_class.as_ref())
        }))
        .bind(column(rows, |row| row.metadata.as_deref()))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.traceparent.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.labels.step.as_ref())
        }))
        .bind(column(rows, |row| row.warnings.as_deref()))
        .bind(column(rows, |row| row.tool_calls.as_deref()))
        .bind(column(rows, |row| row.tools.as_deref()))
        .execute(connection)
        .await?;
    Ok(())
}
