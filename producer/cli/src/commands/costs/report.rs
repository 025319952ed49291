//! Costs as text and JSON.

mod chain;
#[cfg(test)]
mod tests;

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use longshore_ledger::{CostFilter, CostLine, CostSummary, ReportedCosts};
use longshore_protocol::money::Usd;
use serde::{Serialize, Serializer};

pub(super) use self::chain::ChainReport;

use crate::render::{
    money::{cents, exact},
    text::{counted, grouped, or_dash},
    time::timestamp,
};

/// The period of the costs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Period {
    /// A day, in UTC.
    Day(NaiveDate),
    /// From this time on, up to the other.
    Since(DateTime<Utc>, Option<DateTime<Utc>>),
    /// All time.
    All,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Since(from, None) => write!(f, "since {}", timestamp(*from)),
            Self::Since(from, Some(until)) => {
                write!(f, "{} to {}", timestamp(*from), timestamp(*until))
            }
            Self::All => f.write_str("all time"),
        }
    }
}

/// The costs of a period.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    total_tasks: u64,
    total_attempts: u64,
    failed_attempts: u64,
    cancelled_attempts: u64,
    lost_attempts: u64,
    unknown_cost_attempts: u64,
    #[serde(serialize_with = "exact")]
    unknown_cost_at_most: Usd,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<Reported>,
    #[serde(serialize_with = "by_name")]
    by_platform: Vec<CostLine>,
    #[serde(serialize_with = "by_name")]
    by_type: Vec<CostLine>,
    #[serde(serialize_with = "by_name")]
    by_model: Vec<CostLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_tenant: Option<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_day: Option<Listed>,
    #[serde(skip)]
    period: Period,
}

impl Report {
    pub(super) fn new(period: Period, filter: &CostFilter, summary: CostSummary) -> Self {
        let (date, since, until) = match period {
            Period::Day(day) => (Some(day), None, None),
            Period::Since(from, until) => (None, Some(from), until),
            Period::All => (None, None, None),
        };
        Self {
            date,
            since,
            until,
            tenant: filter.tenant.clone(),
            total_cost: summary.total_cost,
            total_tasks: summary.total_tasks,
            total_attempts: summary.total_attempts,
            failed_attempts: summary.failed_attempts,
            cancelled_attempts: summary.cancelled_attempts,
            lost_attempts: summary.lost_attempts,
            unknown_cost_attempts: summary.unknown_cost_attempts,
            unknown_cost_at_most: summary.reserved_unknown_usd,
            reported: summary.reported.map(Reported::from),
            by_platform: summary.by_platform,
            by_type: summary.by_type,
            by_model: summary.by_model,
            by_tenant: filter.by_tenant.then_some(Listed(summary.by_tenant)),
            by_day: filter.by_day.then_some(Listed(summary.by_day)),
            period,
        }
    }
}

/// A breakdown that was asked for.
#[derive(Debug, Serialize)]
struct Listed(#[serde(serialize_with = "by_name")] Vec<CostLine>);

/// The JSON of the costs that providers reported.
#[derive(Debug, Serialize)]
struct Reported {
    #[serde(serialize_with = "exact")]
    cost: Usd,
    #[serde(serialize_with = "exact")]
    difference: Usd,
    attempts: u64,
}

impl From<ReportedCosts> for Reported {
    fn from(reported: ReportedCosts) -> Self {
        Self {
            cost: reported.cost_usd,
            difference: reported.difference_usd,
            attempts: reported.attempts,
        }
    }
}

/// The JSON of the costs of one platform, type or model.
#[derive(Serialize)]
struct Figures {
    tasks: u64,
    attempts: u64,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

fn by_name<S: Serializer>(lines: &[CostLine], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(lines.iter().map(|line| {
        let figures = Figures {
            tasks: line.tasks,
            attempts: line.attempts,
            cost: line.cost_usd,
            unknown_cost_attempts: line.unknown_cost_attempts,
        };
        (&line.name, figures)
    }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => writeln!(f, "=== Cost Summary ({}, tenant {tenant}) ===", self.period)?,
            None => writeln!(f, "=== Cost Summary ({}) ===", self.period)?,
        }
        writeln!(f, "Total Cost: {}", cents(self.total_cost))?;
        write!(f, "Total Tasks: {}", grouped(self.total_tasks))?;
        write_unknown(
            f,
            self.unknown_cost_attempts,
            Some(self.unknown_cost_at_most),
        )?;
        self.write_reported(f)?;
        for (title, lines) in [
            ("Platform", Some(&self.by_platform)),
            ("Task Type", Some(&self.by_type)),
            ("Tenant", self.by_tenant.as_ref().map(|Listed(lines)| lines)),
            ("Day", self.by_day.as_ref().map(|Listed(lines)| lines)),
        ] {
            if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
                write!(f, "\n\nBy {title}:")?;
                write_breakdown(f, lines)?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// Writes the costs that providers reported, and of how many attempts if not all.
    fn write_reported(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(reported) = &self.reported else {
            return Ok(());
        };
        let cost = cents(reported.cost);
        write!(f, "\nProvider-reported: {cost}")?;
        if reported.attempts < self.total_attempts {
            let (some, all) = (reported.attempts, self.total_attempts);
            write!(f, " for {} of {} attempts", grouped(some), grouped(all))?;
        }
        let Usd(difference) = reported.difference;
        let sign = if difference.is_sign_negative() {
            "-"
        } else {
            ""
        };
        write!(f, " (differs by {sign}{})", cents(Usd(difference.abs())))
    }
}

/// Writes the number of attempts of unknown cost: their workers died during the call.
fn write_unknown(f: &mut fmt::Formatter<'_>, attempts: u64, at_most: Option<Usd>) -> fmt::Result {
    if attempts == 0 {
        return Ok(());
    }
    let attempts = counted(attempts, "attempt");
    write!(f, "\n{attempts} of unknown cost")?;
    match at_most {
        Some(at_most) => write!(f, " (at most {})", cents(at_most)),
        None => Ok(()),
    }
}

fn write_breakdown(f: &mut fmt::Formatter<'_>, lines: &[CostLine]) -> fmt::Result {
    let names = lines
        .iter()
        .map(|line| line.name.chars().count())
        .max()
        .unwrap_or_default()
        + 1;
    let tasks = lines
        .iter()
        .map(|line| grouped(line.tasks).len())
        .max()
        .unwrap_or_default();
    // Aligns `task,` with `tasks,`.
    let plural = usize::from(lines.iter().any(|line| line.tasks != 1)) + "task,".len();
    for line in lines {
        let word = if line.tasks == 1 { "task," } else { "tasks," };
        write!(
            f,
            "\n  {:<names$} {:>tasks$} {word:<plural$} {}",
            format!(
                "{}:",
                or_dash(
                    Some(&line.name)
                        .filter(|name| !name.is_empty())
                        .map(String::as_str)
                )
            ),
            grouped(line.tasks),
            cents(line.cost_usd)
        )?;
    }
    Ok(())
}
