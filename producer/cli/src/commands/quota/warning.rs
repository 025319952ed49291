//! Warnings before a limit is reached.

use std::fmt;

use longshore_shared::broker::WindowFill;
use serde::Serialize;

use super::amount::Amount;

/// A limit that is taken to an alert's percent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    /// Which limit, for people.
    limit: String,
    used: Amount,
    of: Amount,
    percent: u64,
    /// The highest of the configured alerts that is reached.
    alert: u8,
    text: &'static str,
}

impl Warning {
    /// The warning that a window deserves, if any; `alerts` are in order.
    pub(super) fn of(limit: String, fill: &WindowFill, alerts: &[u8]) -> Option<Self> {
        let reached = |alert: &&u8| is_at(fill, **alert);
        let alert = *alerts.iter().rev().find(reached)?;
        Some(Self {
            limit,
            used: Amount::new(fill.unit, fill.taken()),
            of: Amount::new(fill.unit, fill.limit),
            percent: fill.percent(),
            alert,
            text: words(alert),
        })
    }
}

/// Whether so many percent are taken.
pub(crate) fn is_at(fill: &WindowFill, percent: u8) -> bool {
    u128::from(fill.taken()) * 100 >= u128::from(fill.limit) * u128::from(percent)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}% ({}/{}): {}",
            self.limit, self.percent, self.used, self.of, self.text
        )
    }
}

/// The words of seed 000, "Alert Thresholds".
fn words(alert: u8) -> &'static str {
    match alert {
        90.. => "Critical threshold warning",
        80.. => "High usage warning",
        _ => "Daily checkpoint warning",
    }
}
