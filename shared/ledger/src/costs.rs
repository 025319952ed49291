//! Queries about costs.

mod ranges;
mod totals;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_protocol::{id::JobId, money::Usd};
use serde::Serialize;
use sqlx::{Connection, FromRow, Row, postgres::PgRow};

use self::ranges::{Ranges, Span};
pub use self::totals::CostDifference;
use super::{
    Ledger, LedgerError, StepRow,
    rows::{decode, decode_count, decode_usd},
    sanitize,
};

/// Which attempts to count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostFilter {
    /// Calls that began at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Calls that began before this time.
    pub until: Option<DateTime<Utc>>,
    pub tenant: Option<String>,
    /// Whether to list the costs by tenant.
    pub by_tenant: bool,
    /// Whether to list the costs by day.
    pub by_day: bool,
}

/// The cost of the attempts of one platform, task type, model, tenant or day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostLine {
    /// The platform, task type, model, tenant (empty: none) or day.
    pub name: String,
    /// Jobs whose first call of this name is among the attempts.
    pub tasks: u64,
    pub attempts: u64,
    /// The known cost.
    pub cost_usd: Usd,
    /// Attempts whose cost only the provider knows.
    pub unknown_cost_attempts: u64,
}

/// A label by which no totals are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostLabel {
    Chain,
    Queue,
}

impl CostLabel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Queue => "queue",
        }
    }
}

/// The cost of attempts. Duplicates count, because the provider charges for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CostSummary {
    /// The known cost.
    pub total_cost: Usd,
    /// Jobs whose first call is among the attempts.
    pub total_tasks: u64,
    pub total_attempts: u64,
    pub failed_attempts: u64,
    pub cancelled_attempts: u64,
    pub lost_attempts: u64,
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
    /// By tenant, most expensive first, if the filter asks for it.
    pub by_tenant: Vec<CostLine>,
    /// By day (UTC), in order, if the filter asks for it.
    pub by_day: Vec<CostLine>,
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

impl CostFilter {
    /// One day, in UTC.
    pub fn day(day: NaiveDate) -> Self {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        Self {
            since: Some(midnight(day)),
            until: day.checked_add_days(Days::new(1)).map(midnight),
            ..Self::default()
        }
    }

    fn period(&self) -> Span {
        let start = self.since.map_or(DateTime::UNIX_EPOCH, sanitize::timestamp);
        let end = self
            .until
            .map_or(DateTime::<Utc>::MAX_UTC, sanitize::timestamp);
        start..end.max(start)
    }
}

impl Ledger {
    /// The cost of attempts in total and by platform, task type, model, tenant and day.
    ///
    /// Whole hours come from totals. Where attempts were deleted, an hour of which the period has a part counts as a
    /// whole.
    pub async fn costs(&self, filter: &CostFilter) -> Result<CostSummary, LedgerError> {
        let known = self.completeness().await?;
        let Ranges {
            days,
            hours: [hours_before, hours_after],
            rests: [before, after],
        } = Ranges::split(filter.period(), known);
        let mut connection = self.acquire().await?;
        let mut transaction = connection
            .begin()
            .await
            .map_err(|cause| self.failed(cause))?;
        sqlx::query(include_str!("../sql/disable_jit.sql"))
            .execute(&mut *transaction)
            .await
            .map_err(|cause| self.failed(cause))?;
        let mut query = sqlx::query_as(include_str!("../sql/costs.sql")).persistent(false);
        let signs = [before.sign(), after.sign()];
        for span in [days, hours_before, hours_after, before.span, after.span] {
            query = query.bind(span.start).bind(span.end);
        }
        let rows: Vec<CostRow> = query
            .bind(sanitize::optional_label(filter.tenant.as_ref()))
            .bind(filter.by_tenant)
            .bind(filter.by_day)
            .bind(signs[0])
            .bind(signs[1])
            .fetch_all(&mut *transaction)
            .await
            .map_err(|cause| self.failed(cause))?;
        transaction
            .commit()
            .await
            .map_err(|cause| self.failed(cause))?;
        let mut summary = CostSummary::default();
        for row in rows {
            summary.add(row);
        }
        Ok(summary)
    }

    /// The cost of attempts by chain or queue, at most `most` lines, most expensive first. Reads all of them.
    pub async fn costs_by(
        &self,
        label: CostLabel,
        filter: &CostFilter,
        most: u32,
    ) -> Result<Vec<CostLine>, LedgerError> {
        let period = filter.period();
        sqlx::query_as(include_str!("../sql/costs_by_label.sql"))
            .bind(period.start)
            .bind(period.end)
            .bind(sanitize::optional_label(filter.tenant.as_ref()))
            .bind(label.as_str())
            .bind(i64::from(most))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
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

impl CostSummary {
    fn add(&mut self, row: CostRow) {
        match row.part.as_str() {
            "platform" => self.by_platform.push(row.line),
            "type" => self.by_type.push(row.line),
            "model" => self.by_model.push(row.line),
            "tenant" => self.by_tenant.push(row.line),
            "day" => self.by_day.push(row.line),
            _ => {
                self.total_cost = row.line.cost_usd;
                self.total_tasks = row.line.tasks;
                self.total_attempts = row.line.attempts;
                self.failed_attempts = row.failed;
                self.cancelled_attempts = row.cancelled;
                self.lost_attempts = row.lost;
                self.unknown_cost_attempts = row.line.unknown_cost_attempts;
                self.reserved_unknown_usd = row.reserved;
                self.reported = Some(row.reported).filter(|reported| reported.attempts > 0);
            }
        }
    }
}

struct CostRow {
    part: String,
    line: CostLine,
    failed: u64,
    cancelled: u64,
    lost: u64,
    reserved: Usd,
    reported: ReportedCosts,
}

impl FromRow<'_, PgRow> for CostLine {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            tasks: decode_count(row, "tasks")?,
            attempts: decode_count(row, "attempts")?,
            cost_usd: decode_usd(row, "cost_usd")?,
            unknown_cost_attempts: decode_count(row, "unknown_cost_attempts")?,
        })
    }
}

impl FromRow<'_, PgRow> for CostRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            part: row.try_get("part")?,
            line: CostLine::from_row(row)?,
            failed: decode_count(row, "failed_attempts")?,
            cancelled: decode_count(row, "cancelled_attempts")?,
            lost: decode_count(row, "lost_attempts")?,
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
