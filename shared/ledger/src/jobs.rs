//! Queries about jobs.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    event::{AttemptRecord, DropRecord},
    id::{EntryId, JobId, QueueName},
    state::JobState,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{FromRow, postgres::PgRow, types::Json};

use super::{
    AttemptCost, DeadLetterRow, JobRow, Ledger, LedgerError,
    rows::{AttemptRow, DroppedRow},
    sanitize,
};

/// Which jobs to list: those that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    pub state: Option<JobState>,
    pub task_type: Option<String>,
    pub queue: Option<QueueName>,
    pub tenant: Option<String>,
    pub chain_id: Option<String>,
    /// The platform of the last attempt.
    pub platform: Option<String>,
    /// The model of the last attempt.
    pub model: Option<String>,
    /// The class of the error.
    pub error_class: Option<String>,
    /// Contained in the error, whatever its case.
    pub error: Option<String>,
    /// Members of the metadata.
    pub metadata: Option<Map<String, Value>>,
    /// Enqueued at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// When the job before the page was enqueued, and its id.
    pub before: Option<(DateTime<Utc>, JobId)>,
    /// Default: no limit.
    pub limit: Option<u32>,
}

/// A job with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobHistory {
    #[serde(flatten)]
    pub row: JobRow,
    /// The attempts, in order.
    pub history: Vec<AttemptRecord>,
    pub dead_letters: Vec<DeadLetterRow>,
    /// The messages that were dropped as duplicates.
    pub dropped: Vec<DropRecord>,
}

impl Ledger {
    /// One job with its attempts, dead letters and dropped messages.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobHistory>, LedgerError> {
        let found = self.find(&JobFilter::default(), Some(id)).await?;
        Ok(self.histories(found).await?.pop())
    }

    /// The jobs with their attempts, dead letters and dropped messages.
    pub(crate) async fn histories(
        &self,
        rows: Vec<JobRow>,
    ) -> Result<Vec<JobHistory>, LedgerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<JobId> = rows
            .iter()
            .map(|row| row.job.labels.job_id.clone())
            .collect();
        let mut attempts: HashMap<JobId, Vec<AttemptRecord>> = HashMap::new();
        for AttemptRow(attempt) in self
            .rows_of_jobs(include_str!("../sql/attempts_of_jobs.sql"), &ids)
            .await?
        {
            if let Some(labels) = &attempt.labels {
                let of_job = attempts.entry(labels.job_id.clone()).or_default();
                of_job.push(self.keyring.opened(attempt));
            }
        }
        let mut dead_letters: HashMap<JobId, Vec<DeadLetterRow>> = HashMap::new();
        for row in self
            .rows_of_jobs::<DeadLetterRow>(include_str!("../sql/dead_letters_of_jobs.sql"), &ids)
            .await?
        {
            let of_job = dead_letters.entry(row.dead.id.clone()).or_default();
            of_job.push(self.keyring.opened(row));
        }
        let mut dropped: HashMap<JobId, Vec<DropRecord>> = HashMap::new();
        for DroppedRow(message) in self
            .rows_of_jobs(include_str!("../sql/dropped_messages_of_jobs.sql"), &ids)
            .await?
        {
            let of_job = dropped.entry(message.job_id.clone()).or_default();
            of_job.push(message);
        }
        let histories = rows.into_iter().zip(&ids).map(|(row, id)| JobHistory {
            row,
            history: attempts.remove(id).unwrap_or_default(),
            dead_letters: dead_letters.remove(id).unwrap_or_default(),
            dropped: dropped.remove(id).unwrap_or_default(),
        });
        Ok(histories.collect())
    }

    /// The message of an entry, if it was dropped as a duplicate.
    pub async fn dropped_message(
        &self,
        entry_id: &EntryId,
    ) -> Result<Option<DropRecord>, LedgerError> {
        let row: Option<DroppedRow> = sqlx::query_as(include_str!("../sql/dropped_message.sql"))
            .bind(entry_id.as_str())
            .fetch_optional(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(row.map(|DroppedRow(message)| message))
    }

    /// The attempts of a job, in order, even if the job itself is not recorded (yet).
    pub async fn attempts(&self, id: &JobId) -> Result<Vec<AttemptRecord>, LedgerError> {
        let rows: Vec<AttemptRow> = self
            .rows_of_jobs(
                include_str!("../sql/attempts_of_jobs.sql"),
                std::slice::from_ref(id),
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|AttemptRow(attempt)| self.keyring.opened(attempt))
            .collect())
    }

    /// The jobs that match, newest first.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError> {
        self.find(filter, None).await
    }

    /// The cost of every attempt, to compare with a provider's invoice.
    pub async fn attempt_costs(&self) -> Result<Vec<AttemptCost>, LedgerError> {
        sqlx::query_as(include_str!("../sql/attempt_costs.sql"))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn find(
        &self,
        filter: &JobFilter,
        id: Option<&JobId>,
    ) -> Result<Vec<JobRow>, LedgerError> {
        let (before, before_id) = match &filter.before {
            Some((enqueued, id)) => (Some(sanitize::timestamp(*enqueued)), Some(id.as_str())),
            None => (None, None),
        };
        let rows = sqlx::query_as(include_str!("../sql/jobs.sql"))
            // A new plan each time: a generic plan for any arguments uses no index.
            .persistent(false)
            .bind(filter.state.map(JobState::as_str))
            .bind(sanitize::optional_without_nul(filter.task_type.as_ref()))
            .bind(filter.queue.as_ref().map(QueueName::as_str))
            .bind(sanitize::optional_label(filter.tenant.as_ref()))
            .bind(sanitize::optional_label(filter.chain_id.as_ref()))
            .bind(sanitize::optional_without_nul(filter.platform.as_ref()))
            .bind(filter.since.map(sanitize::timestamp))
            .bind(id.map(JobId::as_str))
            .bind(before)
            .bind(before_id)
            .bind(filter.limit.map(i64::from))
            .bind(sanitize::optional_without_nul(filter.error_class.as_ref()))
            .bind(sanitize::optional_without_nul(filter.error.as_ref()))
            .bind(sanitize::optional_without_nul(filter.model.as_ref()))
            .bind(filter.metadata.as_ref().map(Json))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(self.opened(rows))
    }

    async fn rows_of_jobs<T>(&self, sql: &'static str, ids: &[JobId]) -> Result<Vec<T>, LedgerError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        sqlx::query_as(sql)
            .bind(ids)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
