//! Circuit breaker settings.

use std::time::Duration;

/// Settings of the circuit breakers, one per provider and model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// The percentage of failed calls in the window at which a circuit opens, 1 to 100. Default 50.
    pub error_percent: u8,
    /// The fewest calls in the window at which a circuit can open. Default 10.
    pub min_calls: u32,
    /// How long calls are counted. Default 10 s.
    pub window: Duration,
    /// How long a circuit stays open before a probe. Default 5 s; grows with each failed probe.
    pub cooldown: Duration,
    /// The longest time between probes; at least `cooldown`. Default 60 s.
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
