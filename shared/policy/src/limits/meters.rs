//! The meters of a call and the amounts that it reserves.
//!
//! A meter is the counter of one limit; its name is part of a Redis key. This module translates a call
//! into amounts of meters; the broker reserves all of them or none.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::ChainId, id::QueueName, money::Usd, platform::PlatformName, string_enum,
};
use serde_json::{Value, json};

use super::{
    AccountLimits, AtLimit, Budget, BudgetScope, CountedCalls, DefinitionId, LimitedQueues, Pacing,
    Period, QueueLimits, WindowDefinition, WindowLimit,
    name::{QUEUE_RATE, QUEUE_SLOTS},
};
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
        /// What the window counts; `None` if it cannot have counted anything else.
        definition: Option<DefinitionId>,
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
                definition,
                ..
            } => {
                let mut list = vec![
                    json!("w"),
                    json!(meter),
                    json!(window),
                    json!(end.unwrap_or(0)),
                    json!(limit),
                    json!(amount),
                    json!(u8::from(*hard)),
                    json!(at_limit.as_str()),
                ];
                list.extend(definition.map(|id| json!(id.to_string())));
                Value::Array(list)
            }
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

string_enum! {
    /// The unit of a window.
    Unit {
        Requests = "requests",
        /// Billionths of a dollar.
        NanoUsd = "nano_usd",
    }
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
    accounts: BTreeMap<PlatformName, AccountMeters>,
    budgets: Vec<BudgetMeter>,
    queues: LimitedQueues,
}

/// The limits of an account.
#[derive(Debug, Clone)]
struct AccountMeters {
    limits: AccountLimits,
    usd_per_month: Option<WindowLimit>,
    requests_per_day: Option<WindowLimit>,
}

impl AccountMeters {
    /// `platforms` are the providers that use the account.
    fn new(
        name: &PlatformName,
        limits: &AccountLimits,
        platforms: &BTreeSet<PlatformName>,
    ) -> Self {
        let window = |kind: &str, unit: Unit, period: Period, limit: u64| {
            let calls = CountedCalls::Platforms(platforms.clone());
            let definition = WindowDefinition::new(calls, unit, period, limits.calendar);
            WindowLimit::new(format!("{kind}:{name}"), definition, limits.calendar, limit)
        };
        Self {
            usd_per_month: limits
                .usd_per_month
                .map(|limit| window("usd", Unit::NanoUsd, Period::Month, limit.nanos_up())),
            requests_per_day: limits
                .requests_per_day
                .map(|limit| window("rpd", Unit::Requests, Period::Day, limit)),
            limits: limits.clone(),
        }
    }
}

/// A budget, and its window.
#[derive(Debug, Clone)]
struct BudgetMeter {
    budget: Budget,
    window: WindowLimit,
}

impl Meters {
    pub fn new(catalog: &Catalog, budgets: &[Budget], queues: &LimitedQueues) -> Self {
        let mut platforms: BTreeMap<&PlatformName, BTreeSet<PlatformName>> = BTreeMap::new();
        for provider in &catalog.providers {
            let users = platforms.entry(&provider.account).or_default();
            users.insert(provider.name.clone());
        }
        let accounts = catalog.providers.iter().map(|provider| {
            let users = platforms
                .get(&provider.account)
                .cloned()
                .unwrap_or_default();
            let meters = AccountMeters::new(&provider.account, &provider.limits, &users);
            (provider.account.clone(), meters)
        });
        let budgets = budgets.iter().map(|budget| BudgetMeter {
            window: budget.window(),
            budget: budget.clone(),
        });
        Self {
            accounts: accounts.collect(),
            budgets: budgets.collect(),
            queues: queues.clone(),
        }
    }

    /// The amounts that a call reserves of the limits of its job's queue; none if the queue has no limits. They are the
    /// same for every platform, and the first to pass: no other platform has room where the queue has none.
    pub fn of_queue(&self, queue: &QueueName) -> Vec<MeterAmount> {
        if self.queues.is_empty() {
            return Vec::new();
        }
        let queue = queue.base();
        let limits = self.queues.get(&queue);
        limits.map_or_else(Vec::new, |limits| queue_amounts(&queue, limits, 1))
    }

    /// The names of the meters of queues.
    pub fn queue_meters(&self) -> BTreeSet<String> {
        let queues = self.queues.iter();
        queues
            .flat_map(|(queue, limits)| queue_amounts(queue, limits, 0))
            .map(|amount| amount.meter().to_owned())
            .collect()
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
            for of in &self.budgets {
                let meter = of.budget.meter_of(&provider.name, tenant, chain);
                amounts.extend(meter.map(|meter| of.window.amount(meter, nanos, now)));
            }
        }
        if let Some(meters) = self.accounts.get(&provider.account) {
            account(&mut amounts, &provider.account, meters, call, now);
        }
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
            definition: None,
        }
    }

    /// Whether an exhausted budget sends jobs to free platforms.
    pub fn send_to_free(&self) -> bool {
        let mut budgets = self.budgets.iter();
        budgets.any(|of| of.budget.hard && of.budget.at_limit == AtLimit::Free)
    }

    /// Every meter of the configuration with an amount of zero, for reports. Excludes budgets per
    /// tenant or chain, whose meters exist only once something was spent.
    pub fn all(&self, now: DateTime<Utc>) -> Vec<MeterAmount> {
        let budgets = self.budgets.iter();
        let mut amounts: Vec<MeterAmount> = budgets
            .filter(|of| !of.budget.is_of_each())
            .map(|of| of.window.nothing_of("", now))
            .collect();
        for (name, meters) in &self.accounts {
            account(&mut amounts, name, meters, CallUse::NONE, now);
        }
        for (queue, limits) in &self.queues {
            amounts.extend(queue_amounts(queue, limits, 0));
        }
        amounts
    }

    /// The limits of windows, with what they count.
    pub fn window_limits(&self) -> Vec<WindowLimit> {
        let budgets = self.budgets.iter().map(|of| &of.window);
        let accounts = self.accounts.values();
        let accounts = accounts.flat_map(|of| [&of.usd_per_month, &of.requests_per_day]);
        budgets.chain(accounts.flatten()).cloned().collect()
    }

    /// Whether there are budgets per tenant or per chain.
    pub fn has_budgets_of_each(&self) -> bool {
        self.budgets.iter().any(|of| of.budget.is_of_each())
    }

    /// The meter `meter` with an amount of zero, if it belongs to a budget per tenant or chain.
    pub fn of_each(&self, meter: &str, now: DateTime<Utc>) -> Option<MeterAmount> {
        let (name, _whose) = meter.strip_prefix("budget:")?.split_once(':')?;
        let mut budgets = self.budgets.iter().filter(|of| of.budget.is_of_each());
        let of = budgets.find(|of| of.budget.name == name)?;
        Some(of.window.amount(meter.to_owned(), 0, now))
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

    fn window(&self) -> WindowLimit {
        let calls = match &self.scope {
            BudgetScope::Overall => CountedCalls::All,
            BudgetScope::Provider(name) => CountedCalls::Platforms([name.clone()].into()),
            BudgetScope::Tenant(None) => CountedCalls::EachTenant,
            BudgetScope::Tenant(Some(tenant)) => CountedCalls::Tenant(tenant.clone()),
            BudgetScope::Chain(None) => CountedCalls::EachChain,
            BudgetScope::Chain(Some(chain)) => CountedCalls::Chain(chain.clone()),
        };
        let definition = WindowDefinition::new(calls, Unit::NanoUsd, self.period, self.calendar);
        let limit = self.limit.nanos_up();
        WindowLimit::new(self.meter(), definition, self.calendar, limit)
            .with(self.hard, self.at_limit)
    }
}

/// The amounts of a queue's limits for this many calls.
fn queue_amounts(queue: &QueueName, limits: &QueueLimits, calls: u64) -> Vec<MeterAmount> {
    let rate = limits.requests_per_minute.map(u64::from);
    let rate = rate.map(|limit| MeterAmount::Rate {
        meter: format!("{QUEUE_RATE}:{queue}"),
        per_minute: limit,
        pacing: Pacing::requests(limit),
        amount: calls,
    });
    let slots = limits.max_concurrent.map(|limit| MeterAmount::Slots {
        meter: format!("{QUEUE_SLOTS}:{queue}"),
        limit,
        half_of: None,
    });
    rate.into_iter().chain(slots).collect()
}

/// Adds the amounts of an account.
fn account(
    amounts: &mut Vec<MeterAmount>,
    name: &PlatformName,
    meters: &AccountMeters,
    call: CallUse,
    now: DateTime<Utc>,
) {
    let AccountMeters {
        limits,
        usd_per_month,
        requests_per_day,
    } = meters;
    let rate = |kind: &str, per_minute: u64, pacing: Pacing, amount: u64| MeterAmount::Rate {
        meter: format!("{kind}:{name}"),
        per_minute,
        pacing,
        amount,
    };
    if let (Some(window), Some(nanos)) = (usd_per_month, call.nanos) {
        amounts.push(window.amount(window.name.clone(), nanos, now));
    }
    if let Some(window) = requests_per_day {
        amounts.push(window.amount(window.name.clone(), call.requests, now));
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
