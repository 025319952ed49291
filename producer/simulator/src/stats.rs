//! Counts of calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

use super::{
    accounts::{Account, Accounts},
    limits::Log,
};

/// The first status that is counted, and how many are.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// Counts of calls since the start or the last reset. Calls to the simulator's own endpoints are
/// left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Calls received.
    pub requests: u64,
    /// Calls billed.
    pub billed: u64,
    /// Calls rejected by a limit.
    pub limited: u64,
    /// Calls whose connection the simulator closed on purpose.
    pub dropped: u64,
    /// Calls whose client left before an answer.
    pub abandoned: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// The most calls in flight at once.
    pub peak_in_flight: u64,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// The same for each provider, by name.
    pub by_provider: BTreeMap<String, ProviderStats>,
}

impl Stats {
    /// Calls answered with success.
    pub fn answered(&self) -> u64 {
        self.by_status.get(&200).copied().unwrap_or_default()
    }
}

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

impl Stats {
    /// The sum of all providers; `load` is the number of calls in flight.
    pub(super) fn of(accounts: &Accounts, load: &Load) -> Self {
        let mut stats = Self {
            in_flight: load.now.load(Relaxed),
            peak_in_flight: load.peak.load(Relaxed),
            by_provider: accounts.stats(),
            ..Self::default()
        };
        for one in stats.by_provider.values() {
            stats.requests += one.requests;
            stats.billed += one.billed;
            stats.limited += one.limited;
            stats.dropped += one.dropped;
            stats.abandoned += one.abandoned;
            for (status, count) in &one.by_status {
                *stats.by_status.entry(*status).or_default() += count;
            }
        }
        stats
    }
}

/// The number of calls in flight.
#[derive(Debug, Default)]
pub(super) struct Load {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Load {
    fn rise(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
    }

    fn fall(&self) {
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
    requests: AtomicU64,
    pub(super) billed: AtomicU64,
    dropped: AtomicU64,
    abandoned: AtomicU64,
    load: Load,
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

    /// Resets everything except calls in flight.
    pub(super) fn clear(&self) {
        let counters = [&self.requests, &self.billed, &self.dropped, &self.abandoned];
        for counter in counters.into_iter().chain(&self.statuses) {
            counter.store(0, Relaxed);
        }
        self.load.clear();
    }
}

/// A call in flight, until this is dropped.
#[derive(Debug)]
pub(super) struct Flight<'s> {
    /// All providers' together.
    load: &'s Load,
    pub(super) account: Arc<Account>,
}

impl<'s> Flight<'s> {
    pub(super) fn begin(load: &'s Load, account: Arc<Account>) -> Self {
        account.counts.requests.fetch_add(1, Relaxed);
        account.counts.load.rise();
        load.rise();
        Self { load, account }
    }

    pub(super) fn dropped(&self) {
        self.account.counts.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn abandoned(&self) {
        self.account.counts.abandoned.fetch_add(1, Relaxed);
    }

    /// Counts an answer that is about to be written.
    pub(super) fn answered(&self, status: u16) {
        let at = usize::from(status.saturating_sub(FIRST_STATUS));
        if let Some(count) = self.account.counts.statuses.get(at) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.account.counts.load.fall();
        self.load.fall();
    }
}
