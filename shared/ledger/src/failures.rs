//! What failed, in groups.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    encryption::Keyring,
    id::{JobId, QueueName},
    string_enum,
};
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Ledger, LedgerError,
    rows::{decode, decode_count},
    sanitize,
};

string_enum! {
    /// What failures are grouped by.
    FailureKey {
        Class = "class",
        Platform = "platform",
        Model = "model",
        Type = "type",
        Queue = "queue",
        Tenant = "tenant",
    }
}

/// Which failures to list, and how: those that match every field that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureFilter {
    /// Attempts that began and jobs that ended at this time or later.
    pub since: DateTime<Utc>,
    pub task_type: Option<String>,
    pub queue: Option<QueueName>,
    pub tenant: Option<String>,
    pub chain_id: Option<String>,
    pub platform: Option<String>,
    pub by: Vec<FailureKey>,
    /// The most groups.
    pub limit: u32,
}

/// Attempts that failed or were lost, and jobs that were discarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub attempts: u64,
    pub jobs: u64,
    /// How many groups there are.
    pub groups: u64,
    /// The largest groups.
    pub largest: Vec<FailureGroup>,
}

/// The failures that have the same labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The labels, in the order of [`FailureKey::ALL`]; `None` where the job has none, such as the platform of a job
    /// that was never called.
    pub labels: Vec<(FailureKey, Option<String>)>,
    /// Attempts that failed or were lost.
    pub attempts: u64,
    /// Jobs that were discarded.
    pub jobs: u64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    /// A job among them, and what its failure said.
    pub example: Option<(JobId, Option<String>)>,
}

impl FailureKey {
    fn column(self) -> &'static str {
        match self {
            Self::Type => "task_type",
            Self::Class | Self::Platform | Self::Model | Self::Queue | Self::Tenant => {
                self.as_str()
            }
        }
    }
}

impl FailureGroup {
    fn from_row(row: &PgRow, by: &[FailureKey], keyring: &Keyring) -> sqlx::Result<Self> {
        let keys = FailureKey::ALL.iter().filter(|key| by.contains(key));
        let labels = keys.map(|key| Ok((*key, row.try_get(key.column())?)));
        let example: Option<&str> = row.try_get("job_id")?;
        Ok(Self {
            labels: labels.collect::<sqlx::Result<_>>()?,
            attempts: decode_count(row, "attempts")?,
            jobs: decode_count(row, "jobs")?,
            first_at: row.try_get("first_at")?,
            last_at: row.try_get("last_at")?,
            example: match example {
                Some(_) => {
                    let error: Option<String> = row.try_get("error")?;
                    let error = error.map(|error| keyring.opened_error(error));
                    Some((decode(row, "job_id")?, error))
                }
                None => None,
            },
        })
    }
}

impl Ledger {
    /// What failed since a time.
    pub async fn failures(&self, filter: &FailureFilter) -> Result<Failures, LedgerError> {
        let by: Vec<&str> = filter.by.iter().map(|key| key.as_str()).collect();
        let rows: Vec<PgRow> = sqlx::query(include_str!("../sql/failures.sql"))
            // A new plan each time: a generic plan for any arguments uses no index.
            .persistent(false)
            .bind(sanitize::timestamp(filter.since))
            .bind(sanitize::optional_without_nul(filter.task_type.as_ref()))
            .bind(filter.queue.as_ref().map(QueueName::as_str))
            .bind(sanitize::optional_label(filter.tenant.as_ref()))
            .bind(sanitize::optional_label(filter.chain_id.as_ref()))
            .bind(sanitize::optional_without_nul(filter.platform.as_ref()))
            .bind(by)
            .bind(i64::from(filter.limit))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        let read = || -> sqlx::Result<Failures> {
            let Some(first) = rows.first() else {
                return Ok(Failures::default());
            };
            let largest = rows
                .iter()
                .map(|row| FailureGroup::from_row(row, &filter.by, &self.keyring));
            Ok(Failures {
                attempts: decode_count(first, "all_attempts")?,
                jobs: decode_count(first, "all_jobs")?,
                groups: decode_count(first, "groups")?,
                largest: largest.collect::<sqlx::Result<_>>()?,
            })
        };
        read().map_err(|cause| self.failed(cause))
    }
}
