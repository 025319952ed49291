//! How long data is kept in Redis and in Postgres.

use std::time::Duration;

/// How long data is kept in Redis and in Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Replies, and outcomes in Redis that were requested: by `reply`, by `keep_result`, of chains and batches.
    /// Default 1 h.
    pub results: Duration,
    /// Outcomes in Redis that nobody requested. Default 5 min: at 2,000 jobs/s, 600,000 keys.
    pub unrequested_results: Duration,
    /// Ids of finished jobs, for duplicate detection. Default 24 h.
    pub ids: Duration,
    /// Dead letters in Redis. Default 30 d.
    pub dead_letters: Duration,
    /// The most dead letters in Redis; the oldest are removed first. Default 1,000,000.
    pub dead_letters_max: u64,
    /// A chain's data in Redis after the chain's end. Default 7 d.
    pub chains: Duration,
    /// Dead letters in Postgres, after they left Redis. Default: forever.
    pub dead_letters_archive: Option<Duration>,
    /// Jobs and chains in Postgres, after they ended. Default: forever.
    pub jobs: Option<Duration>,
    /// Attempts in Postgres; closed windows and alerts. Default: forever.
    pub attempts: Option<Duration>,
    /// Totals of costs in Postgres whose attempts were deleted. Default: forever.
    pub costs: Option<Duration>,
    /// Acts of people in Postgres. Default: forever.
    pub audit: Option<Duration>,
    /// Events in Redis that Postgres rejected. Default: forever.
    pub events_bad: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            results: Duration::from_hours(1),
            unrequested_results: Duration::from_mins(5),
            ids: Duration::from_hours(24),
            dead_letters: Duration::from_hours(30 * 24),
            dead_letters_max: 1_000_000,
            chains: Duration::from_hours(7 * 24),
            dead_letters_archive: None,
            jobs: None,
            attempts: None,
            costs: None,
            audit: None,
            events_bad: None,
        }
    }
}
