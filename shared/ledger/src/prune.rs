//! Deletes old rows in small batches, so that no other statement waits for a lock. Partitions of attempts that are past
//! as a whole are [dropped](Ledger::drop_attempt_partition) instead.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Ledger, LedgerError, sanitize};

/// Rows with a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prunable {
    /// Finished jobs. Their attempts stay.
    Jobs,
    /// Chains and batches that ended.
    Chains,
    /// Messages that were dropped as duplicates.
    DroppedMessages,
    /// Attempts. Their costs stay in the totals.
    Attempts,
    /// Totals of costs whose attempts were deleted.
    CostTotals,
    /// The usage of windows that ended.
    Windows,
    /// Alerts.
    Alerts,
    /// Dead letters that left Redis.
    DeadLetters,
    /// Acts of people.
    Audit,
    /// Reviews that ended.
    Reviews,
}

impl Prunable {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Chains => "chains",
            Self::DroppedMessages => "dropped messages",
            Self::Attempts => "attempts",
            Self::CostTotals => "totals of costs",
            Self::Windows => "quota windows",
            Self::Alerts => "alerts",
            Self::DeadLetters => "dead letters",
            Self::Audit => "audited acts",
            Self::Reviews => "reviews",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Jobs => include_str!("../sql/prune_jobs.sql"),
            Self::Chains => include_str!("../sql/prune_chains.sql"),
            Self::DroppedMessages => include_str!("../sql/prune_dropped_messages.sql"),
            Self::Attempts => include_str!("../sql/prune_attempts.sql"),
            Self::CostTotals => include_str!("../sql/prune_cost_totals.sql"),
            Self::Windows => include_str!("../sql/prune_windows.sql"),
            Self::Alerts => include_str!("../sql/prune_alerts.sql"),
            Self::DeadLetters => include_str!("../sql/prune_dead_letters.sql"),
            Self::Audit => include_str!("../sql/prune_audit.sql"),
            Self::Reviews => include_str!("../sql/prune_reviews.sql"),
        }
    }
}

impl Ledger {
    /// Deletes at most `limit` rows from before a time. Returns how many.
    pub async fn prune(
        &self,
        rows: Prunable,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<u64, LedgerError> {
        let before = sanitize::timestamp(before);
        let mut connection = self.acquire().await?;
        if rows == Prunable::Attempts {
            self.expect_pruned_attempts(before, &mut connection).await?;
            let deleted: i64 = sqlx::query_scalar(rows.sql())
                .bind(before)
                .bind(i64::from(limit))
                .fetch_one(&mut *connection)
                .await
                .map_err(|cause| self.failed(cause))?;
            return Ok(deleted.unsigned_abs());
        }
        let deleted = sqlx::query(rows.sql())
            .bind(before)
            .bind(i64::from(limit))
            .execute(&mut *connection)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(deleted.rows_affected())
    }

    /// Records that attempts from before a time may be missing.
    pub(crate) async fn expect_pruned_attempts(
        &self,
        before: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<(), LedgerError> {
        sqlx::query(include_str!("../sql/expect_pruned_attempts.sql"))
            .bind(before)
            .execute(connection)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(())
    }
}
