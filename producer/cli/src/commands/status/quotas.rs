//! Quotas and budgets in the status.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::commands::{
    quota::{
        limit::{Figures, Limit},
        report::{PlatformFigures, TITLE, budgets, list, must_name, warnings},
        table::{Line, draw},
        warning::Warning,
    },
    words::time,
};

/// What was asked of a platform today.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) platform: String,
    /// Whose limits count for it.
    pub(super) account: String,
    pub(super) requests: u64,
}

/// Limits, and what platforms without one were asked; what could not be learnt is absent.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Redis knows them.
    pub(super) limits: Option<Vec<Limit>>,
    /// The record knows it.
    pub(super) used: Option<Vec<Used>>,
    /// When today's requests no longer count.
    pub(super) reset_at: Option<DateTime<Utc>>,
    pub(super) alerts: Vec<u8>,
}

impl Quotas {
    /// Limits on sums; rates and places are for `longshore quota`.
    fn windows(&self) -> Vec<Limit> {
        let limits = self.limits.iter().flatten();
        limits
            .filter(|limit| limit.window().is_some())
            .cloned()
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<Warning> {
        warnings(&self.windows(), &self.alerts)
    }

    pub(super) fn budgets(&self) -> Vec<Figures> {
        budgets(self.limits.as_deref().unwrap_or_default())
    }

    /// Of each platform, for programs; `None` if nothing is known.
    pub(super) fn platforms(&self) -> Option<Vec<(String, PlatformFigures)>> {
        if self.limits.is_none() && self.used.is_none() {
            return None;
        }
        let limits = self.limits.as_deref().unwrap_or_default();
        let mut platforms: Vec<(String, PlatformFigures)> = Vec::new();
        for used in self.used.iter().flatten() {
            let figures = PlatformFigures::of(&used.account, limits).unwrap_or_default();
            let reset_at = self.reset_at.map(time);
            platforms.push((
                used.platform.clone(),
                figures.or_used(used.requests, reset_at),
            ));
        }
        for account in limits.iter().filter_map(Limit::account) {
            if platforms.iter().all(|(name, _)| name != account) {
                let figures = PlatformFigures::of(account, limits);
                platforms.extend(figures.map(|figures| (account.to_owned(), figures)));
            }
        }
        Some(platforms)
    }

    /// The platforms that no sum limits.
    fn without_limit<'a>(&'a self, windows: &'a [Limit]) -> impl Iterator<Item = Line> + 'a {
        let reset = self.reset_at.map_or_else(
            || "-".to_owned(),
            |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
        );
        let has_none = |used: &&Used| {
            windows
                .iter()
                .all(|limit| !limit.is_of_account(&used.account))
        };
        let used = self.used.iter().flatten().filter(has_none);
        used.map(move |used| Line {
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
        let mut lines: Vec<Line> = windows.iter().map(Limit::line).collect();
        lines.extend(self.without_limit(&windows));
        if !lines.is_empty() {
            write!(f, "{}", draw(&lines, must_name(&windows)))?;
        }
        let silent = match (&self.limits, &self.used) {
            (None, None) => Some("unknown: see Redis and Postgres above"),
            (None, Some(_)) => Some("\nlimits unknown: see Redis above"),
            (Some(_), None) if lines.is_empty() => Some("unknown: see Postgres above"),
            (Some(_), None) => Some("\nothers unknown: see Postgres above"),
            (Some(_), Some(_)) => None,
        };
        if let Some(silent) = silent {
            write!(f, "{silent}")?;
        }
        list(f, "Warnings", self.warnings().iter())
    }
}
