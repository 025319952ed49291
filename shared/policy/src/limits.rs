//! Limits: what an account allows, and what may be spent.
//!
//! Here is what the configuration says; the [broker](longshore_broker) keeps the counts.

use std::collections::BTreeMap;

use longshore_protocol::{money::Usd, platform::PlatformName, string_enum};

pub use accounts::{RawAccountLimits, account_limits, share_accounts};
pub use alerts::Alerts;
pub use calendar::{Calendar, Window};
pub use circuit::Circuit;
pub use meters::{Costs, Meters, Take, Unit};
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

/// What a provider's account allows. What is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompt and answer a minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests a day.
    pub requests_per_day: Option<u64>,
    /// Dollars a month.
    pub usd_per_month: Option<Usd>,
    /// Calls in flight at once, from all workers together.
    pub max_concurrent: Option<u32>,
    /// When its days and months begin.
    pub calendar: Calendar,
}

/// A limit on what may be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its name, for messages: 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Whose spending is counted.
    pub scope: Scope,
    /// The most.
    pub limit: Usd,
    /// In what time.
    pub period: Period,
    /// When days, months and the like begin.
    pub calendar: Calendar,
    /// Whether it is never overrun, or only told of.
    pub hard: bool,
    /// What becomes of jobs that no longer fit.
    pub at_limit: AtLimit,
}

/// Whose spending a budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's together.
    Overall,
    /// That of a platform.
    Provider(PlatformName),
    /// Each tenant's by itself, or that of one.
    Tenant(Option<String>),
    /// Each chain's by itself, or that of one.
    Chain(Option<String>),
}

string_enum! {
    /// The time that a limit is for.
    Period {
        /// From one full hour to the next.
        Hour = "hour",
        /// From one reset to that of the next day.
        Day = "day",
        /// From the first of a month to that of the next.
        Month = "month",
        /// For ever.
        Ever = "ever",
    }
}

string_enum! {
    /// What becomes of jobs that a budget no longer has room for.
    AtLimit {
        /// They wait for the next period.
        Wait = "wait",
        /// They go to models that cost nothing, and wait if there are none.
        Free = "free",
        /// They are dead letters.
        DeadLetter = "dead_letter",
    }
}

/// How tenants share what there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenants {
    /// The shares of those that are named, 1 to 1,000.
    pub weights: BTreeMap<String, u32>,
}

impl Tenants {
    /// A tenant's share in relation to others': 1 unless it is named.
    pub fn weight(&self, tenant: &str) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(1)
    }
}
