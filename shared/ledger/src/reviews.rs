//! Queries about reviews.

use longshore_protocol::{
    chain::ChainId,
    id::JobId,
    review::{Review, ReviewRecord, ReviewState},
};
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{
    Ledger, LedgerError,
    rows::{decode, decode_optional},
};

/// Which reviews to list: those that match every field that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewFilter {
    pub id: Option<JobId>,
    pub state: Option<ReviewState>,
    pub limit: u32,
}

impl Ledger {
    /// The reviews that match, newest first.
    pub async fn reviews(&self, filter: &ReviewFilter) -> Result<Vec<ReviewRecord>, LedgerError> {
        let rows: Vec<ReviewRow> = sqlx::query_as(include_str!("../sql/reviews.sql"))
            .bind(filter.id.as_ref().map(JobId::as_str))
            .bind(filter.state.map(ReviewState::as_str))
            .bind(i64::from(filter.limit))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(self.opened(rows.into_iter().map(|ReviewRow(row)| row).collect()))
    }
}

/// Decodes a [`ReviewRecord`], which belongs to another crate.
struct ReviewRow(ReviewRecord);

impl FromRow<'_, PgRow> for ReviewRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let chain: String = row.try_get("chain_id")?;
        Ok(Self(ReviewRecord {
            review: Review {
                id: decode(row, "review_id")?,
                chain: ChainId::from_stored(&chain),
                step: decode(row, "step")?,
                asks: row.try_get("asks")?,
                question: row.try_get("question")?,
                artefact: row.try_get("artefact")?,
                asked_at: row.try_get("asked_at")?,
                deadline: row.try_get("deadline")?,
                default: decode_optional(row, "by_default")?,
            },
            state: decode(row, "state")?,
            decided_at: row.try_get("decided_at")?,
            by: row.try_get("decided_by")?,
            comment: row.try_get("comment")?,
        }))
    }
}
