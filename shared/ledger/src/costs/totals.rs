//! Keeps the totals of costs complete, and proves them.
//!
//! Triggers add each attempt to the totals of its hour and day. Here are the exceptions: attempts from before there were
//! totals, and totals that someone has changed by hand.

use chrono::{DateTime, Utc};
use longshore_protocol::money::Usd;
use serde::Serialize;
use sqlx::{Connection, FromRow, PgConnection, Row, postgres::PgRow};

use super::ranges::{Completeness, DAY, HOUR, Span, ceil, floor};
use crate::{Ledger, LedgerError, rows::decode_usd, sanitize};

/// A total that is not the sum of its attempts. Of an hour unless `is_day`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostDifference {
    pub is_day: bool,
    pub start_at: DateTime<Utc>,
    pub platform: String,
    pub model: String,
    pub task_type: String,
    /// Empty: no tenant.
    pub tenant: String,
    /// Jobs that the total lacks; negative if it has too many. The same for attempts and known cost.
    pub jobs: i64,
    pub attempts: i64,
    pub cost_usd: Usd,
}

impl FromRow<'_, PgRow> for CostDifference {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            is_day: row.try_get::<&str, _>("period")? == "day",
            start_at: row.try_get("start_at")?,
            platform: row.try_get("platform")?,
            model: row.try_get("model")?,
            task_type: row.try_get("task_type")?,
            tenant: row.try_get("tenant")?,
            jobs: row.try_get("jobs")?,
            attempts: row.try_get("attempts")?,
            cost_usd: decode_usd(row, "cost_usd")?,
        })
    }
}

impl Ledger {
    /// Adds the newest hour of attempts that the totals do not hold yet. Returns `false` once they hold all.
    ///
    /// Attempts that are recorded in the meantime wait for it.
    pub async fn extend_cost_totals(&self) -> Result<bool, LedgerError> {
        let mut connection = self.acquire().await?;
        extend(&mut connection)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// The totals since the day of that time that are not the sums of their attempts, at most `limit`. Hours whose
    /// attempts were deleted are not compared.
    pub async fn wrong_cost_totals(
        &self,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<CostDifference>, LedgerError> {
        let span = self.provable_since(since).await?;
        sqlx::query_as(include_str!("../../sql/cost_total_differences.sql"))
            .persistent(false)
            .bind(span.start)
            .bind(span.end)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Corrects those totals, a day at a time. Returns how many were wrong.
    pub async fn correct_cost_totals(
        &self,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let Span { start, end } = self.provable_since(since).await?;
        let mut corrected = 0;
        let mut from = start;
        while from < end {
            // From today on, in one: clocks may be wrong, but not by many attempts.
            let to = if from < floor(now, DAY) {
                ceil(from + HOUR, DAY)
            } else {
                end
            };
            let mut connection = self.acquire().await?;
            corrected += correct(&mut connection, from..to)
                .await
                .map_err(|cause| self.failed(cause))?;
            from = to;
        }
        Ok(corrected)
    }

    pub(super) async fn completeness(&self) -> Result<Completeness, LedgerError> {
        sqlx::query_as(include_str!("../../sql/cost_totals_range.sql"))
            .fetch_one(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// The hours since the day of `since` that have both totals and all their attempts.
    async fn provable_since(&self, since: DateTime<Utc>) -> Result<Span, LedgerError> {
        let known = self.completeness().await?;
        let start = floor(sanitize::timestamp(since), DAY);
        let start = known.totals_from.map_or(start, |from| start.max(from));
        let start = known
            .pruned_before
            .map_or(start, |before| start.max(ceil(before, HOUR)));
        Ok(start..floor(DateTime::<Utc>::MAX_UTC, HOUR))
    }
}

async fn extend(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    sqlx::query(include_str!("../../sql/lock_cost_totals.sql"))
        .execute(&mut *transaction)
        .await?;
    let Completeness {
        totals_from: Some(_),
        ..
    } = sqlx::query_as(include_str!("../../sql/cost_totals_range.sql"))
        .fetch_one(&mut *transaction)
        .await?
    else {
        return Ok(false);
    };
    let hour: Option<DateTime<Utc>> =
        sqlx::query_scalar(include_str!("../../sql/next_hour_without_total.sql"))
            .fetch_one(&mut *transaction)
            .await?;
    if let Some(hour) = hour {
        add_missing(&mut transaction, hour..hour + HOUR).await?;
    }
    sqlx::query(include_str!("../../sql/extend_cost_totals.sql"))
        .bind(hour)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(hour.is_some())
}

async fn correct(connection: &mut PgConnection, span: Span) -> sqlx::Result<u64> {
    let mut transaction = connection.begin().await?;
    sqlx::query(include_str!("../../sql/lock_cost_totals.sql"))
        .execute(&mut *transaction)
        .await?;
    let corrected = add_missing(&mut transaction, span).await?;
    transaction.commit().await?;
    Ok(corrected)
}

async fn add_missing(connection: &mut PgConnection, span: Span) -> sqlx::Result<u64> {
    let wrong: i64 = sqlx::query_scalar(include_str!("../../sql/correct_cost_totals.sql"))
        .persistent(false)
        .bind(span.start)
        .bind(span.end)
        .fetch_one(connection)
        .await?;
    Ok(wrong.unsigned_abs())
}

impl FromRow<'_, PgRow> for Completeness {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            totals_from: row.try_get("complete_from")?,
            pruned_before: row.try_get("pruned_before")?,
        })
    }
}
