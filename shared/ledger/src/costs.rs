//! Queries about costs.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_protocol::{id::JobId, money::Usd};
use serde::Serialize;
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{
    Ledger, LedgerError, StepRow,
    rows::{decode, decode_count, decode_usd},
    sanitize,
};

/// Which attempts to count, by the start of their calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostScope {
    /// One day, in UTC.
    Day(NaiveDate),
    /// From this time on.
    Since(DateTime<Utc>),
    /// All attempts.
    All,
}

/// The cost of the attempts of one platform, task type or model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostLine {
    /// The platform, task type or model.
    pub name: String,
    /// Distinct jobs.
    pub tasks: u64,
    pub attempts: u64,
    /// The known cost.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

/// The cost of attempts. Duplicates count, because the provider charges for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CostSummary {
    /// The known cost.
    pub total_cost: Usd,
    /// Distinct jobs.
    pub total_tasks: u64,
    pub total_attempts: u64,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
    /// The reservations of those attempts: an upper bound of their cost.
    pub reserved_unknown_usd: Usd,
    /// Costs as reported by providers, if any does.
    pub reported: Option<ReportedCosts>,
    /// By platform, most expensive first. A job may count in several lines.
    pub by_platform: Vec<CostLine>,
    /// By task type, most expensive first.
    pub by_type: Vec<CostLine>,
    /// By model, most expensive first.
    pub by_model: Vec<CostLine>,
}

/// Costs as reported by providers, for the attempts with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReportedCosts {
    /// Attempts with a report.
    pub attempts: u64,
    /// The reported cost.
    pub cost_usd: Usd,
    /// Reported minus own cost, over attempts with both.
    pub difference_usd: Usd,
}

/// The cost of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainCosts {
    /// The known cost.
    pub total_cost: Usd,
    /// Jobs that called a provider.
    pub total_tasks: u64,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
    /// The steps, by start time. Empty if the chain has jobs but no steps.
    pub steps: Vec<StepRow>,
    /// The jobs, by the time of their first calls.
    pub jobs: Vec<JobCost>,
}

/// The cost of one job of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobCost {
    pub job_id: JobId,
    /// The platform of the last attempt.
    pub platform: String,
    /// The model of the last attempt.
    pub model: String,
    pub attempts: u64,
    /// The known cost.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

impl CostScope {
    /// Start (inclusive) and end (exclusive).
    fn bounds(self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let midnight = |day: NaiveDate| sanitize::timestamp(day.and_time(NaiveTime::MIN).and_utc());
        match self {
            Self::Day(day) => (
                Some(midnight(day)),
                day.checked_add_days(Days::new(1)).map(midnight),
            ),
            Self::Since(from) => (Some(sanitize::timestamp(from)), None),
            Self::All => (None, None),
        }
    }
}

impl Ledger {
    /// The cost of attempts in total and by platform, task type and model, from one snapshot.
    pub async fn costs(&self, scope: CostScope) -> Result<CostSummary, LedgerError> {
        let (from, to) = scope.bounds();
        let rows: Vec<CostRow> = sqlx::query_as(include_str!("../sql/costs.sql"))
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

    /// The cost of a chain in total, by step and by job.
    pub async fn chain_costs(&self, chain_id: &str) -> Result<ChainCosts, LedgerError> {
        let jobs: Vec<JobCost> = sqlx::query_as(include_str!("../sql/chain_costs.sql"))
            .bind(sanitize::label(chain_id))
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
                tasks: decode_count(row, "tasks")?,
                attempts: decode_count(row, "attempts")?,
                cost_usd: decode_usd(row, "cost_usd")?,
                unknown_cost_attempts: decode_count(row, "unknown_cost_attempts")?,
            },
            reserved: decode_usd(row, "reserved_unknown_usd")?,
            reported: ReportedCosts {
                attempts: decode_count(row, "reported_attempts")?,
                cost_usd: decode_usd(row, "reported_usd")?,
                difference_usd: decode_usd(row, "reported_difference_usd")?,
            },
        })
    }
}

impl FromRow<'_, PgRow> for JobCost {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            job_id: decode(row, "job_id")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            attempts: decode_count(row, "attempts")?,
            cost_usd: decode_usd(row, "cost_usd")?,
            unknown_cost_attempts: decode_count(row, "unknown_cost_attempts")?,
        })
    }
}
