//! Chains: what became of them, and what they and their steps came to.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::{ChainId, ChainState, StepName},
    event::ChainRecord,
    id::JobId,
    money::Usd,
    state::JobState,
};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    EventId, JobRow, Ledger, LedgerError, clean,
    record::column,
    rows::{count, maybe_word, usd, word},
};

/// Which chains to list: all that fit every given word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainFilter {
    /// In this state.
    pub state: Option<ChainState>,
    /// Of this name.
    pub name: Option<String>,
    /// The page that follows this chain: when it began, and its id.
    pub before: Option<(DateTime<Utc>, ChainId)>,
    /// At most so many; without it, all.
    pub limit: Option<u32>,
}

/// Which jobs of a chain to list: all that fit every given word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainJobFilter {
    /// Of this step: itself, or all its items.
    pub step: Option<StepName>,
    /// In this state.
    pub state: Option<JobState>,
    /// The page that follows this job.
    pub after: Option<JobId>,
    /// At most so many; without it, all.
    pub limit: Option<u32>,
}

/// What attempts come to. Duplicates count: they were paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Attempts.
    pub attempts: u64,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// What they cost, as far as it is known.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

/// A chain in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainRow {
    /// The chain, after the newest recorded event.
    #[serde(flatten)]
    pub chain: ChainRecord,
    /// What its attempts come to.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A step of a chain in the record: all its items together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Which; nothing of jobs that belong to the chain and are no step of it.
    pub step: Option<StepName>,
    /// Its jobs: one, or its items.
    pub jobs: u64,
    /// Those that were answered.
    pub completed: u64,
    /// Those that were given up.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// When the first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last of those that have ended did.
    pub finished_at: Option<DateTime<Utc>>,
    /// What its attempts come to.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A chain to write.
pub(super) struct ChainLine<'a> {
    pub(super) version: i64,
    record: &'a ChainRecord,
}

impl<'a> ChainLine<'a> {
    pub(super) fn new(id: EventId, record: &'a ChainRecord) -> Self {
        Self {
            version: id.version(),
            record,
        }
    }
}

fn moment(ms: i64) -> DateTime<Utc> {
    clean::instant(DateTime::from_timestamp_millis(ms).unwrap_or_default())
}

/// Writes chains, each once.
pub(super) async fn upsert(
    rows: &[&ChainLine<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("upsert_chains.sql"))
        .bind(column(rows, |row| row.record.chain_id.as_str()))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.name.as_ref())
        }))
        .bind(column(rows, |row| row.record.kind.as_str()))
        .bind(column(rows, |row| row.record.state.as_str()))
        .bind(column(rows, |row| clean::count(row.record.steps)))
        .bind(column(rows, |row| moment(row.record.begun_ms)))
        .bind(column(rows, |row| row.record.ended_ms.map(moment)))
        .execute(connection)
        .await?;
    Ok(())
}

impl Ledger {
    /// The chains that fit, the newest first.
    pub async fn chains(&self, filter: &ChainFilter) -> Result<Vec<ChainRow>, LedgerError> {
        self.find_chains(filter, None).await
    }

    /// One chain.
    pub async fn chain(&self, id: &ChainId) -> Result<Option<ChainRow>, LedgerError> {
        let found = self.find_chains(&ChainFilter::default(), Some(id)).await?;
        Ok(found.into_iter().next())
    }

    /// The steps of a chain that have run or are to, in the order that they began in. Any text may name the chain:
    /// jobs may belong to one that is no more than a name.
    pub async fn chain_steps(&self, chain_id: &str) -> Result<Vec<StepRow>, LedgerError> {
        sqlx::query_as(include_str!("chain_steps.sql"))
            .bind(clean::label(chain_id))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// The jobs of a chain that fit, in the order of their ids.
    pub async fn chain_jobs(
        &self,
        chain_id: &str,
        filter: &ChainJobFilter,
    ) -> Result<Vec<JobRow>, LedgerError> {
        sqlx::query_as(include_str!("chain_jobs.sql"))
            .persistent(false)
            .bind(clean::label(chain_id))
            .bind(filter.step.as_ref().map(StepName::as_str))
            .bind(filter.state.map(JobState::as_str))
            .bind(filter.after.as_ref().map(JobId::as_str))
            .bind(filter.limit.map(i64::from))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn find_chains(
        &self,
        filter: &ChainFilter,
        id: Option<&ChainId>,
    ) -> Result<Vec<ChainRow>, LedgerError> {
        let (begun, before) = match &filter.before {
            Some((begun, before)) => (Some(clean::instant(*begun)), Some(before.as_str())),
            None => (None, None),
        };
        let name: Option<Cow<'_, str>> = clean::maybe_label(filter.name.as_ref());
        sqlx::query_as(include_str!("chains.sql"))
            // Planned anew each time, with the values: a plan for any values uses no index.
            .persistent(false)
            .bind(filter.state.map(ChainState::as_str))
            .bind(name)
            .bind(begun)
            .bind(before)
            .bind(id.map(ChainId::as_str))
            .bind(filter.limit.map(i64::from))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}

fn figures(row: &PgRow) -> sqlx::Result<Figures> {
    Ok(Figures {
        attempts: count(row, "attempts")?,
        input_tokens: count(row, "input_tokens")?,
        output_tokens: count(row, "output_tokens")?,
        cost_usd: usd(row, "cost_usd")?,
        unknown_cost_attempts: count(row, "unknown_cost_attempts")?,
    })
}

impl FromRow<'_, PgRow> for ChainRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let ended: Option<DateTime<Utc>> = row.try_get("ended_at")?;
        Ok(Self {
            chain: ChainRecord {
                chain_id: word(row, "chain_id")?,
                name: row.try_get("name")?,
                kind: word(row, "kind")?,
                state: word(row, "state")?,
                steps: count(row, "steps")?,
                begun_ms: row
                    .try_get::<DateTime<Utc>, _>("begun_at")?
                    .timestamp_millis(),
                ended_ms: ended.map(|at| at.timestamp_millis()),
            },
            figures: figures(row)?,
        })
    }
}

impl FromRow<'_, PgRow> for StepRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            step: maybe_word(row, "step")?,
            jobs: count(row, "jobs")?,
            completed: count(row, "completed")?,
            failed: count(row, "failed")?,
            cancelled: count(row, "cancelled")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            figures: figures(row)?,
        })
    }
}
