//! The outcomes of jobs, after Redis has expired them.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::{id::JobId, outcome::Outcome, state::JobState};
use sqlx::{FromRow, Row, postgres::PgRow, types::Json};

use super::{
    Ledger, LedgerError,
    rows::{decode, decode_count, decode_list, decode_optional, decode_u32, decode_usd},
};

impl Ledger {
    /// The outcomes of those of the jobs that have finished, in any order.
    pub async fn outcomes(&self, jobs: &[JobId]) -> Result<Vec<Outcome>, LedgerError> {
        let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
        let rows: Vec<OutcomeRow> = sqlx::query_as(include_str!("../sql/outcomes.sql"))
            .bind(ids)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(rows
            .into_iter()
            .map(|OutcomeRow(outcome)| self.keyring.opened(outcome))
            .collect())
    }
}

/// Decodes an [`Outcome`], which belongs to another crate.
struct OutcomeRow(Outcome);

impl FromRow<'_, PgRow> for OutcomeRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let metadata: Option<Json<_>> = row.try_get("metadata")?;
        let tools: Option<Json<_>> = row.try_get("tools")?;
        let state: JobState = decode(row, "state")?;
        let enqueued: DateTime<Utc> = row.try_get("enqueued_at")?;
        let started: Option<DateTime<Utc>> = row.try_get("started_at")?;
        let finished: Option<DateTime<Utc>> = row.try_get("finished_at")?;
        let start = started.or(finished);
        let ms = |span: Option<TimeDelta>| {
            span.map_or(0, |span| {
                u64::try_from(span.num_milliseconds()).unwrap_or(0)
            })
        };
        Ok(Self(Outcome {
            id: decode(row, "job_id")?,
            state,
            success: state == JobState::Completed,
            output: row.try_get("output")?,
            tool_calls: decode_list(row, "tool_calls")?,
            // Too long for the ledger: they are in the outcome that Redis keeps.
            logprobs: None,
            error: row.try_get("error")?,
            error_class: row.try_get("error_class")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            finish_reason: decode_optional(row, "finish_reason")?,
            attempts: decode_u32(row, "attempts")?,
            input_tokens: decode_count(row, "input_tokens")?,
            output_tokens: decode_count(row, "output_tokens")?,
            cached_tokens: decode_count(row, "cached_tokens")?,
            reasoning_tokens: decode_count(row, "reasoning_tokens")?,
            cost_usd: decode_usd(row, "cost_usd")?,
            cost_estimated: row.try_get("cost_estimated")?,
            duration_ms: ms(finished
                .zip(start)
                .map(|(finished, start)| finished - start)),
            queued_ms: ms(start.map(|start| start - enqueued)),
            metadata: metadata.map(|Json(metadata)| metadata),
            warnings: decode_list(row, "warnings")?,
            // The jobs of the models have their answers.
            merged: None,
            recipe: None,
            gate: None,
            extracted: None,
            validation: None,
            review: None,
            tools: tools.map(|Json(tools)| tools),
        }))
    }
}
