//! When a failed attempt is retried.

use std::time::Duration;

/// The delays between attempts: `base_delay`, doubled each time up to `max_delay`, plus a random part
/// of `jitter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first. Default 3.
    pub max_retries: u32,
    /// Attempts, on all platforms together, after answers that the same call would get again: refused, cut off
    /// before any text, or of the wrong form. Each is billed. Default 1.
    pub max_repairs: u32,
    /// The delay before the first retry. Default 1 s.
    pub base_delay: Duration,
    /// The longest delay, before jitter. Default 60 s.
    pub max_delay: Duration,
    /// The most that is added at random. Default 3 s.
    pub jitter: Duration,
    /// A worker waits for delays up to this long; for longer ones it parks the job. Default 10 s.
    pub hold_limit: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            max_repairs: 1,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_mins(1),
            jitter: Duration::from_secs(3),
            hold_limit: Duration::from_secs(10),
        }
    }
}
