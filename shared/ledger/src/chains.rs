//! Queries about chains.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::{ChainId, ChainKind, ChainState, StepName},
    event::ChainRecord,
    id::JobId,
    money::Usd,
    state::JobState,
};
use serde::Serialize;
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{
    JobHistory, JobRow, Ledger, LedgerError,
    rows::{decode, decode_count, decode_optional, decode_usd},
    sanitize,
};

/// Which chains to list: those that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainFilter {
    pub kind: Option<ChainKind>,
    pub state: Option<ChainState>,
    pub name: Option<String>,
    /// Start and id of the chain before the page.
    pub before: Option<(DateTime<Utc>, ChainId)>,
    /// Default: no limit.
    pub limit: Option<u32>,
}

/// Which jobs of a chain to list: those that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainJobFilter {
    /// A step with all its items.
    pub step: Option<StepName>,
    pub state: Option<JobState>,
    /// The job before the page.
    pub after: Option<JobId>,
    /// Default: no limit.
    pub limit: Option<u32>,
}

/// Sums over attempts. Duplicates count, because the provider charges for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub attempts: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The known cost.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

/// A chain in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainRow {
    /// The chain as of the newest recorded event.
    #[serde(flatten)]
    pub chain: ChainRecord,
    /// Sums over its attempts.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A step of a chain in the ledger, with all its items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// `None` for jobs of the chain that belong to no step.
    pub step: Option<StepName>,
    /// One, or the number of items.
    pub jobs: u64,
    pub completed: u64,
    /// Discarded jobs.
    pub failed: u64,
    pub cancelled: u64,
    /// The start of the first attempt.
    pub started_at: Option<DateTime<Utc>>,
    /// The end of the last finished job.
    pub finished_at: Option<DateTime<Utc>>,
    /// Sums over its attempts.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Ledger {
    /// The chains that match, newest first.
    pub async fn chains(&self, filter: &ChainFilter) -> Result<Vec<ChainRow>, LedgerError> {
        self.find_chains(filter, None).await
    }

    /// One chain.
    pub async fn chain(&self, id: &ChainId) -> Result<Option<ChainRow>, LedgerError> {
        let found = self.find_chains(&ChainFilter::default(), Some(id)).await?;
        Ok(found.into_iter().next())
    }

    /// The steps of a chain that have jobs or attempts, by start time. `chain_id` may be any text, because jobs may
    /// name a chain without a document.
    pub async fn chain_steps(&self, chain_id: &str) -> Result<Vec<StepRow>, LedgerError> {
        sqlx::query_as(include_str!("../sql/chain_steps.sql"))
            .bind(sanitize::label(chain_id))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// The jobs of a chain that match, by id.
    pub async fn chain_jobs(
        &self,
        chain_id: &str,
        filter: &ChainJobFilter,
    ) -> Result<Vec<JobRow>, LedgerError> {
        let rows = sqlx::query_as(include_str!("../sql/chain_jobs.sql"))
            .persistent(false)
            .bind(sanitize::label(chain_id))
            .bind(filter.step.as_ref().map(StepName::as_str))
            .bind(filter.state.map(JobState::as_str))
            .bind(filter.after.as_ref().map(JobId::as_str))
            .bind(filter.limit.map(i64::from))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(self.opened(rows))
    }

    /// The same jobs with their attempts, dead letters and dropped messages.
    pub async fn chain_histories(
        &self,
        chain_id: &str,
        filter: &ChainJobFilter,
    ) -> Result<Vec<JobHistory>, LedgerError> {
        self.histories(self.chain_jobs(chain_id, filter).await?)
            .await
    }

    async fn find_chains(
        &self,
        filter: &ChainFilter,
        id: Option<&ChainId>,
    ) -> Result<Vec<ChainRow>, LedgerError> {
        let (before_begun, before_id) = match &filter.before {
            Some((begun, id)) => (Some(sanitize::timestamp(*begun)), Some(id.as_str())),
            None => (None, None),
        };
        let name: Option<Cow<'_, str>> = sanitize::optional_label(filter.name.as_ref());
        sqlx::query_as(include_str!("../sql/chains.sql"))
            // A new plan each time: a generic plan for any arguments uses no index.
            .persistent(false)
            .bind(filter.state.map(ChainState::as_str))
            .bind(name)
            .bind(before_begun)
            .bind(before_id)
            .bind(id.map(ChainId::as_str))
            .bind(filter.limit.map(i64::from))
            .bind(filter.kind.map(ChainKind::as_str))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}

fn decode_figures(row: &PgRow) -> sqlx::Result<Figures> {
    Ok(Figures {
        attempts: decode_count(row, "attempts")?,
        input_tokens: decode_count(row, "input_tokens")?,
        output_tokens: decode_count(row, "output_tokens")?,
        cost_usd: decode_usd(row, "cost_usd")?,
        unknown_cost_attempts: decode_count(row, "unknown_cost_attempts")?,
    })
}

impl FromRow<'_, PgRow> for ChainRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let ended: Option<DateTime<Utc>> = row.try_get("ended_at")?;
        Ok(Self {
            chain: ChainRecord {
                chain_id: decode(row, "chain_id")?,
                name: row.try_get("name")?,
                kind: decode(row, "kind")?,
                state: decode(row, "state")?,
                steps: decode_count(row, "steps")?,
                begun_ms: row
                    .try_get::<DateTime<Utc>, _>("begun_at")?
                    .timestamp_millis(),
                ended_ms: ended.map(|at| at.timestamp_millis()),
            },
            figures: decode_figures(row)?,
        })
    }
}

impl FromRow<'_, PgRow> for StepRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            step: decode_optional(row, "step")?,
            jobs: decode_count(row, "jobs")?,
            completed: decode_count(row, "completed")?,
            failed: decode_count(row, "failed")?,
            cancelled: decode_count(row, "cancelled")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            figures: decode_figures(row)?,
        })
    }
}
