//! When a model that only fails is left alone, and for how long.

use std::time::Duration;

/// When the circuit of a provider's model opens, and for how long it stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// The share of calls, in percent, that must have failed. Default 50.
    pub error_percent: u8,
    /// Fewer calls than these say nothing. Default 10.
    pub min_calls: u32,
    /// How far back calls are counted. Default 10 s.
    pub window: Duration,
    /// How long it stays open before one call may try again. Default 5 s.
    pub cooldown: Duration,
    /// The longest that it stays open, doubled with each such call that failed. Default 60 s.
    pub max_cooldown: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            error_percent: 50,
            min_calls: 10,
            window: Duration::from_secs(10),
            cooldown: Duration::from_secs(5),
            max_cooldown: Duration::from_mins(1),
        }
    }
}
