//! Summaries of several limits.

use std::fmt;

use serde::Serialize;

use super::{Limit, LimitFigures, warning::LimitWarning};
use crate::render::money::Amount;

/// The title of the table.
pub(crate) const TITLE: &str = "=== Quota Status ===";

/// The JSON of one platform: `used`, `limit`, `remaining` and `reset_at` of its daily request limit, or of its
/// dollar limit if it has no daily request limit, and `limits` with all limits.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PlatformFigures {
    used: Option<Amount>,
    limit: Option<Amount>,
    remaining: Option<Amount>,
    reset_at: Option<String>,
    limits: Vec<LimitFigures>,
}

impl PlatformFigures {
    /// The figures of an account; `None` if it has no limit.
    pub(crate) fn from_account(account: &str, limits: &[Limit]) -> Option<Self> {
        let own: Vec<&Limit> = limits
            .iter()
            .filter(|limit| limit.is_of_account(account))
            .collect();
        if own.is_empty() {
            return None;
        }
        let windows = own.iter().filter(|limit| limit.window().is_some());
        let first = windows.min_by_key(|limit| limit.what != "requests a day");
        let mut figures = first.map_or_else(Self::default, |limit| {
            let figures = limit.figures();
            Self {
                used: figures.used,
                limit: figures.limit,
                remaining: figures.remaining,
                reset_at: figures.reset_at,
                limits: Vec::new(),
            }
        });
        figures.limits = own.iter().map(|limit| limit.figures()).collect();
        Some(figures)
    }

    /// For a platform without a limit on a window: its number of requests, which resets at `reset_at`.
    #[must_use]
    pub(crate) fn or_used(mut self, used: u64, reset_at: Option<String>) -> Self {
        if self.used.is_none() {
            self.used = Some(Amount::Count(used));
            self.reset_at = reset_at;
        }
        self
    }
}

/// Whether a table of these limits must name each one.
pub(crate) fn must_name(limits: &[Limit]) -> bool {
    let mut seen = Vec::new();
    limits.iter().any(|limit| {
        let again = seen.contains(&&limit.subject);
        seen.push(&limit.subject);
        again || limit.window().is_none() || limit.account().is_none()
    })
}

/// The warnings of all limits.
pub(crate) fn warnings(limits: &[Limit], alerts: &[u8]) -> Vec<LimitWarning> {
    let windows = |limit: &Limit| {
        let same = limits.iter().filter(|other| other.subject == limit.subject);
        same.filter(|other| other.window().is_some()).count()
    };
    limits
        .iter()
        .filter_map(|limit| limit.warning(alerts, windows(limit) > 1))
        .collect()
}

/// Writes a list with a title, unless it is empty.
pub(crate) fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at == 0 {
            write!(f, "\n\n{title}:")?;
        }
        write!(f, "\n  - {item}")?;
    }
    Ok(())
}

/// The figures of all budgets.
pub(crate) fn budget_figures(limits: &[Limit]) -> Vec<LimitFigures> {
    let others = limits.iter().filter(|limit| limit.account().is_none());
    let budgets = others.filter(|limit| limit.queue().is_none());
    budgets.map(Limit::figures).collect()
}

/// The figures of all limits of queues.
pub(crate) fn queue_figures(limits: &[Limit]) -> Vec<LimitFigures> {
    let queues = limits.iter().filter(|limit| limit.queue().is_some());
    queues.map(Limit::figures).collect()
}
