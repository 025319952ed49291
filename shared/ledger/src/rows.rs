//! Rows back into the types that they were recorded from.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::Usage,
    event::{AttemptRecord, DeadRecord, DeadResolution, DropRecord, JobLabels, JobRecord},
    id::{AttemptId, JobId},
    money::Usd,
    state::AttemptOutcome,
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};
use sqlx::{FromRow, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

/// A job in the record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRow {
    /// The job, after the newest recorded event.
    #[serde(flatten)]
    pub job: JobRecord,
    /// What its attempts cost, as far as it is known.
    pub cost_usd: Usd,
}

/// A dead letter in the record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadRow {
    /// How it came to be one.
    #[serde(flatten)]
    pub dead: DeadRecord,
    /// The whole letter, if it has been archived.
    pub letter: Option<String>,
    /// When it was.
    pub archived_at: Option<DateTime<Utc>>,
    /// What became of it; nothing while it lies in Redis.
    pub resolution: Option<DeadResolution>,
    /// When.
    pub gone_at: Option<DateTime<Utc>>,
}

/// An attempt in the books.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BookRow {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Of which job.
    pub job_id: JobId,
    /// Who was called.
    pub platform: String,
    /// Which model.
    pub model: String,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Whether it settled nothing, because the job had another worker.
    pub duplicate: bool,
    /// Tokens.
    pub usage: Usage,
    /// What it cost; nothing where only the provider knows.
    pub cost_usd: Option<Usd>,
    /// The upper bound that was reserved.
    pub reserved_usd: Usd,
}

fn bad(column: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: cause.into(),
    }
}

/// A column of text as a type whose JSON form is that text.
pub(super) fn word<T: DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    parsed(column, row.try_get(column)?)
}

/// As [`word`], of a column that may be NULL.
pub(super) fn maybe_word<T: DeserializeOwned>(
    row: &PgRow,
    column: &str,
) -> sqlx::Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parsed(column, text)).transpose()
}

fn parsed<T: DeserializeOwned>(column: &str, text: &str) -> sqlx::Result<T> {
    T::deserialize(text.into_deserializer()).map_err(|cause: value::Error| bad(column, cause))
}

/// A `bigint` that counts something.
pub(super) fn count(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|cause| bad(column, cause))
}

fn maybe_count(row: &PgRow, column: &str) -> sqlx::Result<Option<u64>> {
    let count: Option<i64> = row.try_get(column)?;
    let count = count.map(u64::try_from).transpose();
    count.map_err(|cause| bad(column, cause))
}

/// An `integer` that counts something.
pub(super) fn small(row: &PgRow, column: &str) -> sqlx::Result<u32> {
    u32::try_from(row.try_get::<i32, _>(column)?).map_err(|cause| bad(column, cause))
}

/// An amount of money.
pub(super) fn usd(row: &PgRow, column: &str) -> sqlx::Result<Usd> {
    Ok(maybe_usd(row, column)?.unwrap_or_default())
}

fn maybe_usd(row: &PgRow, column: &str) -> sqlx::Result<Option<Usd>> {
    let amount: Option<rust_decimal::Decimal> = row.try_get(column)?;
    Ok(amount.map(|amount| Usd(amount.normalize())))
}

fn labels(row: &PgRow) -> sqlx::Result<JobLabels> {
    Ok(JobLabels {
        job_id: word(row, "job_id")?,
        queue: word(row, "queue")?,
        task_type: row.try_get("task_type")?,
        tenant: row.try_get("tenant")?,
        chain_id: row.try_get("chain_id")?,
        parent_id: row.try_get("parent_id")?,
        step: row.try_get("step")?,
    })
}

fn usage(row: &PgRow) -> sqlx::Result<Usage> {
    Ok(Usage {
        input: count(row, "input_tokens")?,
        cached: count(row, "cached_tokens")?,
        cache_write: count(row, "cache_write_tokens")?,
        cache_write_1h: count(row, "cache_write_1h_tokens")?,
        output: count(row, "output_tokens")?,
        reasoning: count(row, "reasoning_tokens")?,
    })
}

impl FromRow<'_, PgRow> for JobRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let metadata: Option<Json<_>> = row.try_get("metadata")?;
        Ok(Self {
            job: JobRecord {
                labels: labels(row)?,
                state: word(row, "state")?,
                enqueued_at: row.try_get("enqueued_at")?,
                started_at: row.try_get("started_at")?,
                finished_at: row.try_get("finished_at")?,
                due_at: row.try_get("due_at")?,
                platform: row.try_get("platform")?,
                model: row.try_get("model")?,
                attempts: small(row, "attempts")?,
                prompt_head: row.try_get("prompt_head")?,
                output: row.try_get("output")?,
                finish_reason: maybe_word(row, "finish_reason")?,
                error: row.try_get("error")?,
                error_class: row.try_get("error_class")?,
                metadata: metadata.map(|Json(metadata)| metadata),
                traceparent: row.try_get("traceparent")?,
            },
            cost_usd: usd(row, "cost_usd")?,
        })
    }
}

/// Reads an [`AttemptRecord`], which belongs to another crate.
pub(super) struct AttemptRow(pub(super) AttemptRecord);

impl FromRow<'_, PgRow> for AttemptRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let status: Option<i32> = row.try_get("status")?;
        let decision: Option<Json<_>> = row.try_get("decision")?;
        Ok(Self(AttemptRecord {
            attempt_id: AttemptId(row.try_get::<Uuid, _>("attempt_id")?),
            labels: Some(labels(row)?),
            attempt: small(row, "attempt")?,
            worker: word(row, "worker")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            routing_reason: row.try_get("routing_reason")?,
            decision: decision.map(|Json(decision)| decision),
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            outcome: word(row, "outcome")?,
            duplicate: row.try_get("duplicate")?,
            error_class: maybe_word(row, "error_class")?,
            error: row.try_get("error")?,
            status: status.and_then(|status| u16::try_from(status).ok()),
            usage: usage(row)?,
            cost_usd: maybe_usd(row, "cost_usd")?,
            reserved_usd: usd(row, "reserved_usd")?,
            reported_cost_usd: maybe_usd(row, "reported_cost_usd")?,
            tokens_estimated: maybe_count(row, "tokens_estimated")?,
            response_id: row.try_get("response_id")?,
            traceparent: row.try_get("traceparent")?,
        }))
    }
}

impl FromRow<'_, PgRow> for DeadRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            dead: DeadRecord {
                id: word(row, "id")?,
                place: word(row, "place")?,
                queue: word(row, "queue")?,
                reason: row.try_get("reason")?,
                error: row.try_get("error")?,
                at: row.try_get("at")?,
                task_type: row.try_get("task_type")?,
                platform: row.try_get("platform")?,
                tenant: row.try_get("tenant")?,
                chain_id: row.try_get("chain_id")?,
                attempts: small(row, "attempts")?,
            },
            letter: row.try_get("letter")?,
            archived_at: row.try_get("archived_at")?,
            resolution: maybe_word(row, "resolution")?,
            gone_at: row.try_get("gone_at")?,
        })
    }
}

/// Reads an [`DropRecord`], which belongs to another crate.
pub(super) struct DropRow(pub(super) DropRecord);

impl FromRow<'_, PgRow> for DropRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(DropRecord {
            place: word(row, "place")?,
            job_id: word(row, "job_id")?,
            at: row.try_get("at")?,
        }))
    }
}

impl FromRow<'_, PgRow> for BookRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            attempt_id: AttemptId(row.try_get::<Uuid, _>("attempt_id")?),
            job_id: word(row, "job_id")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            outcome: word(row, "outcome")?,
            duplicate: row.try_get("duplicate")?,
            usage: usage(row)?,
            cost_usd: maybe_usd(row, "cost_usd")?,
            reserved_usd: usd(row, "reserved_usd")?,
        })
    }
}
