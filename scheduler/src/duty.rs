//! How duties repeat: a [`Timer`] in the rounds of the leader, [`Background::next_run`] beside them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_service::live_config::LiveConfig;
use tokio_util::sync::CancellationToken;

/// How often a background duty checks whether it is due.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Tells when a duty with a fixed interval is due. The first run is due at once.
pub(crate) struct Timer {
    interval: Duration,
    last: Option<Instant>,
}

impl Timer {
    pub(crate) fn every(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
        }
    }

    /// Whether a run is due. If so, it counts as started.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.last.is_some_and(|last| last.elapsed() < self.interval) {
            return false;
        }
        self.last = Some(Instant::now());
        true
    }

    /// Makes the next run due at once.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }

    /// Whether the next run is due at once because of [`Timer::reset`].
    pub(crate) fn is_reset(&self) -> bool {
        self.last.is_none()
    }
}

/// Whether this scheduler led in its latest round. Clones share the value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leading(Arc<AtomicBool>);

impl Leading {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, leading: bool) {
        self.0.store(leading, Ordering::Relaxed);
    }
}

/// What the duties beside the rounds need.
#[derive(Clone)]
pub(crate) struct Background {
    pub(crate) config: LiveConfig,
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) leading: Leading,
    pub(crate) stop: CancellationToken,
}

impl Background {
    /// Waits until a run is due and this scheduler leads. Returns `false` when the scheduler stops.
    ///
    /// A run that takes longer than the interval delays the next one.
    pub(crate) async fn next_run(&self, timer: &mut Timer) -> bool {
        loop {
            if self.leading.get() && timer.is_due() {
                return true;
            }
            let check = tokio::time::sleep(CHECK_EVERY);
            if self.stop.run_until_cancelled(check).await.is_none() {
                return false;
            }
        }
    }
}
