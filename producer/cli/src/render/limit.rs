//! The usage of limits, as text and JSON.

#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod row;
pub(crate) mod summary;
pub(crate) mod warning;

use std::cmp::Reverse;

use longshore_broker::{MeterReport, MeterUsage, WindowUsage};
use longshore_config::Config;
use longshore_policy::limits::{Budget, BudgetScope, MeterName, Period};
use serde::Serialize;

use self::{row::LimitRow, warning::LimitWarning};
use super::{
    money::Amount,
    text::one_line,
    time::{from_unix_ms, minute, timestamp},
};

/// A limit and its meter.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) subject: Subject,
    /// What it limits: `requests a day`.
    pub(crate) what: String,
    pub(crate) report: MeterReport,
}

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An account of a provider.
    Account(String),
    /// A queue.
    Queue(String),
    /// A budget.
    Budget {
        name: String,
        /// The platform, for the budget of one platform.
        platform: Option<String>,
        /// Whose costs count: `all`, `tenant acme`.
        whose: String,
        /// Whether each tenant or chain has its own budget of this name.
        per_owner: bool,
    },
}

impl Limit {
    fn new(report: MeterReport, budgets: &[Budget]) -> Option<Self> {
        let name = MeterName::parse(&report.meter);
        if let Some(what) = name.what() {
            let subject = match name.queue() {
                Some(queue) => Subject::Queue(queue.to_owned()),
                None => Subject::Account(name.subject().to_owned()),
            };
            return Some(Self {
                subject,
                what: what.to_owned(),
                report,
            });
        }
        let (budget, whose) = match name.subject().split_once(':') {
            Some((budget, whose)) => (budget, Some(whose)),
            None => (name.subject(), None),
        };
        let budget = budgets.iter().find(|one| one.name == budget)?;
        Some(Self {
            subject: Subject::from_budget(budget, whose),
            what: describe_budget(budget),
            report,
        })
    }

    /// The usage, for a limit on a sum over a window.
    pub(crate) fn window(&self) -> Option<&WindowUsage> {
        match &self.report.fill {
            MeterUsage::Window(fill) => Some(fill),
            MeterUsage::Rate { .. } | MeterUsage::Slots { .. } => None,
        }
    }

    /// The account, for the limit of an account.
    pub(crate) fn account(&self) -> Option<&str> {
        match &self.subject {
            Subject::Account(name) => Some(name),
            Subject::Queue(_) | Subject::Budget { .. } => None,
        }
    }

    /// The queue, for the limit of a queue.
    pub(crate) fn queue(&self) -> Option<&str> {
        match &self.subject {
            Subject::Queue(name) => Some(name),
            Subject::Account(_) | Subject::Budget { .. } => None,
        }
    }

    pub(crate) fn is_of_account(&self, account: &str) -> bool {
        self.account() == Some(account)
    }

    pub(crate) fn is_per_owner(&self) -> bool {
        matches!(
            self.subject,
            Subject::Budget {
                per_owner: true,
                ..
            }
        )
    }

    pub(crate) fn row(&self) -> LimitRow {
        let platform = match &self.subject {
            Subject::Account(name) => name.clone(),
            Subject::Queue(name) => format!("queue {name}"),
            Subject::Budget { whose, .. } => one_line(whose, 40),
        };
        let row = |used: String, limit: String, remaining: String, reset: String| LimitRow {
            platform,
            used,
            limit,
            remaining,
            reset,
            limit_of: self.what.clone(),
        };
        match &self.report.fill {
            MeterUsage::Window(fill) => {
                let amount = |units| Amount::new(fill.unit, units).to_string();
                let reset = fill.resets_at.map_or_else(|| "never".to_owned(), minute);
                row(
                    amount(fill.taken()),
                    amount(fill.limit),
                    amount(fill.remaining()),
                    reset,
                )
            }
            MeterUsage::Rate { per_minute, free } => row(
                "-".to_owned(),
                per_minute.to_string(),
                format!("{free} now"),
                "evenly paced".to_owned(),
            ),
            MeterUsage::Slots { limit, cap, in_use } => {
                let mut row = row(
                    in_use.to_string(),
                    cap.to_string(),
                    u64::from(*cap).saturating_sub(*in_use).to_string(),
                    "-".to_owned(),
                );
                if cap < limit {
                    row.limit_of = format!("{} ({limit}, reduced now)", self.what);
                }
                row
            }
        }
    }

    /// The warning for the highest alert threshold that was reached. With `named`, it names the limit, not only
    /// the account.
    pub(crate) fn warning(&self, alerts: &[u8], named: bool) -> Option<LimitWarning> {
        let subject = match &self.subject {
            Subject::Account(account) if !named => account.clone(),
            _ => MeterName::parse(&self.report.meter).to_string(),
        };
        LimitWarning::new(one_line(&subject, 120), self.window()?, alerts)
    }

    /// The JSON of the limit.
    pub(crate) fn figures(&self) -> LimitFigures {
        let mut figures = LimitFigures {
            limit_of: self.what.clone(),
            unit: self.what.split(' ').take(1).collect(),
            waiting: self.report.waiting,
            ..LimitFigures::default()
        };
        match &self.subject {
            Subject::Account(_) => {}
            Subject::Queue(name) => figures.queue = Some(name.clone()),
            Subject::Budget { name, whose, .. } => {
                figures.budget = Some(name.clone());
                figures.whose = Some(whose.clone());
            }
        }
        match &self.report.fill {
            MeterUsage::Window(fill) => {
                let amount = |units| Some(Amount::new(fill.unit, units));
                figures.used = amount(fill.taken());
                figures.held = amount(fill.held);
                figures.limit = amount(fill.limit);
                figures.remaining = amount(fill.remaining());
                figures.reset_at = fill
                    .resets_at
                    .map(|at| timestamp(from_unix_ms(at.timestamp_millis())));
                figures.hard = Some(fill.hard);
            }
            MeterUsage::Rate { per_minute, free } => {
                figures.limit = Some(Amount::Count(*per_minute));
                figures.remaining = Some(Amount::Count(*free));
            }
            MeterUsage::Slots { limit, cap, in_use } => {
                figures.used = Some(Amount::Count(*in_use));
                figures.limit = Some(Amount::Count(u64::from(*limit)));
                figures.limit_now = Some(*cap);
                let free = u64::from(*cap).saturating_sub(*in_use);
                figures.remaining = Some(Amount::Count(free));
            }
        }
        figures
    }
}

impl Subject {
    fn from_budget(budget: &Budget, whose: Option<&str>) -> Self {
        let (kind, owner) = match &budget.scope {
            BudgetScope::Overall => ("", None),
            BudgetScope::Provider(platform) => ("", Some(platform.as_str())),
            BudgetScope::Tenant(owner) => ("tenant ", owner.as_deref().or(whose)),
            BudgetScope::Chain(owner) => ("chain ", owner.as_deref().or(whose)),
        };
        let platform = match &budget.scope {
            BudgetScope::Provider(platform) => Some(platform.to_string()),
            BudgetScope::Overall | BudgetScope::Tenant(_) | BudgetScope::Chain(_) => None,
        };
        Self::Budget {
            name: budget.name.clone(),
            platform,
            whose: owner.map_or_else(|| "all".to_owned(), |owner| format!("{kind}{owner}")),
            per_owner: whose.is_some(),
        }
    }
}

/// The JSON of a limit. Fields that do not apply to its kind are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct LimitFigures {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<String>,
    #[serde(rename = "of", skip_serializing_if = "Option::is_none")]
    whose: Option<String>,
    limit_of: String,
    /// `requests`, `tokens`, `calls` or `dollars`.
    unit: String,
    /// Includes the reservations of calls in flight.
    pub(crate) used: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Amount>,
    pub(crate) limit: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_now: Option<u32>,
    pub(crate) remaining: Option<Amount>,
    pub(crate) reset_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard: Option<bool>,
    waiting: u64,
}

/// All limits: of accounts, then of queues, then budgets, then budgets per tenant or chain, the fullest first.
pub(crate) fn sorted_limits(reports: Vec<MeterReport>, config: &Config) -> Vec<Limit> {
    let mut limits: Vec<Limit> = reports
        .into_iter()
        .filter(|report| report.waiting > 0 || !is_implied(report, config))
        .filter_map(|report| Limit::new(report, &config.budgets))
        .collect();
    limits.sort_by_key(|limit| match &limit.subject {
        Subject::Account(_) => (0, Reverse(0)),
        Subject::Queue(_) => (1, Reverse(0)),
        Subject::Budget {
            per_owner: false, ..
        } => (2, Reverse(0)),
        Subject::Budget {
            per_owner: true, ..
        } => (3, Reverse(limit.window().map_or(0, WindowUsage::percent))),
    });
    limits
}

/// Whether these are the slots of an account for which no number is set.
fn is_implied(report: &MeterReport, config: &Config) -> bool {
    let mut providers = config.catalog.providers.iter();
    providers.any(|provider| {
        let slots = provider.limits.slots();
        slots.is_some_and(|slots| slots.is_implied)
            && report.meter == format!("slots:{}", provider.account)
    })
}

fn describe_budget(budget: &Budget) -> String {
    let period = match budget.period {
        Period::Hour => " an hour",
        Period::Day => " a day",
        Period::Month => " a month",
        Period::Ever => "",
    };
    let soft = if budget.hard { "" } else { ", warning only" };
    format!("dollars{period} (budget {}{soft})", budget.name)
}
