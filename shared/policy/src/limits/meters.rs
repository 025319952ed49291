//! The meters of a call and the amounts that it reserves.
//!
//! A meter is the counter of one limit; its name is part of a Redis key. This module translates a call
//! into amounts of meters; the broker reserves all of them or none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{chain::ChainId, money::Usd, platform::PlatformName};
use serde_json::{Value, json};

use super::{AccountLimits, AtLimit, Budget, Pacing, Period, Scope};
use crate::catalog::{Billing, Catalog, ProviderEntry};

/// Prefix of the meters of chains' own `max_cost_usd`; no budget can have this name.
pub(super) const CHAIN_CAP: &str = "budget:~chain:";

/// The amount that a call reserves of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// An evenly paced rate: see [`Pacing`].
    Rate {
        meter: String,
        /// The most units in any minute.
        per_minute: u64,
        pacing: Pacing,
        /// The units that this call reserves.
        amount: u64,
    },
    /// A counter within a window: used, reserved and `amount` together may not exceed `limit`.
    Window {
        meter: String,
        /// The window's id: its start in ms since 1970, 0 if it never ends.
        window: i64,
        /// The window's end in ms since 1970, unless it never ends.
        end: Option<i64>,
        limit: u64,
        /// The most units that this call uses.
        amount: u64,
        unit: Unit,
        /// Whether a call that does not fit must wait; otherwise it is only counted.
        hard: bool,
        /// What happens to a job whose call does not fit.
        at_limit: AtLimit,
    },
    /// Slots, each held by a call from its start to its end.
    Slots {
        meter: String,
        limit: u32,
        /// A window (meter and limit) that caps the slots: at most half of what is left of it may be in
        /// flight, and at least one call, so that a burst does not exhaust the day's quota.
        half_of: Option<(String, u64)>,
    },
}

impl Take {
    /// The name of the meter.
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

/// The unit of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Requests,
    /// Billionths of a dollar.
    NanoUsd,
}

/// The most that a call can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Tokens of prompt and answer.
    pub tokens: u64,
    pub upper_bound: Usd,
}

/// The amounts of a call by kind of limit.
#[derive(Clone, Copy)]
struct Amounts {
    requests: u64,
    tokens: u64,
    /// Absent for calls that cost nothing, which an exhausted budget does not stop.
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

/// All meters of a configuration.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Includes disabled providers: reports still show what they used.
    accounts: BTreeMap<PlatformName, AccountLimits>,
    budgets: Vec<Budget>,
}

impl Meters {
    pub fn new(catalog: &Catalog, budgets: &[Budget]) -> Self {
        let accounts = catalog.providers.iter();
        Self {
            accounts: accounts
                .map(|provider| (provider.account.clone(), provider.limits.clone()))
                .collect(),
            budgets: budgets.to_vec(),
        }
    }

    /// The amounts that a call to `provider` reserves for a job of this tenant and chain, ordered by
    /// the usual time to wait for room: budgets, windows, rates, slots. Empty if the call has no
    /// limits.
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

    /// The amount that a call reserves of its chain's `max_cost_usd`, which is the first limit to pass.
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

    /// Whether an exhausted budget sends jobs to free platforms.
    pub fn send_to_free(&self) -> bool {
        let mut budgets = self.budgets.iter();
        budgets.any(|budget| budget.hard && budget.at_limit == AtLimit::Free)
    }

    /// Every meter of the configuration with an amount of zero, for reports. Excludes budgets per
    /// tenant or chain, whose meters exist only once something was spent.
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

    /// Whether there are budgets per tenant or per chain.
    pub fn has_budgets_of_each(&self) -> bool {
        self.budgets.iter().any(Budget::is_of_each)
    }

    /// The meter `meter` with an amount of zero, if it belongs to a budget per tenant or chain.
    pub fn of_each(&self, meter: &str, now: DateTime<Utc>) -> Option<Take> {
        let (name, _whose) = meter.strip_prefix("budget:")?.split_once(':')?;
        let mut budgets = self.budgets.iter().filter(|budget| budget.is_of_each());
        let budget = budgets.find(|budget| budget.name == name)?;
        Some(budget.take(meter.to_owned(), 0, now))
    }
}

impl Budget {
    /// Whether each tenant or chain has its own sum.
    fn is_of_each(&self) -> bool {
        matches!(self.scope, Scope::Tenant(None) | Scope::Chain(None))
    }

    /// The prefix of its meters' names, if unused meters may be deleted: those of single chains without
    /// a period, of which there can be millions. A tenant's sum without a period must stay.
    pub fn forgettable(&self) -> Option<String> {
        let ends = matches!(self.scope, Scope::Chain(None));
        (ends && self.period == Period::Ever).then(|| format!("{}:", self.meter()))
    }

    fn meter(&self) -> String {
        format!("budget:{}", self.name)
    }

    /// The meter of the budget for a job's call; `None` if the budget does not count it.
    fn meter_of(
        &self,
        provider: &PlatformName,
        tenant: Option<&str>,
        chain: Option<&str>,
    ) -> Option<String> {
        let counted = |of: Option<&str>, job: Option<&str>| match (of, job) {
            (_, None) => None,
            // Budget names contain no colon, so what follows the second one is the tenant or chain.
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

/// Adds the amounts of an account.
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
