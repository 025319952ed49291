//! Rules that replay dead letters automatically.

use std::time::Duration;

use longshore_protocol::dead_letter::DeadLetterFilter;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRule {
    /// The name in logs, metrics and Redis.
    pub name: String,
    /// Which dead letters; excludes those that were replayed too often.
    pub filter: DeadLetterFilter,
    pub when: ReplayWhen,
    /// The most replays in 60 s. Default 60.
    pub per_minute: u32,
}

/// When a rule replays a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayWhen {
    /// As soon as no circuit of the platform of the last failure is open, and not before a circuit's
    /// `cooldown` has passed.
    Healthy,
    /// This long after the dead letter was written.
    After(Duration),
}
