//! The meters of a call and the amounts that it reserves.
//!
//! A meter is the counter of one limit; its name is part of a Redis key. This module translates a call
//! into amounts of meters; the broker reserves all of them or none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{chain::ChainId, money::Usd, platform::PlatformName};
use serde_json::{Value, json};

use super::{AccountLimits, AtLimit, Budget, BudgetScope, Pacing, Period};
use crate::catalog::{Billing, Catalog, ProviderEntry};

/// Prefix of the meters of chains' own `max_cost_usd`; no budget can have this name.
pub(super) const CHAIN_CAP: &str = "budget:~chain:";

/// The amount that a call reserves of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterAmount {
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

impl MeterAmount {
    /// The name of the meter.
    pub fn meter(&self) -> &str {
        match self {
            Self::Rate { meter, .. } | Self::Window { meter, .. } | Self::Slots { meter, .. } => {
                meter
            }
        }
    }

    /// Whether it is an amount of money that a call must find, or wait.
    pub fn is_hard_money(&self) -> bool {
        matches!(
            self,
            Self::Window {
                unit: Unit::NanoUsd,
                hard: true,
                ..
            }
        )
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
pub struct CallBound {
    /// Tokens of prompt and answer.
    pub tokens: u64,
    pub upper_bound: Usd,
}

/// What a call uses, by kind of limit.
#[derive(Clone, Copy)]
struct CallUse {
    requests: u64,
    tokens: u64,
    /// Absent for calls that cost nothing, which an exhausted budget does not stop.
    nanos: Option<u64>,
}

impl CallUse {
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
    pub fn amounts(
        &self,
        provider: &ProviderEntry,
        tenant: Option<&str>,
        chain: Option<&str>,
        costs: &CallBound,
        now: DateTime<Utc>,
    ) -> Vec<MeterAmount> {
        let costs_money = provider.billing != Billing::Free && costs.upper_bound > Usd::ZERO;
        let call = CallUse {
            requests: 1,
            tokens: costs.tokens,
            nanos: costs_money.then(|| costs.upper_bound.nanos_up()),
        };
        let mut amounts = Vec::new();
        if let Some(nanos) = call.nanos {
            for budget in &self.budgets {
                let meter = budget.meter_of(&provider.name, tenant, chain);
                amounts.extend(meter.map(|meter| budget.take(meter, nanos, now)));
            }
        }
        account(&mut amounts, &provider.account, &provider.limits, call, now);
        amounts
    }

    /// The amount that a call reserves of its chain's `max_cost_usd`, which is the first limit to pass.
    pub fn chain_cap(chain: &ChainId, most: Usd, upper_bound: Usd) -> MeterAmount {
        MeterAmount::Window {
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
    pub fn all(&self, now: DateTime<Utc>) -> Vec<MeterAmount> {
        let budgets = self.budgets.iter();
        let mut amounts: Vec<MeterAmount> = budgets
            .filter(|budget| !budget.is_of_each())
            .map(|budget| budget.take(budget.meter(), 0, now))
            .collect();
        for (name, limits) in &self.accounts {
            account(&mut amounts, name, limits, CallUse::NONE, now);
        }
        amounts
    }

    /// Whether there are budgets per tenant or per chain.
    pub fn has_budgets_of_each(&self) -> bool {
        self.budgets.iter().any(Budget::is_of_each)
    }

    /// The meter `meter` with an amount of zero, if it belongs to a budget per tenant or chain.
    pub fn of_each(&self, meter: &str, now: DateTime<Utc>) -> Option<MeterAmount> {
        let (name, _whose) = meter.strip_prefix("budget:")?.split_once(':')?;
        let mut budgets = self.budgets.iter().filter(|budget| budget.is_of_each());
        let budget = budgets.find(|budget| budget.name == name)?;
        Some(budget.take(meter.to_owned(), 0, now))
    }
}

impl Budget {
    /// Whether each tenant or chain has its own sum.
    fn is_of_each(&self) -> bool {
        matches!(
            self.scope,
            BudgetScope::Tenant(None) | BudgetScope::Chain(None)
        )
    }

    /// The prefix of its meters' names, if unused meters may be deleted: those of single chains without
    /// a period, of which there can be millions. A tenant's sum without a period must stay.
    pub fn forgettable(&self) -> Option<String> {
        let ends = matches!(self.scope, BudgetScope::Chain(None));
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
            BudgetScope::Overall => Some(self.meter()),
            BudgetScope::Provider(of) => (of == provider).then(|| self.meter()),
            BudgetScope::Tenant(of) => counted(of.as_deref(), tenant),
            BudgetScope::Chain(of) => counted(of.as_deref(), chain),
        }
    }

    fn take(&self, meter: String, nanos: u64, now: DateTime<Utc>) -> MeterAmount {
        let window = self.calendar.window(self.period, now);
        MeterAmount::Window {
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
    amounts: &mut Vec<MeterAmount>,
    name: &PlatformName,
    limits: &AccountLimits,
    call: CallUse,
    now: DateTime<Utc>,
) {
    let window = |kind: &str, period: Period, limit: u64, amount: u64, unit: Unit| {
        let window = limits.calendar.window(period, now);
        MeterAmount::Window {
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
    let rate = |kind: &str, per_minute: u64, pacing: Pacing, amount: u64| MeterAmount::Rate {
        meter: format!("{kind}:{name}"),
        per_minute,
        pacing,
        amount,
    };
    if let (Some(limit), Some(nanos)) = (limits.usd_per_month, call.nanos) {
        let limit = limit.nanos_up();
        amounts.push(window("usd", Period::Month, limit, nanos, Unit::NanoUsd));
    }
    if let Some(limit) = limits.requests_per_day {
        let requests = call.requests;
        amounts.push(window("rpd", Period::Day, limit, requests, Unit::Requests));
    }
    if let Some(limit) = limits.tokens_per_minute {
        amounts.push(rate("tpm", limit, Pacing::tokens(limit), call.tokens));
    }
    if let Some(limit) = limits.requests_per_minute.map(u64::from) {
        amounts.push(rate("rpm", limit, Pacing::requests(limit), call.requests));
    }
    if let Some(slots) = limits.slots() {
        amounts.push(MeterAmount::Slots {
            meter: format!("slots:{name}"),
            limit: slots.limit,
            half_of: limits
                .requests_per_day
                .map(|limit| (format!("rpd:{name}"), limit)),
        });
    }
}
