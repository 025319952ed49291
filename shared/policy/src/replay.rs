//! The rules by which dead letters are replayed without a person.

use std::time::Duration;

use longshore_protocol::dead_letter::DeadFilter;

/// A rule by which dead letters are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRule {
    /// Its name, in logs, metrics and Redis.
    pub name: String,
    /// Which letters; those that were replayed often enough are none of them.
    pub filter: DeadFilter,
    /// When.
    pub when: ReplayWhen,
    /// At most so many in 60 s. Default 60.
    pub per_minute: u32,
}

/// When a rule replays a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayWhen {
    /// As soon as no circuit of the platform that failed last is open, and not before a circuit's
    /// `cooldown` is over.
    Healthy,
    /// So long after it died.
    After(Duration),
}
