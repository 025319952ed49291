//! What all connections share.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    Settings,
    dialect::{Dialect, PerDialect},
    faults::{Active, Board, Faults},
    invoice::Invoice,
    limit::{Standing, Window},
    stats::Counters,
};

/// The simulator's memory.
#[derive(Debug, Default)]
pub(super) struct State {
    settings: Settings,
    pub(super) invoice: Invoice,
    pub(super) counters: Counters,
    faults: Board,
    windows: PerDialect<Mutex<Window>>,
    /// How often each prompt that is to fail at first has failed.
    failed: Mutex<HashMap<Box<str>, u32>>,
    serial: AtomicU64,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// A number that no other answer has.
    pub(super) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Relaxed)
    }

    pub(super) fn faults(&self, dialect: Dialect) -> Active {
        self.faults.of(dialect)
    }

    /// Replaces the faults of one dialect, or of all, and starts a new minute for them.
    pub(super) fn set_faults(&self, dialect: Option<Dialect>, faults: Faults) {
        for each in Dialect::ALL {
            if dialect.is_none_or(|only| only == each) {
                self.faults.set(each, faults);
                lock(self.windows.of(each)).clear();
            }
        }
    }

    /// Asks the dialect's limit for one call.
    pub(super) fn admit(&self, dialect: Dialect, rpm: u32) -> Result<Standing, Standing> {
        lock(self.windows.of(dialect)).take(rpm, Instant::now())
    }

    /// How long an answer takes, for a `draw` of the jitter that is uniform in 0..1.
    pub(super) fn latency(&self, faults: &Faults, draw: impl FnOnce() -> f64) -> Duration {
        let latency = faults
            .latency_ms
            .map_or(self.settings.latency, Duration::from_millis);
        let jitter = faults
            .jitter_ms
            .map_or(self.settings.jitter, Duration::from_millis);
        if jitter.is_zero() {
            return latency;
        }
        latency.saturating_add(jitter.mul_f64(draw()))
    }

    /// Whether this call is one of the first `count` calls with this prompt.
    pub(super) fn fails(&self, prompt: &str, count: u32) -> bool {
        let mut failed = lock(&self.failed);
        let so_far = failed.entry(prompt.into()).or_default();
        let fails = *so_far < count;
        *so_far += u32::from(fails);
        fails
    }

    /// Forgets bills, counts, faults and failures.
    pub(super) fn reset(&self) {
        self.invoice.clear();
        self.counters.clear();
        self.set_faults(None, Faults::default());
        lock(&self.failed).clear();
    }
}

/// Now, in seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// No code here panics while it holds a lock; if some did, the counts would still be of use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
