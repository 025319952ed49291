//! What one worker knows about one circuit, read and written without locks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use chrono::{DateTime, Utc};
use longshore_broker::CircuitName;
use longshore_service::instruments::{CIRCUIT_OPENED, CIRCUIT_STATE};

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls are allowed.
    Closed,
    /// No call is allowed.
    Open {
        /// When it becomes half-open.
        until: DateTime<Utc>,
    },
    /// One call at a time is allowed, as a probe.
    HalfOpen,
}

/// What one worker knows about one circuit. The fields are independent of each other, so that relaxed
/// ordering is enough. Times are in ms of the server's clock; 0 means none.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) name: CircuitName,
    /// Successes that are not reported yet.
    successes: AtomicU64,
    /// Whether a call failed recently, here or on another worker.
    watched: AtomicBool,
    open_until_ms: AtomicI64,
    /// Until when a worker has claimed the probe.
    claimed_until_ms: AtomicI64,
    /// Whether this worker claims the probe or makes it.
    probing: AtomicBool,
}

impl Cell {
    pub(super) fn new(name: CircuitName) -> Self {
        Self {
            name,
            successes: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            open_until_ms: AtomicI64::new(0),
            claimed_until_ms: AtomicI64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self, now: DateTime<Utc>) -> CircuitState {
        let until_ms = self.open_until_ms.load(Relaxed);
        let until = DateTime::from_timestamp_millis(until_ms).unwrap_or_default();
        if until == DateTime::UNIX_EPOCH {
            CircuitState::Closed
        } else if now < until {
            CircuitState::Open { until }
        } else {
            CircuitState::HalfOpen
        }
    }

    pub(super) fn count_success(&self) {
        self.successes.fetch_add(1, Relaxed);
    }

    pub(super) fn take_successes(&self) -> u64 {
        self.successes.swap(0, Relaxed)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Closed, with a recent failure.
    pub(super) fn watch(&self) {
        self.open_until_ms.store(0, Relaxed);
        self.watched.store(true, Relaxed);
    }

    pub(super) fn close(&self) {
        self.open_until_ms.store(0, Relaxed);
        self.watched.store(false, Relaxed);
    }

    pub(super) fn open(&self, until: DateTime<Utc>, claimed_until: Option<DateTime<Utc>>) {
        let claimed_ms = claimed_until.map_or(0, |at| at.timestamp_millis());
        self.claimed_until_ms.store(claimed_ms, Relaxed);
        self.watched.store(false, Relaxed);
        self.open_until_ms.store(until.timestamp_millis(), Relaxed);
    }

    /// Another worker has claimed the probe.
    pub(super) fn set_claimed(&self, until: DateTime<Utc>) {
        self.claimed_until_ms
            .store(until.timestamp_millis(), Relaxed);
    }

    /// Whether the caller may claim the probe: no one else here does, and no other worker is known to have
    /// it.
    pub(super) fn begin_probe(&self, now: DateTime<Utc>) -> bool {
        self.claimed_until_ms.load(Relaxed) <= now.timestamp_millis()
            && !self.probing.swap(true, Relaxed)
    }

    pub(super) fn end_probe(&self) {
        self.probing.store(false, Relaxed);
    }

    pub(super) fn is_probing(&self) -> bool {
        self.probing.load(Relaxed)
    }

    /// Sets the gauge of the circuit's state.
    pub(super) fn publish_state(&self, now: DateTime<Utc>) {
        let state = match self.state(now) {
            CircuitState::Closed => 0.0,
            CircuitState::HalfOpen => 1.0,
            CircuitState::Open { .. } => 2.0,
        };
        CIRCUIT_STATE.set(self.labels(), state);
    }

    pub(super) fn count_opening(&self) {
        CIRCUIT_OPENED.add(self.labels(), 1);
    }

    fn labels(&self) -> [&str; 2] {
        [self.name.platform.as_str(), &self.name.model]
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
            platform: PlatformName::from_stored("a"),
            model: "m".to_owned(),
        })
    }

    #[test]
    fn an_open_circuit_becomes_half_open_when_its_time_has_passed() {
        let cell = cell();
        assert_eq!(cell.state(at(0)), CircuitState::Closed);
        cell.open(at(5), None);
        assert_eq!(cell.state(at(4)), CircuitState::Open { until: at(5) });
        assert_eq!(cell.state(at(5)), CircuitState::HalfOpen);
        cell.close();
        assert_eq!(cell.state(at(4)), CircuitState::Closed);
    }

    #[test]
    fn one_caller_at_a_time_may_claim_the_probe_and_none_while_another_worker_has_it() {
        let cell = cell();
        cell.open(at(5), Some(at(9)));
        assert!(!cell.begin_probe(at(8)));
        assert!(cell.begin_probe(at(9)));
        assert!(!cell.begin_probe(at(9)));
        cell.end_probe();
        assert!(cell.begin_probe(at(9)));
    }

    #[test]
    fn successes_are_reported_once() {
        let cell = cell();
        cell.count_success();
        cell.count_success();
        assert_eq!(cell.take_successes(), 2);
        assert_eq!(cell.take_successes(), 0);
    }
}
