//! Signals from the stages to the reader: whether pulling new jobs is worthwhile, and whether tenants share.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use longshore_protocol::id::QueueName;

/// Parked jobs that must wait before pulling stops. With fewer, they could run out before the reader pulls
/// again.
const ENOUGH_PARKED: u64 = 1000;

/// The longest time the gate stays closed when capacity may return at any moment.
const LONGEST_GUESS: Duration = Duration::from_secs(2);

/// How long a job that names a tenant counts as tenant activity, in ms.
const TENANT_ACTIVITY_MS: i64 = 60_000;

/// Closed while every new job would only be parked.
#[derive(Debug, Default)]
pub(crate) struct PullGate {
    closed_until_ms: AtomicI64,
}

impl PullGate {
    /// Closes the gate after a job was parked for capacity that no other job would find either. `until_ms` is
    /// when capacity may return, or, if `is_certain`, when it returns at the earliest; `parked` counts the
    /// jobs that wait for it.
    pub(crate) fn close(&self, now_ms: i64, until_ms: i64, parked: u64, is_certain: bool) {
        let until = if is_certain {
            until_ms
        } else if parked >= ENOUGH_PARKED {
            now_ms + supply_ms(parked)
        } else {
            return;
        };
        self.closed_until_ms.fetch_max(until, Ordering::Relaxed);
    }

    /// Opens the gate, because limits changed.
    pub(crate) fn open(&self) {
        self.closed_until_ms.store(0, Ordering::Relaxed);
    }

    /// How much longer the gate is closed; `None` if it is open.
    pub(crate) fn closed_for(&self, now_ms: i64) -> Option<Duration> {
        let left = self.closed_until_ms.load(Ordering::Relaxed) - now_ms;
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_millis)
    }
}

/// A gate for each queue: closed while its new jobs would only be parked for the limits of the queue. Jobs of other queues
/// are pulled, and so are those that leave the lane.
#[derive(Debug, Default)]
pub(crate) struct QueueGates {
    /// The gates that were closed, until when (ms).
    closed_until_ms: Mutex<BTreeMap<QueueName, i64>>,
}

impl QueueGates {
    /// Closes the gate after a job was parked for a limit of its queue, while `parked` jobs wait for that.
    pub(crate) fn close(&self, queue: QueueName, now_ms: i64, parked: u64) {
        if parked < ENOUGH_PARKED {
            return;
        }
        let until = now_ms + supply_ms(parked);
        let mut gates = self.gates();
        let closed_until = gates.entry(queue).or_insert(until);
        *closed_until = until.max(*closed_until);
    }

    /// Opens all gates, because limits changed.
    pub(crate) fn open(&self) {
        self.gates().clear();
    }

    /// The queues whose gates are closed.
    pub(crate) fn closed(&self, now_ms: i64) -> Vec<QueueName> {
        let mut gates = self.gates();
        gates.retain(|_, until| *until > now_ms);
        gates.keys().cloned().collect()
    }

    fn gates(&self) -> std::sync::MutexGuard<'_, BTreeMap<QueueName, i64>> {
        // A map of times has no state between two of its changes.
        self.closed_until_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long many parked jobs last, in ms: the more there are, the longer.
fn supply_ms(parked: u64) -> i64 {
    let supply = Duration::from_millis(parked / 10).min(LONGEST_GUESS);
    i64::try_from(supply.as_millis()).unwrap_or(0)
}

/// Whether jobs name tenants, so that capacity must be shared among them.
#[derive(Debug, Default)]
pub(crate) struct TenantActivity {
    last_seen_ms: AtomicI64,
}

impl TenantActivity {
    /// A job that names a tenant arrived.
    pub(crate) fn record(&self, now_ms: i64) {
        self.last_seen_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn is_recent(&self, now_ms: i64) -> bool {
        now_ms - self.last_seen_ms.load(Ordering::Relaxed) < TENANT_ACTIVITY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_window_closes_the_gate_until_the_window_ends() {
        let gate = PullGate::default();
        gate.close(1_000, 61_000, 1, true);
        assert_eq!(gate.closed_for(1_000), Some(Duration::from_mins(1)));
        assert_eq!(gate.closed_for(61_000), None);
    }

    #[test]
    fn capacity_that_may_return_at_once_closes_the_gate_only_while_enough_jobs_are_parked() {
        let gate = PullGate::default();
        gate.close(1_000, 2_000, 10, false);
        assert_eq!(gate.closed_for(1_000), None);
        gate.close(1_000, 2_000, 5_000, false);
        assert_eq!(gate.closed_for(1_000), Some(Duration::from_millis(500)));
        gate.close(1_000, 2_000, 5_000_000, false);
        assert_eq!(gate.closed_for(1_000), Some(LONGEST_GUESS));
        gate.open();
        assert_eq!(gate.closed_for(1_000), None);
    }

    #[test]
    fn the_gate_of_a_queue_closes_for_that_queue_alone() {
        let gates = QueueGates::default();
        let bulk = QueueName::parse("bulk").unwrap();
        gates.close(bulk.clone(), 1_000, 999);
        assert!(gates.closed(1_000).is_empty(), "they could run out");
        gates.close(bulk.clone(), 1_000, 5_000);
        gates.close(bulk.clone(), 1_000, 1_000);
        assert_eq!(gates.closed(1_499), std::slice::from_ref(&bulk));
        assert!(gates.closed(1_500).is_empty());
        gates.close(bulk, 1_000, 5_000);
        gates.open();
        assert!(gates.closed(1_000).is_empty());
    }
}
