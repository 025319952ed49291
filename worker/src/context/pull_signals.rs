//! Signals from the stages to the reader: whether pulling new jobs is worthwhile, and whether tenants share.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

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
            // The more jobs are parked, the longer they last.
            let supply = Duration::from_millis(parked / 10).min(LONGEST_GUESS);
            now_ms + i64::try_from(supply.as_millis()).unwrap_or(0)
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
}
