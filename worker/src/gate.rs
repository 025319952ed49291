//! Whether it is worth pulling new jobs: not while every job would only be laid aside.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// As many must wait before pulling stops: else those who wait could run dry.
const ENOUGH: u64 = 1000;

/// Where nothing tells when there is room, look again after this long at the latest.
const LONGEST: Duration = Duration::from_secs(2);

/// Closed while every job that is pulled would wait.
#[derive(Debug, Default)]
pub struct Gate {
    until_ms: AtomicI64,
}

impl Gate {
    /// A job was laid aside, and so would be any other: `until_ms` is when there may be room, `waiting`
    /// how many wait already. With `certain`, there is no room before.
    pub(crate) fn close(&self, now_ms: i64, until_ms: i64, waiting: u64, certain: bool) {
        let until = if certain {
            until_ms
        } else if waiting >= ENOUGH {
            // They are good for a while, the more of them the longer.
            let good = Duration::from_millis(waiting / 10).min(LONGEST);
            now_ms + i64::try_from(good.as_millis()).unwrap_or(0)
        } else {
            return;
        };
        self.until_ms.fetch_max(until, Ordering::Relaxed);
    }

    /// Opens it: limits changed.
    pub(crate) fn open(&self) {
        self.until_ms.store(0, Ordering::Relaxed);
    }

    /// For how long it is closed.
    pub(crate) fn closed_for(&self, now_ms: i64) -> Option<Duration> {
        let left = self.until_ms.load(Ordering::Relaxed) - now_ms;
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_spent_closes_it_to_the_end() {
        let gate = Gate::default();
        gate.close(1_000, 61_000, 1, true);
        assert_eq!(gate.closed_for(1_000), Some(Duration::from_mins(1)));
        assert_eq!(gate.closed_for(61_000), None);
    }

    #[test]
    fn what_may_come_free_at_once_closes_it_only_while_enough_wait() {
        let gate = Gate::default();
        gate.close(1_000, 2_000, 10, false);
        assert_eq!(gate.closed_for(1_000), None);
        gate.close(1_000, 2_000, 5_000, false);
        assert_eq!(gate.closed_for(1_000), Some(Duration::from_millis(500)));
        gate.close(1_000, 2_000, 5_000_000, false);
        assert_eq!(gate.closed_for(1_000), Some(LONGEST));
        gate.open();
        assert_eq!(gate.closed_for(1_000), None);
    }
}
