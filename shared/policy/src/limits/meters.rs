//! What a call takes of which limits.
//!
//! A meter is what the broker counts by: its name stands in a key of Redis. Here a call is translated into
//! what it takes of each; the broker takes from all of them or from none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{chain::ChainId, money::Usd, platform::PlatformName};
use serde_json::{Value, json};

use super::{AccountLimits, AtLimit, Budget, Pacing, Period, Scope};
use crate::catalog::{Billing, Catalog, ProviderEntry};

/// What the meters of chains' own `max_cost_usd` begin with; a budget cannot be called so.
pub(super) const CHAIN_CAP: &str = "budget:~chain:";

/// One limit that a call takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// An evenly paced rate: see [`Pacing`].
    Rate {
        /// The meter's name.
        meter: String,
        /// The most units in any minute.
        per_minute: u64,
        /// How they are spread over it.
        pacing: Pacing,
        /// Units that this call takes.
        amount: u64,
    },
    /// What is counted in a window: used, held and `amount` together may not be more than `limit`.
    Window {
        /// The meter's name.
        meter: String,
        /// The window's number: its start in ms since 1970, 0 of one that never ends.
        window: i64,
        /// The window's end in ms since 1970, unless it never ends.
        end: Option<i64>,
        /// The most of its units.
        limit: u64,
        /// Units that this call takes at most.
        amount: u64,
        /// What is counted.
        unit: Unit,
        /// Whether a call that does not fit may not go; else it is only counted.
        hard: bool,
        /// What becomes of a call that does not fit.
        at_limit: AtLimit,
    },
    /// Places, each held by a call from its start to its end.
    Slots {
        /// The meter's name.
        meter: String,
        /// How many there are.
        limit: u32,
        /// The window of whose rest at most half is in flight at once: its meter and limit (seed 000,
        /// "Adaptive scaling").
        half_of: Option<(String, u64)>,
    },
}

impl Take {
    /// The meter that it takes from.
    pub fn meter(&self) -> &str {
        match self {
            Self::Rate { meter, .. } | Self::Window { meter, .. } | Self::Slots { meter, .. } => {
                meter
            }
        }
    }

    /// The form that the scripts read (`shared/broker/lua/include/reservations.lua`).
    pub fn to_json(&self) -> Value {
        match self {
            Self::Rate {
                meter,
                pacing,
                amount,
                ..
            } => json!([
                "r",
                meter,
                pacing.cost_micros(*amount),
                pacing.depth_micros,
                amount
            ]),
            Self::Window {
                meter,
                window,
                end,
                limit,
                amount,
                hard,
                at_limit,
                ..
            } => json!([
                "w",
                meter,
                window,
                end.unwrap_or(0),
                limit,
                amount,
                u8::from(*hard),
                at_limit.as_str()
            ]),
            Self::Slots {
                meter,
                limit,
                half_of,
            } => {
                let (sum, most) = half_of
                    .as_ref()
                    .map_or(("", 0), |(meter, limit)| (meter.as_str(), *limit));
                json!(["s", meter, limit, sum, most])
            }
        }
    }
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Calls.
    Requests,
    /// Thousand-millionths of a dollar.
    NanoUsd,
}

/// What a call may take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Tokens of prompt and answer.
    pub tokens: u64,
    /// Dollars.
    pub upper_bound: Usd,
}

/// What a call takes of each kind of limit.
#[derive(Clone, Copy)]
struct Amounts {
    requests: u64,
    tokens: u64,
    /// Absent of calls that cost nothing: a spent budget does not keep them.
    nanos: Option<u64>,
}

impl Amounts {
    /// For reports.
    const NONE: Self = Self {
        requests: 0,
        tokens: 0,
        nanos: Some(0),
    };
}

/// All meters that the configuration makes.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Of providers that are off as well: what they used is still worth a report.
    accounts: BTreeMap<PlatformName, AccountLimits>,
    budgets: Vec<Budget>,
}

impl Meters {
    /// The meters of a configuration.
    pub fn new(catalog: &Catalog, budgets: &[Budget]) -> Self {
        let accounts = catalog.providers.iter();
        Self {
            accounts: accounts
                .map(|provider| (provider.account.clone(), provider.limits.clone()))
                .collect(),
            budgets: budgets.to_vec(),
        }
    }

    /// What a call to `provider` takes, for a job of this tenant and chain; empty when nothing limits
    /// it. In the order of how long one waits for room: budgets, windows, rates, places.
    pub fn takes(
        &self,
        provider: &ProviderEntry,
        tenant: Option<&str>,
        chain: Option<&str>,
        costs: &Costs,
        now: DateTime<Utc>,
    ) -> Vec<Take> {
        let costs_money = provider.billing != Billing::Free && costs.upper_bound > Usd::ZERO;
        let amounts = Amounts {
            requests: 1,
            tokens: costs.tokens,
            nanos: costs_money.then(|| costs.upper_bound.nanos_up()),
        };
        let mut takes = Vec::new();
        if let Some(nanos) = amounts.nanos {
            for budget in &self.budgets {
                let meter = budget.meter_of(&provider.name, tenant, chain);
                takes.extend(meter.map(|meter| budget.take(meter, nanos, now)));
            }
        }
        account(
            &mut takes,
            &provider.account,
            &provider.limits,
            amounts,
            now,
        );
        takes
    }

    /// What a call takes of what its chain may spend: it is the first limit that it has to pass.
    pub fn chain_cap(chain: &ChainId, most: Usd, upper_bound: Usd) -> Take {
        Take::Window {
            meter: format!("{CHAIN_CAP}{chain}"),
            window: 0,
            end: None,
            limit: most.nanos_up(),
            amount: upper_bound.nanos_up(),
            unit: Unit::NanoUsd,
            hard: true,
            at_limit: AtLimit::DeadLetter,
        }
    }

    /// Whether a budget, spent, sends jobs to platforms that cost nothing.
    pub fn send_to_free(&self) -> bool {
        let mut budgets = self.budgets.iter();
        budgets.any(|budget| budget.hard && budget.at_limit == AtLimit::Free)
    }

    /// Every meter that the configuration makes, with nothing taken, for reports. Budgets of each tenant
    /// or chain by itself are not among them: only their spending makes those.
    pub fn all(&self, now: DateTime<Utc>) -> Vec<Take> {
        let budgets = self.budgets.iter();
        let mut takes: Vec<Take> = budgets
            .filter(|budget| !budget.is_of_each())
            .map(|budget| budget.take(budget.meter(), 0, now))
            .collect();
        for (name, limits) in &self.accounts {
            account(&mut takes, name, limits, Amounts::NONE, now);
        }
        takes
    }

    /// Whether there are budgets of each tenant or chain by itself.
    pub fn has_budgets_of_each(&self) -> bool {
        self.budgets.iter().any(Budget::is_of_each)
    }

    /// The meter of this name, with nothing taken, if it is that of a budget of each tenant or chain by
    /// itself.
    pub fn of_each(&self, meter: &str, now: DateTime<Utc>) -> Option<Take> {
        let (name, _whose) = meter.strip_prefix("budget:")?.split_once(':')?;
        let mut budgets = self.budgets.iter().filter(|budget| budget.is_of_each());
        let budget = budgets.find(|budget| budget.name == name)?;
        Some(budget.take(meter.to_owned(), 0, now))
    }
}

impl Budget {
    /// Whether each tenant or chain has one of its own.
    fn is_of_each(&self) -> bool {
        matches!(self.scope, Scope::Tenant(None) | Scope::Chain(None))
    }

    /// What the names of its meters begin with, if they may be forgotten once they go unused: those of
    /// single chains, which end, and come by the million. A tenant's sum for ever counts for ever.
    pub fn forgettable(&self) -> Option<String> {
        let ends = matches!(self.scope, Scope::Chain(None));
        (ends && self.period == Period::Ever).then(|| format!("{}:", self.meter()))
    }

    fn meter(&self) -> String {
        format!("budget:{}", self.name)
    }

    /// The meter that counts such a job's call; absent if this budget does not.
    fn meter_of(
        &self,
        provider: &PlatformName,
        tenant: Option<&str>,
        chain: Option<&str>,
    ) -> Option<String> {
        let counted = |of: Option<&str>, job: Option<&str>| match (of, job) {
            (_, None) => None,
            // The name of a budget has no colon: what follows the second one is the tenant or the chain.
            (None, Some(job)) => Some(format!("{}:{job}", self.meter())),
            (Some(of), Some(job)) => (of == job).then(|| self.meter()),
        };
        match &self.scope {
            Scope::Overall => Some(self.meter()),
            Scope::Provider(of) => (of == provider).then(|| self.meter()),
            Scope::Tenant(of) => counted(of.as_deref(), tenant),
            Scope::Chain(of) => counted(of.as_deref(), chain),
        }
    }

    fn take(&self, meter: String, nanos: u64, now: DateTime<Utc>) -> Take {
        let window = self.calendar.window(self.period, now);
        Take::Window {
            meter,
            window: window.id(),
            end: window.end_ms(),
            limit: self.limit.nanos_up(),
            amount: nanos,
            unit: Unit::NanoUsd,
            hard: self.hard,
            at_limit: self.at_limit,
        }
    }
}

/// Adds what a call takes of an account.
fn account(
    takes: &mut Vec<Take>,
    name: &PlatformName,
    limits: &AccountLimits,
    amounts: Amounts,
    now: DateTime<Utc>,
) {
    let window = |kind: &str, period: Period, limit: u64, amount: u64, unit: Unit| {
        let window = limits.calendar.window(period, now);
        Take::Window {
            meter: format!("{kind}:{name}"),
            window: window.id(),
            end: window.end_ms(),
            limit,
            amount,
            unit,
            hard: true,
            at_limit: AtLimit::Wait,
        }
    };
    let rate = |kind: &str, per_minute: u64, pacing: Pacing, amount: u64| Take::Rate {
        meter: format!("{kind}:{name}"),
        per_minute,
        pacing,
        amount,
    };
    if let (Some(limit), Some(nanos)) = (limits.usd_per_month, amounts.nanos) {
        let limit = limit.nanos_up();
        takes.push(window("usd", Period::Month, limit, nanos, Unit::NanoUsd));
    }
    if let Some(limit) = limits.requests_per_day {
        let requests = amounts.requests;
        takes.push(window("rpd", Period::Day, limit, requests, Unit::Requests));
    }
    if let Some(limit) = limits.tokens_per_minute {
        takes.push(rate("tpm", limit, Pacing::tokens(limit), amounts.tokens));
    }
    if let Some(limit) = limits.requests_per_minute.map(u64::from) {
        takes.push(rate(
            "rpm",
            limit,
            Pacing::requests(limit),
            amounts.requests,
        ));
    }
    if let Some(limit) = limits.max_concurrent {
        takes.push(Take::Slots {
            meter: format!("slots:{name}"),
            limit,
            half_of: limits
                .requests_per_day
                .map(|limit| (format!("rpd:{name}"), limit)),
        });
    }
}
