//! Questions about jobs.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    event::{AttemptRecord, DropRecord},
    id::{JobId, QueueName},
    state::JobState,
};
use serde::Serialize;
use sqlx::{FromRow, postgres::PgRow};

use super::{
    BookRow, DeadRow, JobRow, Ledger, LedgerError, clean,
    rows::{AttemptRow, DropRow, count, word},
};

/// Which jobs to list: all that fit every given word.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this type.
    pub task_type: Option<String>,
    /// That came through this queue.
    pub queue: Option<QueueName>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this chain.
    pub chain_id: Option<String>,
    /// That this platform answered, or was asked for last.
    pub platform: Option<String>,
    /// Received at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// At most so many; without it, all.
    pub limit: Option<u32>,
}

/// Everything that is recorded of one job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobHistory {
    /// The job.
    #[serde(flatten)]
    pub row: JobRow,
    /// Its attempts, in their order.
    pub history: Vec<AttemptRecord>,
    /// The dead letters that it has been.
    pub dead_letters: Vec<DeadRow>,
    /// The messages that were dropped as repetitions of it.
    pub dropped: Vec<DropRecord>,
}

impl Ledger {
    /// One job, with its attempts, its dead letters and its repetitions.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobHistory>, LedgerError> {
        let found = self.find(&JobFilter::default(), Some(id)).await?;
        let Some(row) = found.into_iter().next() else {
            return Ok(None);
        };
        let dropped: Vec<DropRow> = self.of_job(include_str!("dropped_of_job.sql"), id).await?;
        Ok(Some(JobHistory {
            row,
            history: self.attempts_of(id).await?,
            dead_letters: self.of_job(include_str!("dead_of_job.sql"), id).await?,
            dropped: dropped
                .into_iter()
                .map(|DropRow(message)| message)
                .collect(),
        }))
    }

    /// The attempts of a job, in their order; those of a job whose own row is not there (yet), too.
    pub async fn attempts_of(&self, id: &JobId) -> Result<Vec<AttemptRecord>, LedgerError> {
        let rows: Vec<AttemptRow> = self.of_job(include_str!("attempts_of_job.sql"), id).await?;
        Ok(rows
            .into_iter()
            .map(|AttemptRow(attempt)| attempt)
            .collect())
    }

    /// The jobs that fit, the newest first.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError> {
        self.find(filter, None).await
    }

    /// How many jobs there are in each state, in the order of a job's life; zeros included.
    pub async fn states(&self) -> Result<Vec<(JobState, u64)>, LedgerError> {
        let rows = sqlx::query(include_str!("count_states.sql"))
            .try_map(|row: PgRow| Ok((word(&row, "state")?, count(&row, "jobs")?)))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        let counts: HashMap<JobState, u64> = rows.into_iter().collect();
        let of = |state: &JobState| (*state, counts.get(state).copied().unwrap_or_default());
        Ok(JobState::ALL.iter().map(of).collect())
    }

    /// Every attempt that is recorded, to be held against a provider's invoice.
    pub async fn books(&self) -> Result<Vec<BookRow>, LedgerError> {
        sqlx::query_as(include_str!("books.sql"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn find(
        &self,
        filter: &JobFilter,
        id: Option<&JobId>,
    ) -> Result<Vec<JobRow>, LedgerError> {
        sqlx::query_as(include_str!("jobs.sql"))
            // Planned anew each time, with the values: a plan for any values uses no index.
            .persistent(false)
            .bind(filter.state.map(JobState::as_str))
            .bind(clean::maybe(filter.task_type.as_ref()))
            .bind(filter.queue.as_ref().map(QueueName::as_str))
            .bind(clean::maybe_label(filter.tenant.as_ref()))
            .bind(clean::maybe_label(filter.chain_id.as_ref()))
            .bind(clean::maybe(filter.platform.as_ref()))
            .bind(filter.since.map(clean::instant))
            .bind(id.map(JobId::as_str))
            .bind(filter.limit.map(i64::from))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn of_job<T>(&self, sql: &'static str, id: &JobId) -> Result<Vec<T>, LedgerError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql)
            .bind(id.as_str())
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
