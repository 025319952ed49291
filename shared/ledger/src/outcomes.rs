//! How jobs ended, long after Redis has forgotten.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::{id::JobId, outcome::Outcome, state::JobState};
use sqlx::{FromRow, Row, postgres::PgRow, types::Json};

use super::{
    Ledger, LedgerError,
    rows::{count, maybe_word, small, usd, word},
};

impl Ledger {
    /// The outcomes of those of the jobs that have ended, in no order.
    pub async fn outcomes(&self, jobs: &[JobId]) -> Result<Vec<Outcome>, LedgerError> {
        let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
        let rows: Vec<Ended> = sqlx::query_as(include_str!("outcomes.sql"))
            .bind(ids)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(rows.into_iter().map(|Ended(outcome)| outcome).collect())
    }
}

struct Ended(Outcome);

impl FromRow<'_, PgRow> for Ended {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let metadata: Option<Json<_>> = row.try_get("metadata")?;
        let state: JobState = word(row, "state")?;
        let enqueued: DateTime<Utc> = row.try_get("enqueued_at")?;
        let started: Option<DateTime<Utc>> = row.try_get("started_at")?;
        let finished: Option<DateTime<Utc>> = row.try_get("finished_at")?;
        let began = started.or(finished);
        let ms = |span: Option<TimeDelta>| {
            span.map_or(0, |span| {
                u64::try_from(span.num_milliseconds()).unwrap_or(0)
            })
        };
        Ok(Self(Outcome {
            id: word(row, "job_id")?,
            state,
            success: state == JobState::Completed,
            output: row.try_get("output")?,
            error: row.try_get("error")?,
            error_class: row.try_get("error_class")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            finish_reason: maybe_word(row, "finish_reason")?,
            attempts: small(row, "attempts")?,
            input_tokens: count(row, "input_tokens")?,
            output_tokens: count(row, "output_tokens")?,
            cached_tokens: count(row, "cached_tokens")?,
            reasoning_tokens: count(row, "reasoning_tokens")?,
            cost_usd: usd(row, "cost_usd")?,
            duration_ms: ms(finished.zip(began).map(|(end, begin)| end - begin)),
            queued_ms: ms(began.map(|begin| begin - enqueued)),
            metadata: metadata.map(|Json(metadata)| metadata),
        }))
    }
}
