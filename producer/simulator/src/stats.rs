//! Counts of calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use super::{
    accounts::{Account, Accounts},
    counts::{Load, ProviderStats},
};

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

impl Stats {
    /// The sum of all providers; `load` is the number of calls in flight.
    pub(super) fn collect(accounts: &Accounts, load: &Load) -> Self {
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
        self.account.counts.count_answer(status);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.account.counts.load.fall();
        self.load.fall();
    }
}
