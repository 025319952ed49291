//! Decodes rows into the types that they were recorded from.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::Usage,
    encryption::{Content, Visitor},
    event::{
        AttemptRecord, DeadLetterRecord, DeadLetterResolution, DropRecord, JobLabels, JobRecord,
    },
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

/// A job in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRow {
    /// The job as of the newest recorded event.
    #[serde(flatten)]
    pub job: JobRecord,
    /// The known cost of its attempts.
    pub cost_usd: Usd,
}

/// A dead letter in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetterRow {
    #[serde(flatten)]
    pub dead: DeadLetterRecord,
    /// The whole dead letter as JSON, if it was archived.
    pub letter: Option<String>,
    pub archived_at: Option<DateTime<Utc>>,
    /// `None` while the dead letter is in Redis.
    pub resolution: Option<DeadLetterResolution>,
    /// When the dead letter left Redis.
    pub gone_at: Option<DateTime<Utc>>,
}

impl Content for JobRow {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.job.visit(visitor);
    }
}

/// The archived JSON keeps what is encrypted in it.
impl Content for DeadLetterRow {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.dead.visit(visitor);
    }
}

/// What an attempt used and cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptCost {
    pub attempt_id: AttemptId,
    pub job_id: JobId,
    pub platform: String,
    pub model: String,
    pub outcome: AttemptOutcome,
    /// The attempt settled nothing, because another worker had the job.
    pub duplicate: bool,
    pub usage: Usage,
    /// `None` if only the provider knows the cost.
    pub cost_usd: Option<Usd>,
    /// The upper bound of the cost, reserved before the call.
    pub reserved_usd: Usd,
}

fn decode_error(
    column: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: cause.into(),
    }
}

/// Decodes a text column into a type whose JSON form is that text.
pub(crate) fn decode<T: DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    from_name(column, row.try_get(column)?)
}

pub(crate) fn decode_optional<T: DeserializeOwned>(
    row: &PgRow,
    column: &str,
) -> sqlx::Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| from_name(column, text)).transpose()
}

/// Decodes a list from JSON; NULL is an empty one.
pub(crate) fn decode_list<T: DeserializeOwned + Send + Unpin + 'static>(
    row: &PgRow,
    column: &str,
) -> sqlx::Result<Vec<T>> {
    let list: Option<Json<Vec<T>>> = row.try_get(column)?;
    Ok(list.map(|Json(list)| list).unwrap_or_default())
}

fn from_name<T: DeserializeOwned>(column: &str, text: &str) -> sqlx::Result<T> {
    T::deserialize(text.into_deserializer())
        .map_err(|cause: value::Error| decode_error(column, cause))
}

pub(crate) fn decode_count(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|cause| decode_error(column, cause))
}

pub(crate) fn decode_optional_count(row: &PgRow, column: &str) -> sqlx::Result<Option<u64>> {
    let count: Option<i64> = row.try_get(column)?;
    let count = count.map(u64::try_from).transpose();
    count.map_err(|cause| decode_error(column, cause))
}

pub(crate) fn decode_u32(row: &PgRow, column: &str) -> sqlx::Result<u32> {
    u32::try_from(row.try_get::<i32, _>(column)?).map_err(|cause| decode_error(column, cause))
}

/// Decodes an amount of dollars; NULL is zero.
pub(crate) fn decode_usd(row: &PgRow, column: &str) -> sqlx::Result<Usd> {
    Ok(decode_optional_usd(row, column)?.unwrap_or_default())
}

fn decode_optional_usd(row: &PgRow, column: &str) -> sqlx::Result<Option<Usd>> {
    let amount: Option<rust_decimal::Decimal> = row.try_get(column)?;
    Ok(amount.map(|amount| Usd(amount.normalize())))
}

fn decode_labels(row: &PgRow) -> sqlx::Result<JobLabels> {
    Ok(JobLabels {
        job_id: decode(row, "job_id")?,
        queue: decode(row, "queue")?,
        task_type: row.try_get("task_type")?,
        tenant: row.try_get("tenant")?,
        chain_id: row.try_get("chain_id")?,
        parent_id: row.try_get("parent_id")?,
        step: row.try_get("step")?,
    })
}

fn decode_usage(row: &PgRow) -> sqlx::Result<Usage> {
    Ok(Usage {
        input: decode_count(row, "input_tokens")?,
        cached: decode_count(row, "cached_tokens")?,
        cache_write: decode_count(row, "cache_write_tokens")?,
        cache_write_1h: decode_count(row, "cache_write_1h_tokens")?,
        output: decode_count(row, "output_tokens")?,
        reasoning: decode_count(row, "reasoning_tokens")?,
        // The ledger has those of sound among the others.
        ..Usage::default()
    })
}

impl FromRow<'_, PgRow> for JobRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let metadata: Option<Json<_>> = row.try_get("metadata")?;
        let tools: Option<Json<_>> = row.try_get("tools")?;
        Ok(Self {
            job: JobRecord {
                labels: decode_labels(row)?,
                state: decode(row, "state")?,
                enqueued_at: row.try_get("enqueued_at")?,
                started_at: row.try_get("started_at")?,
                finished_at: row.try_get("finished_at")?,
                due_at: row.try_get("due_at")?,
                platform: row.try_get("platform")?,
                model: row.try_get("model")?,
                attempts: decode_u32(row, "attempts")?,
                prompt_head: row.try_get("prompt_head")?,
                output: row.try_get("output")?,
                tool_calls: decode_list(row, "tool_calls")?,
                finish_reason: decode_optional(row, "finish_reason")?,
                error: row.try_get("error")?,
                error_class: row.try_get("error_class")?,
                metadata: metadata.map(|Json(metadata)| metadata),
                warnings: decode_list(row, "warnings")?,
                traceparent: row.try_get("traceparent")?,
                tools: tools.map(|Json(tools)| tools),
            },
            cost_usd: decode_usd(row, "cost_usd")?,
        })
    }
}

/// Decodes an [`AttemptRecord`], which belongs to another crate.
pub(crate) struct AttemptRow(pub(crate) AttemptRecord);

impl FromRow<'_, PgRow> for AttemptRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let status: Option<i32> = row.try_get("status")?;
        let decision: Option<Json<_>> = row.try_get("decision")?;
        Ok(Self(AttemptRecord {
            attempt_id: AttemptId(row.try_get::<Uuid, _>("attempt_id")?),
            labels: Some(decode_labels(row)?),
            attempt: decode_u32(row, "attempt")?,
            worker: decode(row, "worker")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            routing_reason: row.try_get("routing_reason")?,
            decision: decision.map(|Json(decision)| decision),
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            outcome: decode(row, "outcome")?,
            duplicate: row.try_get("duplicate")?,
            error_class: decode_optional(row, "error_class")?,
            error: row.try_get("error")?,
            status: status.and_then(|status| u16::try_from(status).ok()),
            usage: decode_usage(row)?,
            usage_estimated: row.try_get("usage_estimated")?,
            cost_usd: decode_optional_usd(row, "cost_usd")?,
            reserved_usd: decode_usd(row, "reserved_usd")?,
            reported_cost_usd: decode_optional_usd(row, "reported_cost_usd")?,
            tokens_estimated: decode_optional_count(row, "tokens_estimated")?,
            response_id: row.try_get("response_id")?,
            traceparent: row.try_get("traceparent")?,
        }))
    }
}

impl FromRow<'_, PgRow> for DeadLetterRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            dead: DeadLetterRecord {
                id: decode(row, "id")?,
                entry_id: decode(row, "place")?,
                queue: decode(row, "queue")?,
                reason: row.try_get("reason")?,
                error: row.try_get("error")?,
                at: row.try_get("at")?,
                task_type: row.try_get("task_type")?,
                platform: row.try_get("platform")?,
                tenant: row.try_get("tenant")?,
                chain_id: row.try_get("chain_id")?,
                attempts: decode_u32(row, "attempts")?,
            },
            letter: row.try_get("letter")?,
            archived_at: row.try_get("archived_at")?,
            resolution: decode_optional(row, "resolution")?,
            gone_at: row.try_get("gone_at")?,
        })
    }
}

/// Decodes a [`DropRecord`], which belongs to another crate.
pub(crate) struct DroppedRow(pub(crate) DropRecord);

impl FromRow<'_, PgRow> for DroppedRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(DropRecord {
            entry_id: decode(row, "place")?,
            job_id: decode(row, "job_id")?,
            at: row.try_get("at")?,
        }))
    }
}

impl FromRow<'_, PgRow> for AttemptCost {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            attempt_id: AttemptId(row.try_get::<Uuid, _>("attempt_id")?),
            job_id: decode(row, "job_id")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            outcome: decode(row, "outcome")?,
            duplicate: row.try_get("duplicate")?,
            usage: decode_usage(row)?,
            cost_usd: decode_optional_usd(row, "cost_usd")?,
            reserved_usd: decode_usd(row, "reserved_usd")?,
        })
    }
}
