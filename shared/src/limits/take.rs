//! What a call takes of a limit.

use serde_json::{Value, json};

use super::AtLimit;

/// What one call takes of one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// An evenly paced rate.
    Rate {
        /// The limit.
        meter: String,
        /// A unit every so many microseconds.
        interval_micros: u64,
        /// Units that may go at once.
        burst: u64,
        /// Units that the call takes.
        amount: u64,
    },
    /// A sum within a window.
    Window {
        /// The limit.
        meter: String,
        /// The window: its start in ms since the epoch.
        window: i64,
        /// Its end in ms since the epoch, if it ends.
        end: Option<i64>,
        /// The most.
        limit: u64,
        /// What the call takes.
        amount: u64,
        /// Whether the sum is held to the limit, or only counted.
        hard: bool,
        /// What becomes of jobs that no longer fit.
        at_limit: AtLimit,
    },
    /// Places.
    Slots {
        /// The limit.
        meter: String,
        /// How many.
        limit: u32,
        /// The window of whose remainder at most half is in flight at once: its meter and limit.
        half_of: Option<(String, u64)>,
    },
}

impl Take {
    /// The form that the scripts read (`shared/lua/limits.lua`).
    pub fn to_json(&self) -> Value {
        match self {
            Self::Rate {
                meter,
                interval_micros,
                burst,
                amount,
            } => json!(["r", meter, interval_micros, burst, amount]),
            Self::Window {
                meter,
                window,
                end,
                limit,
                amount,
                hard,
                at_limit,
            } => json!([
                "w",
                meter,
                window,
                end.unwrap_or(0),
                limit,
                amount,
                u8::from(*hard),
                at_limit.as_str()
            ]),
            Self::Slots {
                meter,
                limit,
                half_of,
            } => {
                let (sum, most) = half_of
                    .as_ref()
                    .map_or(("", 0), |(meter, limit)| (meter.as_str(), *limit));
                json!(["s", meter, limit, sum, most])
            }
        }
    }

    /// The limit.
    pub fn meter(&self) -> &str {
        match self {
            Self::Rate { meter, .. } | Self::Window { meter, .. } | Self::Slots { meter, .. } => {
                meter
            }
        }
    }
}
