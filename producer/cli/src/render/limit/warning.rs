//! Warnings before a limit is reached.

use std::fmt;

use longshore_broker::WindowUsage;
use serde::Serialize;

use crate::render::money::Amount;

/// A limit that has reached an alert threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LimitWarning {
    /// Which limit, for people.
    limit: String,
    used: Amount,
    of: Amount,
    percent: u64,
    /// The highest configured threshold that was reached.
    alert: u8,
    text: &'static str,
}

impl LimitWarning {
    /// The warning for the highest threshold that a window has reached; `alerts` are ascending.
    pub(super) fn new(limit: String, fill: &WindowUsage, alerts: &[u8]) -> Option<Self> {
        let reached = |alert: &&u8| is_filled_to(fill, **alert);
        let alert = *alerts.iter().rev().find(reached)?;
        Some(Self {
            limit,
            used: Amount::new(fill.unit, fill.taken()),
            of: Amount::new(fill.unit, fill.limit),
            percent: fill.percent(),
            alert,
            text: alert_text(alert),
        })
    }
}

/// Whether the usage of a window is at least this percentage.
pub(crate) fn is_filled_to(fill: &WindowUsage, percent: u8) -> bool {
    u128::from(fill.taken()) * 100 >= u128::from(fill.limit) * u128::from(percent)
}

impl fmt::Display for LimitWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}% ({}/{}): {}",
            self.limit, self.percent, self.used, self.of, self.text
        )
    }
}

/// The warning of an alert threshold: 90 % critical, 80 % high usage, below that a checkpoint.
fn alert_text(alert: u8) -> &'static str {
    match alert {
        90.. => "Critical threshold warning",
        80.. => "High usage warning",
        _ => "Daily checkpoint warning",
    }
}
