//! What one worker knows of one circuit; read and written without locks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use chrono::{DateTime, Utc};
use longshore_broker::CircuitName;

/// How a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Calls go.
    Closed,
    /// None goes.
    Open {
        /// Before this.
        until: DateTime<Utc>,
    },
    /// One at a time may try.
    HalfOpen,
}

/// What one worker knows of one circuit. Its fields say nothing of each other, so that no order between
/// them is needed; times are in ms by the server's clock, 0 = none.
#[derive(Debug)]
pub(super) struct Cell {
    /// Whose it is.
    pub(super) name: CircuitName,
    /// Successes that were not told.
    successes: AtomicU64,
    /// Something failed lately, here or elsewhere.
    watched: AtomicBool,
    /// Until when it is open.
    until: AtomicI64,
    /// Until when a worker has claimed the probe.
    claimed: AtomicI64,
    /// This worker asks for the probe, or makes it.
    probing: AtomicBool,
}

impl Cell {
    pub(super) fn new(name: CircuitName) -> Self {
        Self {
            name,
            successes: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            until: AtomicI64::new(0),
            claimed: AtomicI64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    pub(super) fn health(&self, now: DateTime<Utc>) -> Health {
        let until = DateTime::from_timestamp_millis(self.until.load(Relaxed)).unwrap_or_default();
        if until == DateTime::UNIX_EPOCH {
            Health::Closed
        } else if now < until {
            Health::Open { until }
        } else {
            Health::HalfOpen
        }
    }

    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Relaxed);
    }

    pub(super) fn take_successes(&self) -> u64 {
        self.successes.swap(0, Relaxed)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// It is closed, and something failed lately.
    pub(super) fn watch(&self) {
        self.until.store(0, Relaxed);
        self.watched.store(true, Relaxed);
    }

    pub(super) fn close(&self) {
        self.until.store(0, Relaxed);
        self.watched.store(false, Relaxed);
    }

    pub(super) fn open(&self, until: DateTime<Utc>, claimed: Option<DateTime<Utc>>) {
        self.claimed
            .store(claimed.map_or(0, |at| at.timestamp_millis()), Relaxed);
        self.watched.store(false, Relaxed);
        self.until.store(until.timestamp_millis(), Relaxed);
    }

    /// Another worker probes.
    pub(super) fn claimed(&self, until: DateTime<Utc>) {
        self.claimed.store(until.timestamp_millis(), Relaxed);
    }

    /// Whether this caller may ask for the probe: nobody here does, and nobody else is known to have it.
    pub(super) fn begin_probe(&self, now: DateTime<Utc>) -> bool {
        self.claimed.load(Relaxed) <= now.timestamp_millis() && !self.probing.swap(true, Relaxed)
    }

    pub(super) fn end_probe(&self) {
        self.probing.store(false, Relaxed);
    }

    pub(super) fn is_probing(&self) -> bool {
        self.probing.load(Relaxed)
    }

    pub(super) fn measure(&self, now: DateTime<Utc>) {
        let state = match self.health(now) {
            Health::Closed => 0.0,
            Health::HalfOpen => 1.0,
            Health::Open { .. } => 2.0,
        };
        metrics::gauge!(
            "longshore_circuit_state",
            "platform" => self.name.platform.to_string(),
            "model" => self.name.model.clone()
        )
        .set(state);
    }

    pub(super) fn count_opening(&self) {
        metrics::counter!(
            "longshore_circuit_opened_total",
            "platform" => self.name.platform.to_string(),
            "model" => self.name.model.clone()
        )
        .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::platform::PlatformName;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
    }

    fn cell() -> Cell {
        Cell::new(CircuitName {
            platform: PlatformName::from_record("a"),
            model: "m".to_owned(),
        })
    }

    #[test]
    fn an_open_circuit_is_half_open_once_its_time_has_come() {
        let cell = cell();
        assert_eq!(cell.health(at(0)), Health::Closed);
        cell.open(at(5), None);
        assert_eq!(cell.health(at(4)), Health::Open { until: at(5) });
        assert_eq!(cell.health(at(5)), Health::HalfOpen);
        cell.close();
        assert_eq!(cell.health(at(4)), Health::Closed);
    }

    #[test]
    fn one_asks_for_the_probe_at_a_time_and_none_while_another_worker_has_it() {
        let cell = cell();
        cell.open(at(5), Some(at(9)));
        assert!(!cell.begin_probe(at(8)));
        assert!(cell.begin_probe(at(9)));
        assert!(!cell.begin_probe(at(9)));
        cell.end_probe();
        assert!(cell.begin_probe(at(9)));
    }

    #[test]
    fn successes_are_told_once() {
        let cell = cell();
        cell.succeeded();
        cell.succeeded();
        assert_eq!(cell.take_successes(), 2);
        assert_eq!(cell.take_successes(), 0);
    }
}
