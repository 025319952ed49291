//! Quotas and budgets in the status.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::render::{
    limit::{
        Limit, LimitFigures,
        row::{LimitRow, limit_table},
        summary::{PlatformFigures, TITLE, budget_figures, must_name, warnings, write_list},
        warning::LimitWarning,
    },
    time::{minute, timestamp},
};

/// The number of requests to a platform today.
#[derive(Debug)]
pub(super) struct PlatformUsage {
    pub(super) platform: String,
    /// The account whose limits apply.
    pub(super) account: String,
    pub(super) requests: u64,
}

/// Limits, and the requests to platforms without a limit. Unknown values are `None`.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// From Redis.
    pub(super) limits: Option<Vec<Limit>>,
    /// From the ledger.
    pub(super) used: Option<Vec<PlatformUsage>>,
    /// When the number of requests resets.
    pub(super) reset_at: Option<DateTime<Utc>>,
    pub(super) alerts: Vec<u8>,
}

impl Quotas {
    /// Limits on sums; `longshore quota` also shows rates and slots.
    fn windows(&self) -> Vec<Limit> {
        let limits = self.limits.iter().flatten();
        limits
            .filter(|limit| limit.window().is_some())
            .cloned()
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<LimitWarning> {
        warnings(&self.windows(), &self.alerts)
    }

    pub(super) fn budgets(&self) -> Vec<LimitFigures> {
        budget_figures(self.limits.as_deref().unwrap_or_default())
    }

    /// The JSON of each platform; `None` if nothing is known.
    pub(super) fn platforms(&self) -> Option<Vec<(String, PlatformFigures)>> {
        if self.limits.is_none() && self.used.is_none() {
            return None;
        }
        let limits = self.limits.as_deref().unwrap_or_default();
        let mut platforms: Vec<(String, PlatformFigures)> = Vec::new();
        for used in self.used.iter().flatten() {
            let figures = PlatformFigures::from_account(&used.account, limits).unwrap_or_default();
            let reset_at = self.reset_at.map(timestamp);
            platforms.push((
                used.platform.clone(),
                figures.or_used(used.requests, reset_at),
            ));
        }
        for account in limits.iter().filter_map(Limit::account) {
            if platforms.iter().all(|(name, _)| name != account) {
                let figures = PlatformFigures::from_account(account, limits);
                platforms.extend(figures.map(|figures| (account.to_owned(), figures)));
            }
        }
        Some(platforms)
    }

    /// The rows of platforms without a limit on a sum.
    fn without_limit<'a>(&'a self, windows: &'a [Limit]) -> impl Iterator<Item = LimitRow> + 'a {
        let reset = self.reset_at.map_or_else(|| "-".to_owned(), minute);
        let has_none = |used: &&PlatformUsage| {
            windows
                .iter()
                .all(|limit| !limit.is_of_account(&used.account))
        };
        let used = self.used.iter().flatten().filter(has_none);
        used.map(move |used| LimitRow {
            platform: used.platform.clone(),
            used: used.requests.to_string(),
            limit: "-".to_owned(),
            remaining: "-".to_owned(),
            reset: reset.clone(),
            limit_of: String::new(),
        })
    }
}

impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        let windows = self.windows();
        let mut rows: Vec<LimitRow> = windows.iter().map(Limit::row).collect();
        rows.extend(self.without_limit(&windows));
        if !rows.is_empty() {
            write!(f, "{}", limit_table(&rows, must_name(&windows)))?;
        }
        let unknown = match (&self.limits, &self.used) {
            (None, None) => Some("unknown: see Redis and Postgres above"),
            (None, Some(_)) => Some("\nlimits unknown: see Redis above"),
            (Some(_), None) if rows.is_empty() => Some("unknown: see Postgres above"),
            (Some(_), None) => Some("\nothers unknown: see Postgres above"),
            (Some(_), Some(_)) => None,
        };
        if let Some(unknown) = unknown {
            write!(f, "{unknown}")?;
        }
        write_list(f, "Warnings", self.warnings().iter())
    }
}
