//! What calls used of the windows of limits, for limits that did not count them.

use chrono::{DateTime, Utc};
use longshore_protocol::id::AttemptId;
use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{Ledger, LedgerError, rows::decode_count, sanitize};

/// The calls of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowCalls {
    /// Calls that began at this time or later.
    pub from: DateTime<Utc>,
    /// Calls that began before this time.
    pub to: DateTime<Utc>,
    /// Calls to any of these platforms; `None` = all.
    pub platforms: Option<Vec<String>>,
    pub tenant: Option<String>,
    pub chain: Option<String>,
    pub by: UsageBy,
    /// Owners for which only calls before another time count, if it is in the span.
    pub ends: Vec<(String, DateTime<Utc>)>,
    /// Calls that do not count.
    pub except: Vec<AttemptId>,
}

/// How the usage of a window is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    Total,
    Tenant,
    /// Only of chains with a call since then.
    Chain {
        since: DateTime<Utc>,
    },
}

/// What calls used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowUse {
    /// The tenant or chain; empty for the total.
    pub owner: String,
    /// Requests that the provider counts.
    pub requests: u64,
    /// Billionths of a dollar; of calls whose cost is unknown, what they reserved.
    pub nano_usd: u64,
}

impl FromRow<'_, PgRow> for WindowUse {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            owner: row.try_get("owner")?,
            requests: decode_count(row, "requests")?,
            nano_usd: decode_count(row, "nano_usd")?,
        })
    }
}

impl Ledger {
    /// Whether any attempt is recorded.
    pub async fn has_attempts(&self) -> Result<bool, LedgerError> {
        sqlx::query_scalar(include_str!("../sql/has_attempts.sql"))
            .fetch_one(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// What the calls used, the greatest sums first.
    pub async fn window_usage(
        &self,
        calls: &WindowCalls,
        most: u32,
    ) -> Result<Vec<WindowUse>, LedgerError> {
        let (by, since) = match calls.by {
            UsageBy::Total => ("", None),
            UsageBy::Tenant => ("tenant", None),
            UsageBy::Chain { since } => ("chain", Some(sanitize::timestamp(since))),
        };
        let (owners, ends): (Vec<&str>, Vec<_>) = calls
            .ends
            .iter()
            .map(|(owner, at)| (owner.as_str(), sanitize::timestamp(*at)))
            .unzip();
        let except: Vec<Uuid> = calls.except.iter().map(|id| id.0).collect();
        sqlx::query_as(include_str!("../sql/window_usage.sql"))
            .bind(sanitize::timestamp(calls.from))
            .bind(sanitize::timestamp(calls.to))
            .bind(calls.platforms.as_deref())
            .bind(calls.tenant.as_deref())
            .bind(calls.chain.as_deref())
            .bind(by)
            .bind(since)
            .bind(owners)
            .bind(ends)
            .bind(i64::from(most))
            .bind(except)
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}
