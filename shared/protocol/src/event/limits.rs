//! Facts about quotas and budgets.

use serde::{Deserialize, Serialize};

/// A window of a quota or a budget that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// What is counted, and whose.
    pub meter: String,
    /// In what.
    pub unit: WindowUnit,
    /// Its first moment, in ms since the epoch.
    pub start_ms: i64,
    /// The first moment after it.
    pub end_ms: i64,
    /// What was used of it.
    pub used: u64,
    /// What could have been.
    pub limit: u64,
}

/// A window of a quota or a budget, used up to a part of its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// What is counted, and whose.
    pub meter: String,
    /// In what.
    pub unit: WindowUnit,
    /// The window's first moment, in ms since the epoch.
    pub start_ms: i64,
    /// The first moment after it; absent of one that never ends.
    pub end_ms: Option<i64>,
    /// The part, in percent.
    pub threshold: u8,
    /// What was used of the window when that was seen.
    pub used: u64,
    /// What may be.
    pub limit: u64,
    /// When it was seen, in ms since the epoch.
    pub at_ms: i64,
}

string_enum! {
    /// What the windows of quotas and budgets are counted in.
    WindowUnit {
        /// Calls.
        Requests = "requests",
        /// Billionths of a dollar.
        NanoUsd = "nano_usd",
    }
}
