//! Queries that compare the ledger with Redis.

use chrono::{DateTime, Utc};
use longshore_protocol::{id::JobId, state::JobState};
use sqlx::{FromRow, Row as _, postgres::PgRow};

use super::{
    Ledger, LedgerError,
    rows::{decode, decode_count},
    sanitize,
};

/// A finished job that reports more attempts than are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobMissingAttempts {
    /// The job.
    pub id: JobId,
    /// Attempts that the job reports.
    pub reported: u64,
    /// Attempts in the ledger.
    pub recorded: u64,
}

/// A job that has not finished according to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedJob {
    /// The job.
    pub id: JobId,
    /// The last recorded state.
    pub state: JobState,
}

/// Identifies a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterKey {
    pub id: JobId,
    /// The time of death.
    pub at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for JobMissingAttempts {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: decode(row, "job_id")?,
            reported: decode_count(row, "reported")?,
            recorded: decode_count(row, "recorded")?,
        })
    }
}

impl FromRow<'_, PgRow> for UnfinishedJob {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: decode(row, "job_id")?,
            state: decode(row, "state")?,
        })
    }
}

impl FromRow<'_, PgRow> for DeadLetterKey {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: decode(row, "id")?,
            at: row.try_get("at")?,
        })
    }
}

impl Ledger {
    /// Unfinished jobs that were enqueued since then, oldest first.
    pub async fn unfinished_jobs(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<UnfinishedJob>, LedgerError> {
        self.rows_since(include_str!("../sql/unfinished_jobs.sql"), since, limit)
            .await
    }

    /// Finished jobs that were enqueued since then and whose attempts are not all recorded, oldest first.
    pub async fn jobs_missing_attempts(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<JobMissingAttempts>, LedgerError> {
        self.rows_since(
            include_str!("../sql/jobs_missing_attempts.sql"),
            since,
            limit,
        )
        .await
    }

    /// Dead letters since then without a resolution, which must be in Redis, oldest first.
    pub async fn unresolved_dead_letters(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<DeadLetterKey>, LedgerError> {
        self.rows_since(
            include_str!("../sql/unresolved_dead_letters.sql"),
            since,
            limit,
        )
        .await
    }

    /// Those of the jobs and chains that have not finished according to the ledger.
    pub async fn unfinished_ids(&self, ids: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        sqlx::query(include_str!("../sql/unfinished_ids.sql"))
            .bind(ids)
            .try_map(|row: PgRow| decode(&row, "job_id"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Those of the dead letters that are not recorded.
    pub async fn missing_dead_letters(
        &self,
        letters: &[DeadLetterKey],
    ) -> Result<Vec<JobId>, LedgerError> {
        let (ids, times): (Vec<&str>, Vec<_>) = letters
            .iter()
            .map(|letter| (letter.id.as_str(), sanitize::timestamp(letter.at)))
            .unzip();
        sqlx::query(include_str!("../sql/missing_dead_letters.sql"))
            .bind(ids)
            .bind(times)
            .try_map(|row: PgRow| decode(&row, "id"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn rows_since<T>(
        &self,
        sql: &'static str,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<T>, LedgerError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql)
            .bind(sanitize::timestamp(since))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
