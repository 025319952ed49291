//! Old rows leave the record, some at a time, so that nobody waits for a lock.

use chrono::{DateTime, Utc};

use super::{Ledger, LedgerError, clean};

/// Rows of which the old ones may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldRows {
    /// Jobs that ended. Their attempts stay.
    Jobs,
    /// Messages that were dropped as repetitions.
    Dropped,
    /// Attempts: costs go with them.
    Attempts,
    /// Dead letters that left Redis.
    DeadLetters,
}

impl OldRows {
    /// What they are called in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Dropped => "dropped messages",
            Self::Attempts => "attempts",
            Self::DeadLetters => "dead letters",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Jobs => include_str!("prune_jobs.sql"),
            Self::Dropped => include_str!("prune_dropped.sql"),
            Self::Attempts => include_str!("prune_attempts.sql"),
            Self::DeadLetters => include_str!("prune_dead.sql"),
        }
    }
}

impl Ledger {
    /// Deletes at most `most` of the rows that were over before a time; how many.
    pub async fn prune(
        &self,
        rows: OldRows,
        before: DateTime<Utc>,
        most: u32,
    ) -> Result<u64, LedgerError> {
        let done = sqlx::query(rows.sql())
            .bind(clean::instant(before))
            .bind(i64::from(most))
            .execute(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(done.rows_affected())
    }
}
