//! The counters of one provider.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use super::limits::Log;

/// The first status that is counted, and how many are.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// Counts of the calls of one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStats {
    /// Calls received.
    pub requests: u64,
    /// Calls billed.
    pub billed: u64,
    /// The sum of the bills in US dollars: an exact decimal with no trailing zeros.
    pub billed_usd: String,
    /// Calls rejected by a limit.
    pub limited: u64,
    /// Accepted calls that failed without a bill.
    pub failed: u64,
    /// Calls whose connection the simulator closed on purpose.
    pub dropped: u64,
    /// Calls whose client left before an answer.
    pub abandoned: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// The most calls in flight at once.
    pub peak_in_flight: u64,
    /// The most accepted calls in any 60 seconds.
    pub most_in_a_minute: u64,
    /// When the first call arrived, in microseconds since 1970.
    pub first_us: Option<u64>,
    /// When the last call arrived, in microseconds since 1970.
    pub last_us: Option<u64>,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
}

impl ProviderStats {
    /// Adds the figures of the log of calls.
    pub(super) fn seen(&mut self, log: &Log) {
        (self.limited, self.failed) = log.limited_and_failed();
        self.most_in_a_minute = log.most_in_a_minute();
        let (first, last) = log.span().unzip();
        (self.first_us, self.last_us) = (first, last);
    }
}

/// The number of calls in flight.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) now: AtomicU64,
    pub(super) peak: AtomicU64,
}

impl Load {
    pub(super) fn rise(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
    }

    pub(super) fn fall(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    /// Resets the peak.
    pub(super) fn clear(&self) {
        self.peak.store(self.now.load(Relaxed), Relaxed);
    }
}

/// The counters of one provider.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) billed: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) load: Load,
    statuses: Box<[AtomicU64]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            billed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            load: Load::default(),
            statuses: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Counts {
    pub(super) fn snapshot(&self) -> ProviderStats {
        let statuses = (FIRST_STATUS..).zip(&self.statuses);
        ProviderStats {
            requests: self.requests.load(Relaxed),
            billed: self.billed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            in_flight: self.load.now.load(Relaxed),
            peak_in_flight: self.load.peak.load(Relaxed),
            by_status: statuses
                .map(|(status, count)| (status, count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            ..ProviderStats::default()
        }
    }

    /// Counts an answer.
    pub(super) fn count_answer(&self, status: u16) {
        let at = usize::from(status.saturating_sub(FIRST_STATUS));
        if let Some(count) = self.statuses.get(at) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Resets everything except calls in flight.
    pub(super) fn clear(&self) {
        let counters = [&self.requests, &self.billed, &self.dropped, &self.abandoned];
        for counter in counters.into_iter().chain(&self.statuses) {
            counter.store(0, Relaxed);
        }
        self.load.clear();
    }
}
