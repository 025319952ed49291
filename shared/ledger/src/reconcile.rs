//! Questions that hold the record against what stands in Redis.

use chrono::{DateTime, Utc};
use longshore_protocol::{id::JobId, state::JobState};
use sqlx::{FromRow, Row as _, postgres::PgRow};

use super::{
    Ledger, LedgerError, clean,
    rows::{count, word},
};

/// A job of which fewer attempts are recorded than it says that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortJob {
    /// The job.
    pub id: JobId,
    /// Attempts that it says.
    pub said: u64,
    /// Attempts that are recorded.
    pub recorded: u64,
}

/// A job that has not ended as far as the record knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJob {
    /// The job.
    pub id: JobId,
    /// Where it was last.
    pub state: JobState,
}

/// A dead letter of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadKey {
    /// Its id.
    pub id: JobId,
    /// When it died.
    pub at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for ShortJob {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: word(row, "job_id")?,
            said: count(row, "said")?,
            recorded: count(row, "recorded")?,
        })
    }
}

impl FromRow<'_, PgRow> for OpenJob {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: word(row, "job_id")?,
            state: word(row, "state")?,
        })
    }
}

impl FromRow<'_, PgRow> for DeadKey {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: word(row, "id")?,
            at: row.try_get("at")?,
        })
    }
}

impl Ledger {
    /// Jobs received since then that have not ended, at most `most`, the oldest first.
    pub async fn open_jobs(
        &self,
        since: DateTime<Utc>,
        most: u32,
    ) -> Result<Vec<OpenJob>, LedgerError> {
        self.since(include_str!("open_jobs.sql"), since, most).await
    }

    /// Jobs received since then that ended and of which attempts are not recorded, at most `most`.
    pub async fn short_jobs(
        &self,
        since: DateTime<Utc>,
        most: u32,
    ) -> Result<Vec<ShortJob>, LedgerError> {
        self.since(include_str!("short_attempts.sql"), since, most)
            .await
    }

    /// Dead letters since then that nobody took out of Redis, at most `most`, the oldest first.
    pub async fn standing_dead(
        &self,
        since: DateTime<Utc>,
        most: u32,
    ) -> Result<Vec<DeadKey>, LedgerError> {
        self.since(include_str!("standing_dead.sql"), since, most)
            .await
    }

    /// Which of these jobs have not ended as far as the record knows.
    pub async fn not_ended(&self, ids: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        sqlx::query(include_str!("not_ended.sql"))
            .bind(ids)
            .try_map(|row: PgRow| word(&row, "job_id"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Which of these dead letters are not in the record.
    pub async fn unrecorded_dead(&self, letters: &[DeadKey]) -> Result<Vec<JobId>, LedgerError> {
        let (ids, times): (Vec<&str>, Vec<_>) = letters
            .iter()
            .map(|letter| (letter.id.as_str(), clean::instant(letter.at)))
            .unzip();
        sqlx::query(include_str!("unrecorded_dead.sql"))
            .bind(ids)
            .bind(times)
            .try_map(|row: PgRow| word(&row, "id"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn since<T>(
        &self,
        sql: &'static str,
        since: DateTime<Utc>,
        most: u32,
    ) -> Result<Vec<T>, LedgerError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql)
            .bind(clean::instant(since))
            .bind(i64::from(most))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
