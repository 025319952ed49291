//! How long the answers of models usually are.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row as _, postgres::PgRow};

use super::{Ledger, LedgerError, rows::decode_count, sanitize};

/// The calls that are read at most: the newest.
const NEWEST: i64 = 20_000;

/// An average of fewer calls says little.
const LEAST_CALLS: i64 = 10;

/// How long the answers of a model to a type of job were on average.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLength {
    pub model: String,
    pub task_type: String,
    /// Billed output tokens, including reasoning.
    pub tokens: u64,
}

impl FromRow<'_, PgRow> for AnswerLength {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            model: row.try_get("model")?,
            task_type: row.try_get("task_type")?,
            tokens: decode_count(row, "tokens")?,
        })
    }
}

impl Ledger {
    /// The average lengths of answers since a time, of models and types with at least 10 calls among the newest 20,000.
    pub async fn answer_lengths(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<AnswerLength>, LedgerError> {
        sqlx::query_as(include_str!("../sql/answer_lengths.sql"))
            .bind(sanitize::timestamp(since))
            .bind(NEWEST)
            .bind(LEAST_CALLS)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
