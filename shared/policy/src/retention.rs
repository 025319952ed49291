//! How long things are kept, in Redis and in Postgres.

use std::time::Duration;

/// How long things are kept, in Redis and in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Answers. Default 1 h.
    pub results: Duration,
    /// Ids of finished jobs, against doubles. Default 24 h.
    pub ids: Duration,
    /// Dead letters. Default 30 d.
    pub dead_letters: Duration,
    /// The most dead letters; the oldest go first. Default 1,000,000.
    pub dead_letters_max: u64,
    /// How long Redis keeps what belongs to a chain after its end.
    pub chains: Duration,
    /// Dead letters in Postgres, after they left Redis. Default: for ever.
    pub dead_letters_archive: Option<Duration>,
    /// Jobs in Postgres, after they ended. Default: for ever.
    pub jobs: Option<Duration>,
    /// Attempts in Postgres, and with them what they cost. Default: for ever.
    pub attempts: Option<Duration>,
    /// Facts that Postgres refused, in Redis. Default: for ever.
    pub events_bad: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            results: Duration::from_hours(1),
            ids: Duration::from_hours(24),
            dead_letters: Duration::from_hours(30 * 24),
            dead_letters_max: 1_000_000,
            chains: Duration::from_hours(7 * 24),
            dead_letters_archive: None,
            jobs: None,
            attempts: None,
            events_bad: None,
        }
    }
}
