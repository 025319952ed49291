//! Limits of accounts and budgets, as configured. The broker keeps their counters.

use std::collections::BTreeMap;

use longshore_protocol::{money::Usd, platform::PlatformName, string_enum};

pub use accounts::{RawAccountLimits, account_limits, share_accounts};
pub use alerts::Alerts;
pub use calendar::{Calendar, Window};
pub use circuit::Circuit;
pub use meters::{CallBound, MeterAmount, Meters, Unit};
pub use name::MeterName;
pub use pacing::Pacing;

mod accounts;
mod alerts;
mod calendar;
mod circuit;
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
