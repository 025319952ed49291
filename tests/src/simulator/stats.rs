//! What the simulator has seen.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use super::dialect::{Dialect, PerDialect};

/// The first status that is counted, and how many are.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// Counts of calls since the start or the last reset. Calls to the simulator's own endpoints are
/// left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Calls received.
    pub requests: u64,
    /// Calls charged for.
    pub billed: u64,
    /// Calls refused because of `rpm`.
    pub limited: u64,
    /// Calls whose connection the simulator closed on purpose.
    pub dropped: u64,
    /// Calls whose client left before an answer.
    pub abandoned: u64,
    /// Calls that wait for an answer now.
    pub in_flight: u64,
    /// The most calls that ever waited at once.
    pub peak_in_flight: u64,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// The same for each dialect.
    pub by_dialect: BTreeMap<Dialect, DialectStats>,
}

/// Counts of the calls of one dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialectStats {
    /// Calls received.
    pub requests: u64,
    /// Calls charged for.
    pub billed: u64,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
}

#[derive(Debug)]
struct Counts {
    requests: AtomicU64,
    billed: AtomicU64,
    statuses: Box<[AtomicU64]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            billed: AtomicU64::new(0),
            statuses: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    dialects: PerDialect<Counts>,
    limited: AtomicU64,
    dropped: AtomicU64,
    abandoned: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
}

/// A call on its way; it is no longer in flight when this is dropped.
#[derive(Debug)]
pub(super) struct Flight<'s> {
    counters: &'s Counters,
    dialect: Dialect,
}

impl Counters {
    pub(super) fn begin(&self, dialect: Dialect) -> Flight<'_> {
        self.dialects.of(dialect).requests.fetch_add(1, Relaxed);
        let now = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.peak_in_flight.fetch_max(now, Relaxed);
        Flight {
            counters: self,
            dialect,
        }
    }

    pub(super) fn snapshot(&self) -> Stats {
        let mut stats = Stats {
            limited: self.limited.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            peak_in_flight: self.peak_in_flight.load(Relaxed),
            ..Stats::default()
        };
        for dialect in Dialect::ALL {
            let counts = self.dialects.of(dialect);
            let mut of_dialect = DialectStats {
                requests: counts.requests.load(Relaxed),
                billed: counts.billed.load(Relaxed),
                by_status: BTreeMap::new(),
            };
            for (status, count) in (FIRST_STATUS..).zip(&counts.statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    of_dialect.by_status.insert(status, count);
                    *stats.by_status.entry(status).or_default() += count;
                }
            }
            stats.requests += of_dialect.requests;
            stats.billed += of_dialect.billed;
            stats.by_dialect.insert(dialect, of_dialect);
        }
        stats
    }

    /// Forgets everything but the calls that are still in flight.
    pub(super) fn clear(&self) {
        for dialect in Dialect::ALL {
            let counts = self.dialects.of(dialect);
            counts.requests.store(0, Relaxed);
            counts.billed.store(0, Relaxed);
            for count in &counts.statuses {
                count.store(0, Relaxed);
            }
        }
        for counter in [&self.limited, &self.dropped, &self.abandoned] {
            counter.store(0, Relaxed);
        }
        self.peak_in_flight
            .store(self.in_flight.load(Relaxed), Relaxed);
    }
}

impl Flight<'_> {
    pub(super) fn billed(&self) {
        self.counters
            .dialects
            .of(self.dialect)
            .billed
            .fetch_add(1, Relaxed);
    }

    pub(super) fn limited(&self) {
        self.counters.limited.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.counters.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn abandoned(&self) {
        self.counters.abandoned.fetch_add(1, Relaxed);
    }

    /// Counts an answer that is about to be written.
    pub(super) fn answered(&self, status: u16) {
        let at = usize::from(status.saturating_sub(FIRST_STATUS));
        if let Some(count) = self.counters.dialects.of(self.dialect).statuses.get(at) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
    }
}
