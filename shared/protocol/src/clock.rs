//! The clock of this process.
//!
//! Due times, windows and receipts follow the clock of the Redis server, which all processes share. The
//! local clock serves reports, file names and durations that one process measures. It is read here only, so
//! that each use is a decision.

use chrono::{DateTime, Utc};

/// The time of the local clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn local_time() -> DateTime<Utc> {
    Utc::now()
}
