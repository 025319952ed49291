//! Facts about quotas and budgets.

use serde::{Deserialize, Serialize};

/// An ended window of a quota or budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The meter.
    pub meter: String,
    pub unit: WindowUnit,
    /// Its first moment, in ms since the epoch.
    pub start_ms: i64,
    /// The first moment after it, in ms since the epoch.
    pub end_ms: i64,
    pub used: u64,
    pub limit: u64,
}

/// A window of a quota or budget that passed an alert threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// The meter.
    pub meter: String,
    pub unit: WindowUnit,
    /// The first moment of the window, in ms since the epoch.
    pub start_ms: i64,
    /// The first moment after the window; absent if it never ends.
    pub end_ms: Option<i64>,
    /// The threshold in percent of the limit.
    pub threshold: u8,
    /// The usage when the alert was raised.
    pub used: u64,
    pub limit: u64,
    /// When the alert was raised, in ms since the epoch.
    pub at_ms: i64,
}

string_enum! {
    /// The unit of a quota or budget window.
    WindowUnit {
        Requests = "requests",
        /// Billionths of a dollar.
        NanoUsd = "nano_usd",
    }
}
