//! Limits of accounts and budgets, as configured. The broker keeps their counters.

use std::collections::BTreeMap;

use longshore_protocol::{
    envelope::DEFAULT_TIMEOUT, id::QueueName, money::Usd, platform::PlatformName, string_enum,
};

pub use accounts::{RawAccountLimits, account_limits, share_accounts};
pub use alerts::Alerts;
pub use calendar::{Calendar, Window};
pub use circuit::Circuit;
pub use counting::{CountingSpan, LimitRecord, UncountedCalls};
pub use definition::{CountedCalls, DefinitionId, WindowDefinition, WindowLimit};
pub use meters::{CallBound, MeterAmount, Meters, Unit};
pub use name::MeterName;
pub use pacing::Pacing;

mod accounts;
mod alerts;
mod calendar;
mod circuit;
mod counting;
mod definition;
mod meters;
mod name;
mod pacing;
pub mod settings;

/// The limits of a provider's account; an absent one is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountLimits {
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompt and answer.
    pub tokens_per_minute: Option<u64>,
    pub requests_per_day: Option<u64>,
    pub usd_per_month: Option<Usd>,
    /// Calls in flight at once, over all workers.
    pub max_concurrent: Option<u32>,
    /// When its days and months begin.
    pub calendar: Calendar,
}

/// How many calls an account may have in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountSlots {
    pub limit: u32,
    /// Whether it follows from the other limits, because `max_concurrent` is not set.
    pub is_implied: bool,
}

/// The highest number of slots.
const MOST_SLOTS: u32 = 100_000;

/// How long the calls last that a rate still gets slots for, in minutes: the default timeout of an attempt.
const LONGEST_CALL: u64 = DEFAULT_TIMEOUT.as_secs() / 60;

impl AccountLimits {
    /// The slots of the account; `None` if none of its limits says how many calls it takes. Without `max_concurrent` they
    /// are the requests of a day, and as many calls as its rates allow to begin while the longest one runs. So they change
    /// no rate, and still give a start from which refusals cut and of which half of the day's rest is left.
    pub fn slots(&self) -> Option<AccountSlots> {
        let explicit = self.max_concurrent.map(|limit| AccountSlots {
            limit,
            is_implied: false,
        });
        explicit.or_else(|| {
            let rates = [
                self.requests_per_minute.map(u64::from),
                self.tokens_per_minute,
            ];
            let during_a_call = rates.into_iter().flatten().map(|rate| rate * LONGEST_CALL);
            let least = during_a_call.chain(self.requests_per_day).min()?;
            Some(AccountSlots {
                limit: u32::try_from(least).map_or(MOST_SLOTS, |limit| limit.min(MOST_SLOTS)),
                is_implied: true,
            })
        })
    }
}

/// A limit of spending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    pub scope: BudgetScope,
    pub limit: Usd,
    pub period: Period,
    /// When its periods begin.
    pub calendar: Calendar,
    /// Whether calls that do not fit must wait; otherwise the budget only raises alerts.
    pub hard: bool,
    /// What happens to jobs that do not fit.
    pub at_limit: AtLimit,
}

/// Whose spending a budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetScope {
    /// The sum of all jobs.
    Overall,
    /// The sum of a platform.
    Provider(PlatformName),
    /// The sum of one tenant, or of each tenant by itself.
    Tenant(Option<String>),
    /// The sum of one chain, or of each chain by itself.
    Chain(Option<String>),
}

string_enum! {
    /// The period of a limit.
    Period {
        /// From one full hour to the next.
        Hour = "hour",
        /// From one reset to the next day's.
        Day = "day",
        /// From the first of a month to the first of the next.
        Month = "month",
        /// Without end.
        Ever = "ever",
    }
}

string_enum! {
    /// What happens to jobs that exceed a budget.
    AtLimit {
        /// They wait for the next period.
        Wait = "wait",
        /// They use free models. Without a free model, they wait.
        Free = "free",
        /// They become dead letters.
        DeadLetter = "dead_letter",
    }
}

/// The limits of a queue, over all workers and whatever platform is called; an absent one is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// Calls for its jobs in flight at once.
    pub max_concurrent: Option<u32>,
    /// Calls for its jobs that begin in a minute.
    pub requests_per_minute: Option<u32>,
}

/// The limits of the queues that have some.
pub type LimitedQueues = BTreeMap<QueueName, QueueLimits>;

/// How tenants share capacity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenants {
    /// Weights by tenant, 1 to 1,000.
    pub weights: BTreeMap<String, u32>,
}

impl Tenants {
    /// The weight of a tenant: 1 unless configured.
    pub fn weight(&self, tenant: &str) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(1)
    }
}
