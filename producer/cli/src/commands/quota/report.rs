//! How all limits stand, in words and in JSON.

use std::{collections::BTreeMap, fmt};

use longshore_shared::limits::MeterName;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{
    amount::Amount,
    limit::{Figures, Limit},
    table::{Line, draw},
    warning::Warning,
};
use crate::commands::words::{count, head};

/// The most budgets of single tenants and chains that the table shows.
const SHOWN_OF_EACH: usize = 20;

/// The title of the table.
pub(crate) const TITLE: &str = "=== Quota Status ===";

/// How all limits stand.
#[derive(Debug)]
pub(super) struct Report {
    /// The platform that was asked about; all without.
    pub(super) platform: Option<String>,
    pub(super) limits: Vec<Limit>,
    pub(super) alerts: Vec<u8>,
}

/// A platform's quota, in the form of seed 000, and all of its limits. The figures are those of requests
/// a day where those are limited, else of dollars.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PlatformFigures {
    used: Option<Amount>,
    limit: Option<Amount>,
    remaining: Option<Amount>,
    reset_at: Option<String>,
    limits: Vec<Figures>,
}

impl PlatformFigures {
    /// Of an account; `None` if it has no limit.
    pub(crate) fn of(account: &str, limits: &[Limit]) -> Option<Self> {
        let own: Vec<&Limit> = limits
            .iter()
            .filter(|limit| limit.is_of_account(account))
            .collect();
        if own.is_empty() {
            return None;
        }
        let windows = own.iter().filter(|limit| limit.window().is_some());
        let first = windows.min_by_key(|limit| limit.what != "requests a day");
        let mut figures = first.map_or_else(Self::default, |limit| {
            let figures = limit.figures();
            Self {
                used: figures.used,
                limit: figures.limit,
                remaining: figures.remaining,
                reset_at: figures.reset_at,
                limits: Vec::new(),
            }
        });
        figures.limits = own.iter().map(|limit| limit.figures()).collect();
        Some(figures)
    }
}

impl PlatformFigures {
    /// Of a platform without a limit on a window: what was asked of it until `reset_at`.
    #[must_use]
    pub(crate) fn or_used(mut self, used: u64, reset_at: Option<String>) -> Self {
        if self.used.is_none() {
            self.used = Some(Amount::Count(used));
            self.reset_at = reset_at;
        }
        self
    }
}

/// Whether a table of these has to say which limit is which.
pub(crate) fn must_name(limits: &[Limit]) -> bool {
    let mut seen = Vec::new();
    limits.iter().any(|limit| {
        let again = seen.contains(&&limit.of);
        seen.push(&limit.of);
        again || limit.window().is_none() || limit.account().is_none()
    })
}

/// What people are to be warned of.
pub(crate) fn warnings(limits: &[Limit], alerts: &[u8]) -> Vec<Warning> {
    let windows = |limit: &Limit| {
        let same = limits.iter().filter(|other| other.of == limit.of);
        same.filter(|other| other.window().is_some()).count()
    };
    limits
        .iter()
        .filter_map(|limit| limit.warning(alerts, windows(limit) > 1))
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        if self.limits.is_empty() {
            return self.nothing(f);
        }
        let before = self.limits.iter().filter(|limit| !limit.is_of_each());
        let each = self.limits.iter().filter(|limit| limit.is_of_each());
        let left_out = each.clone().count().saturating_sub(SHOWN_OF_EACH);
        let shown: Vec<Limit> = before.chain(each.take(SHOWN_OF_EACH)).cloned().collect();
        let lines: Vec<Line> = shown.iter().map(Limit::line).collect();
        write!(f, "{}", draw(&lines, must_name(&shown)))?;
        if left_out > 0 {
            let all = count(left_out as u64);
            write!(
                f,
                "\n… and {all} more of tenants and chains, none of them fuller: --format json has all"
            )?;
        }
        let warnings = warnings(&shown, &self.alerts);
        list(f, "Warnings", warnings.iter())?;
        let waits = shown.iter().filter(|limit| limit.report.waiting > 0);
        list(f, "Waiting", waits.map(Waits))
    }
}

/// A titled list; nothing where it is empty.
pub(crate) fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at == 0 {
            write!(f, "\n\n{title}:")?;
        }
        write!(f, "\n  - {item}")?;
    }
    Ok(())
}

/// Jobs that wait for a limit.
struct Waits<'a>(&'a Limit);

impl fmt::Display for Waits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meter = MeterName::parse(&self.0.report.meter).to_string();
        let meter = head(&meter, 120);
        match self.0.report.waiting {
            1 => write!(f, "1 job waits for {meter}"),
            jobs => write!(f, "{} jobs wait for {meter}", count(jobs)),
        }
    }
}

impl Report {
    fn nothing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platform = self.platform.as_deref();
        match platform {
            Some(platform) => writeln!(f, "Nothing limits {platform}.\n")?,
            None => writeln!(
                f,
                "Nothing is limited: no provider has `limits`, and there are no `budgets`.\n"
            )?,
        }
        let platform = platform.unwrap_or("gemini");
        write!(
            f,
            "Limits stand in longshore.yaml (docs/CONFIGURATION.md, \"Limits\"), for example:\n\n\
             providers:\n  {platform}:\n    limits: {{ requests_per_day: 1500 }}\n\
             budgets:\n  - {{ name: everything, scope: overall, limit_usd: \"100\", per: month }}"
        )
    }

    /// The accounts that have limits.
    fn accounts(&self) -> BTreeMap<&str, PlatformFigures> {
        let names = self.limits.iter().filter_map(Limit::account);
        names
            .filter_map(|name| Some((name, PlatformFigures::of(name, &self.limits)?)))
            .collect()
    }
}

/// The figures of all budgets.
pub(crate) fn budgets(limits: &[Limit]) -> Vec<Figures> {
    let budgets = limits.iter().filter(|limit| limit.account().is_none());
    budgets.map(Limit::figures).collect()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("quota", &self.accounts())?;
        map.serialize_entry("budgets", &budgets(&self.limits))?;
        map.serialize_entry("warnings", &warnings(&self.limits, &self.alerts))?;
        map.end()
    }
}

#[cfg(test)]
pub(in crate::commands) mod tests;
