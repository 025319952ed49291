//! Questions about money.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_protocol::{id::JobId, money::Usd};
use serde::Serialize;
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{
    Ledger, LedgerError, StepRow, clean,
    rows::{count, usd, word},
};

/// Which attempts to count. An attempt belongs to the time that its call began at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostScope {
    /// Those of one day, in UTC.
    Day(NaiveDate),
    /// Those since then.
    Since(DateTime<Utc>),
    /// All.
    All,
}

/// What attempts cost, of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostLine {
    /// Of which platform, type or model.
    pub name: String,
    /// Jobs that it was for.
    pub tasks: u64,
    /// Attempts.
    pub attempts: u64,
    /// What they cost, as far as it is known.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

/// What attempts cost. Duplicates count: they were paid for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CostSummary {
    /// What is known to be spent.
    pub total_cost: Usd,
    /// Jobs that it was for.
    pub total_tasks: u64,
    /// Attempts.
    pub total_attempts: u64,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
    /// What was reserved for those: they cost no more than this.
    pub reserved_unknown_usd: Usd,
    /// What providers themselves report, if any does.
    pub reported: Option<ReportedCosts>,
    /// By platform, the most expensive first. A job may be in more than one line.
    pub by_platform: Vec<CostLine>,
    /// By task type, likewise.
    pub by_type: Vec<CostLine>,
    /// By model, likewise.
    pub by_model: Vec<CostLine>,
}

/// What providers report of the attempts of which they report anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReportedCosts {
    /// So many attempts.
    pub attempts: u64,
    /// What they cost by the providers' account.
    pub cost_usd: Usd,
    /// How much more that is than by ours; below zero where it is less.
    pub difference_usd: Usd,
}

/// What a chain cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainCosts {
    /// What is known to be spent.
    pub total_cost: Usd,
    /// Its jobs that called a provider.
    pub total_tasks: u64,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
    /// Its steps, in the order that they began in; none where it is no more than a name.
    pub steps: Vec<StepRow>,
    /// Those jobs, in the order of their first calls.
    pub jobs: Vec<JobCost>,
}

/// What one job of a chain cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobCost {
    /// The job.
    pub job_id: JobId,
    /// Who was asked last.
    pub platform: String,
    /// Which model.
    pub model: String,
    /// Attempts.
    pub attempts: u64,
    /// What they cost, as far as it is known.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

impl CostScope {
    /// From when on, and up to when.
    fn bounds(self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let midnight = |day: NaiveDate| clean::instant(day.and_time(NaiveTime::MIN).and_utc());
        match self {
            Self::Day(day) => (
                Some(midnight(day)),
                day.checked_add_days(Days::new(1)).map(midnight),
            ),
            Self::Since(from) => (Some(clean::instant(from)), None),
            Self::All => (None, None),
        }
    }
}

impl Ledger {
    /// What attempts cost, in all and by platform, type and model, out of one snapshot.
    pub async fn costs(&self, scope: CostScope) -> Result<CostSummary, LedgerError> {
        let (from, to) = scope.bounds();
        let rows: Vec<CostRow> = sqlx::query_as(include_str!("costs.sql"))
            .persistent(false)
            .bind(from)
            .bind(to)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        let mut summary = CostSummary::default();
        for CostRow {
            part,
            line,
            reserved,
            reported,
        } in rows
        {
            match part.as_str() {
                "platform" => summary.by_platform.push(line),
                "type" => summary.by_type.push(line),
                "model" => summary.by_model.push(line),
                _ => {
                    summary.total_cost = line.cost_usd;
                    summary.total_tasks = line.tasks;
                    summary.total_attempts = line.attempts;
                    summary.unknown_cost_attempts = line.unknown_cost_attempts;
                    summary.reserved_unknown_usd = reserved;
                    summary.reported = Some(reported).filter(|reported| reported.attempts > 0);
                }
            }
        }
        Ok(summary)
    }

    /// What a chain cost, in all, by step and by job.
    pub async fn chain_costs(&self, chain_id: &str) -> Result<ChainCosts, LedgerError> {
        let jobs: Vec<JobCost> = sqlx::query_as(include_str!("chain_costs.sql"))
            .bind(clean::label(chain_id))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        let mut steps = self.chain_steps(chain_id).await?;
        steps.retain(|row| row.step.is_some());
        Ok(ChainCosts {
            steps,
            total_cost: jobs.iter().map(|job| job.cost_usd).sum(),
            total_tasks: jobs.iter().map(|_| 1).sum(),
            unknown_cost_attempts: jobs.iter().map(|job| job.unknown_cost_attempts).sum(),
            jobs,
        })
    }
}

struct CostRow {
    part: String,
    line: CostLine,
    reserved: Usd,
    reported: ReportedCosts,
}

impl FromRow<'_, PgRow> for CostRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            part: row.try_get("part")?,
            line: CostLine {
                name: row.try_get("name")?,
                tasks: count(row, "tasks")?,
                attempts: count(row, "attempts")?,
                cost_usd: usd(row, "cost_usd")?,
                unknown_cost_attempts: count(row, "unknown_cost_attempts")?,
            },
            reserved: usd(row, "reserved_unknown_usd")?,
            reported: ReportedCosts {
                attempts: count(row, "reported_attempts")?,
                cost_usd: usd(row, "reported_usd")?,
                difference_usd: usd(row, "reported_difference_usd")?,
            },
        })
    }
}

impl FromRow<'_, PgRow> for JobCost {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            job_id: word(row, "job_id")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            attempts: count(row, "attempts")?,
            cost_usd: usd(row, "cost_usd")?,
            unknown_cost_attempts: count(row, "unknown_cost_attempts")?,
        })
    }
}
