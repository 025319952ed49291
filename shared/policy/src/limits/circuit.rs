//! When calls to a provider that fails are held back.

use std::time::Duration;

/// The settings of the circuit breakers: one for each provider's model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// Failed calls of all in the window, in percent, at which a circuit opens, 1 to 100. Default 50.
    pub error_percent: u8,
    /// With fewer calls in the window it stays closed. Default 10.
    pub min_calls: u32,
    /// The time that calls are counted for. Default 10 s.
    pub window: Duration,
    /// How long it stays open before a call is let through to see. Default 5 s; longer each time that
    /// this call fails.
    pub cooldown: Duration,
    /// The longest that it stays open at a time; at least `cooldown`. Default 60 s.
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
