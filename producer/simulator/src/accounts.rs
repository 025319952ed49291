//! The providers that the simulator plays: each with faults, limits and counts of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    counts::{Counts, ProviderStats},
    dialect::Dialect,
    faults::{Active, Faults},
    limits::{Arrival, Full, Limits, Log, Standing},
    prices,
};

/// One provider.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: Arc<str>,
    pub(super) counts: Counts,
    cost_pico: AtomicU64,
    faults: RwLock<Active>,
    gate: Mutex<Gate>,
}

#[derive(Debug)]
struct Gate {
    limits: Limits,
    log: Log,
}

impl Account {
    fn new(name: &str, rules: &Rules) -> Self {
        Self {
            name: name.into(),
            counts: Counts::default(),
            cost_pico: AtomicU64::new(0),
            faults: RwLock::new(rules.faults),
            gate: Mutex::new(Gate {
                limits: rules.limits,
                log: Log::default(),
            }),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults that are set now.
    pub(super) fn faults(&self) -> Active {
        let active = *self.faults.read().unwrap_or_else(PoisonError::into_inner);
        active.at(Instant::now)
    }

    fn set_faults(&self, faults: Active) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Checks the limits for one call with this many tokens, at the time that `now` returns.
    pub(super) fn admit(
        &self,
        tokens: u64,
        now: impl FnOnce() -> u64,
    ) -> Result<(usize, Standing), Full> {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let mut gate = self.gate();
        let limits = gate.limits;
        // Inside the lock, so that the log is in order of time.
        gate.log.take(&limits, now(), tokens)
    }

    /// Marks an accepted call as failed.
    pub(super) fn failed(&self, number: usize) {
        self.gate().log.failed(number);
    }

    /// Adds to the sum of this provider's bills, which fits up to 18 million dollars.
    pub(super) fn charged(&self, pico: u64) {
        self.counts.billed.fetch_add(1, Relaxed);
        self.cost_pico.fetch_add(pico, Relaxed);
    }

    /// At most `limit` calls starting at index `since`, and their total number.
    pub(super) fn arrivals(&self, since: usize, limit: usize) -> (Vec<Arrival>, usize) {
        let gate = self.gate();
        (gate.log.page(since, limit), gate.log.len())
    }

    fn stats(&self) -> ProviderStats {
        let mut stats = self.counts.snapshot();
        stats.billed_usd = prices::dollars(self.cost_pico.load(Relaxed).into());
        stats.seen(&self.gate().log);
        stats
    }

    fn clear(&self, rules: &Rules) {
        self.counts.clear();
        self.cost_pico.store(0, Relaxed);
        self.set_faults(rules.faults);
        *self.gate() = Gate {
            limits: rules.limits,
            log: Log::default(),
        };
    }
}

/// The settings of a provider at its first call.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    faults: Active,
    limits: Limits,
}

#[derive(Debug)]
struct Book {
    accounts: HashMap<Arc<str>, Arc<Account>>,
    rules: Rules,
}

impl Book {
    fn open(&mut self, name: &str) -> Arc<Account> {
        if let Some(known) = self.accounts.get(name) {
            return Arc::clone(known);
        }
        let account = Arc::new(Account::new(name, &self.rules));
        self.accounts
            .insert(Arc::clone(&account.name), Arc::clone(&account));
        account
    }

    /// The provider of this name, or all.
    fn named(&mut self, provider: Option<&str>) -> Vec<Arc<Account>> {
        match provider {
            Some(name) => vec![self.open(name)],
            None => self.accounts.values().cloned().collect(),
        }
    }
}

/// All providers that have been called or named.
#[derive(Debug)]
pub(super) struct Accounts {
    /// The limits that a provider starts with.
    limits: Limits,
    book: RwLock<Book>,
}

impl Accounts {
    pub(super) fn new(limits: Limits) -> Self {
        let mut book = Book {
            accounts: HashMap::new(),
            rules: Rules {
                limits,
                ..Rules::default()
            },
        };
        for dialect in Dialect::ALL {
            book.open(dialect.as_str());
        }
        Self {
            limits,
            book: RwLock::new(book),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider of this name; there is one for every name.
    pub(super) fn get(&self, name: &str) -> Arc<Account> {
        if let Some(known) = self.read().accounts.get(name) {
            return Arc::clone(known);
        }
        self.write().open(name)
    }

    /// The provider of this name, if it exists already.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.read().accounts.get(name).cloned()
    }

    /// Replaces the faults of one provider, or of all, including those that do not exist yet.
    pub(super) fn set_faults(&self, provider: Option<&str>, faults: Faults) {
        let active = Active::from(faults, Instant::now());
        let mut book = self.write();
        if provider.is_none() {
            book.rules.faults = active;
        }
        for account in book.named(provider) {
            account.set_faults(active);
        }
    }

    /// Replaces the limits of one provider, or of all, including those that do not exist yet.
    pub(super) fn set_limits(&self, provider: Option<&str>, limits: Limits) {
        let mut book = self.write();
        if provider.is_none() {
            book.rules.limits = limits;
        }
        for account in book.named(provider) {
            account.gate().limits = limits;
        }
    }

    /// The faults of every provider, by name.
    pub(super) fn faults(&self) -> BTreeMap<String, Faults> {
        self.each(|account| account.faults().faults)
    }

    /// The limits of every provider, by name.
    pub(super) fn limits(&self) -> BTreeMap<String, Limits> {
        self.each(|account| account.gate().limits)
    }

    /// The counts of every provider, by name.
    pub(super) fn stats(&self) -> BTreeMap<String, ProviderStats> {
        self.each(Account::stats)
    }

    fn each<T>(&self, look: impl Fn(&Account) -> T) -> BTreeMap<String, T> {
        let book = self.read();
        let accounts = book.accounts.iter();
        accounts
            .map(|(name, account)| (name.to_string(), look(account)))
            .collect()
    }

    /// Resets everything to the state at the start, except calls in flight.
    pub(super) fn clear(&self) {
        let mut book = self.write();
        book.rules = Rules {
            limits: self.limits,
            ..Rules::default()
        };
        for account in book.accounts.values() {
            account.clear(&book.rules);
        }
    }
}
