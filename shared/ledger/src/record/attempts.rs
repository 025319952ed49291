//! Writes attempts: the most certain account of each.

use longshore_protocol::{
    call::ErrorClass,
    event::{AttemptRecord, JobLabels},
    money::Usd,
    state::AttemptOutcome,
};
use sqlx::PgConnection;

use super::{SHORT_COLUMNS, column, text_length};
use crate::sanitize;

pub(super) struct AttemptWrite<'a> {
    pub(super) rank: i16,
    record: &'a AttemptRecord,
    labels: &'a JobLabels,
    decision: Option<String>,
}

impl<'a> AttemptWrite<'a> {
    pub(super) fn new(record: &'a AttemptRecord, labels: &'a JobLabels) -> Self {
        Self {
            rank: rank(record),
            record,
            labels,
            decision: record.decision.as_ref().and_then(sanitize::json),
        }
    }

    /// The approximate size of the row in bytes.
    pub(super) fn size(&self) -> usize {
        let AttemptRecord {
            model,
            error,
            response_id,
            ..
        } = self.record;
        let optional = [error, response_id, &self.decision];
        SHORT_COLUMNS + self.labels.task_type.len() + model.len() + text_length(optional)
    }
}

/// How certain an account of an attempt is: lost, duplicate, settled.
fn rank(attempt: &AttemptRecord) -> i16 {
    match (attempt.outcome, attempt.duplicate) {
        (AttemptOutcome::Lost, _) => 0,
        (_, true) => 1,
        (_, false) => 2,
    }
}

pub(super) async fn upsert(
    rows: &[&AttemptWrite<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/upsert_attempts.sql"))
        .bind(column(rows, |row| row.record.attempt_id.0))
        .bind(column(rows, |row| row.rank))
        .bind(column(rows, |row| row.labels.job_id.as_str()))
        .bind(column(rows, |row| row.labels.queue.as_str()))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.labels.task_type)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.labels.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.labels.chain_id.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.labels.parent_id.as_ref())
        }))
        .bind(column(rows, |row| sanitize::integer(row.record.attempt)))
        .bind(column(rows, |row| row.record.worker.as_str()))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.record.platform)
        }))
        .bind(column(rows, |row| sanitize::without_nul(&row.record.model)))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.record.routing_reason)
        }))
        .bind(column(rows, |row| {
            sanitize::timestamp(row.record.started_at)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.record.finished_at)
        }))
        .bind(column(rows, |row| row.record.outcome.as_str()))
        .bind(column(rows, |row| row.record.duplicate))
        .bind(column(rows, |row| {
            row.record.error_class.map(ErrorClass::as_str)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.error.as_ref())
        }))
        .bind(column(rows, |row| row.record.status.map(i32::from)))
        .bind(column(rows, |row| sanitize::bigint(row.record.usage.input)))
        .bind(column(rows, |row| {
            sanitize::bigint(row.record.usage.cached)
        }))
        .bind(column(rows, |row| {
            sanitize::bigint(row.record.usage.cache_write)
        }))
        .bind(column(rows, |row| {
            sanitize::bigint(row.record.usage.cache_write_1h)
        }))
        .bind(column(rows, |row| {
            sanitize::bigint(row.record.usage.output)
        }))
        .bind(column(rows, |row| {
            sanitize::bigint(row.record.usage.reasoning)
        }))
        .bind(column(rows, |row| {
            row.record.cost_usd.map(|Usd(cost)| cost)
        }))
        .bind(column(rows, |row| row.record.reserved_usd.0))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.response_id.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.traceparent.as_ref())
        }))
        .bind(column(rows, |row| row.decision.as_deref()))
        .bind(column(rows, |row| {
            row.record.reported_cost_usd.map(|Usd(cost)| cost)
        }))
        .bind(column(rows, |row| {
            row.record.tokens_estimated.map(sanitize::bigint)
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.labels.step.as_ref())
        }))
        .bind(column(rows, |row| row.record.usage_estimated))
        .execute(connection)
        .await?;
    Ok(())
}
