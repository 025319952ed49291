//! Costs as text and JSON.

mod chain;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

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
    date: Option<NaiveDate>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    tenant: Option<String>,
    cost_usd: Usd,
    /// The name of `cost_usd` before; kept for one release.
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    total_tasks: u64,
    total_attempts: u64,
    failed_attempts: u64,
    cancelled_attempts: u64,
    lost_attempts: u64,
    unknown_cost_attempts: u64,
    unknown_cost_at_most_usd: Usd,
    /// The name of it before; kept for one release.
    #[serde(serialize_with = "exact")]
    unknown_cost_at_most: Usd,
    reported: Option<Reported>,
    /// Those that the JSON document always has, and those that were asked for.
    #[serde(flatten, serialize_with = "by_section")]
    sections: BTreeMap<Section, Vec<CostLine>>,
    /// Those that the text shows.
    #[serde(skip)]
    shown: Vec<Section>,
    #[serde(skip)]
    period: Period,
}

impl Report {
    /// `asked` are the sections that were asked for.
    pub(super) fn new(
        period: Period,
        filter: &CostFilter,
        summary: CostSummary,
        asked: &[Section],
    ) -> Self {
        let (date, since, until) = match period {
            Period::Day(day) => (Some(day), None, None),
            Period::Since(from, until) => (None, Some(from), until),
            Period::All => (None, None, None),
        };
        let mut sections = vec![
            (Section::Platform, summary.by_platform),
            (Section::Type, summary.by_type),
            (Section::Model, summary.by_model),
        ];
        if filter.by_tenant {
            sections.push((Section::Tenant, summary.by_tenant));
        }
        if filter.by_day {
            sections.push((Section::Day, summary.by_day));
        }
        Self {
            date,
            since,
            until,
            tenant: filter.tenant.clone(),
            cost_usd: summary.total_cost,
            total_cost: summary.total_cost,
            total_tasks: summary.total_tasks,
            total_attempts: summary.total_attempts,
            failed_attempts: summary.failed_attempts,
            cancelled_attempts: summary.cancelled_attempts,
            lost_attempts: summary.lost_attempts,
            unknown_cost_attempts: summary.unknown_cost_attempts,
            unknown_cost_at_most_usd: summary.reserved_unknown_usd,
            unknown_cost_at_most: summary.reserved_unknown_usd,
            reported: summary.reported.map(Reported::from),
            shown: if asked.is_empty() {
                vec![Section::Platform, Section::Type]
            } else {
                asked.to_vec()
            },
            sections: sections.into_iter().collect(),
            period,
        }
    }

    /// Adds a section that the summary does not have.
    pub(super) fn add(&mut self, section: Section, lines: Vec<CostLine>) {
        self.sections.insert(section, lines);
    }

    fn shown(&self) -> impl Iterator<Item = (Section, &[CostLine])> {
        let shown = self.shown.iter();
        shown.filter_map(|section| Some((*section, self.sections.get(section)?.as_slice())))
    }

    /// The sections as CSV, with a header.
    pub(super) fn to_csv(&self) -> String {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut written = csv.write_record([
            "by",
            "name",
            "tasks",
            "attempts",
            "cost_usd",
            "unknown_cost_attempts",
        ]);
        for (section, lines) in self.shown() {
            for line in lines {
                written = written.and_then(|()| {
                    csv.write_record([
                        section.as_str(),
                        &line.name,
                        &line.tasks.to_string(),
                        &line.attempts.to_string(),
                        &line.cost_usd.to_string(),
                        &line.unknown_cost_attempts.to_string(),
                    ])
                });
            }
        }
        // Writing to memory does not fail.
        let bytes = written.ok().and_then(|()| csv.into_inner().ok());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

/// What costs are listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Section {
    Platform,
    Type,
    Model,
    Tenant,
    Day,
    Chain,
    Queue,
}

impl Section {
    fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Type => "type",
            Self::Model => "model",
            Self::Tenant => "tenant",
            Self::Day => "day",
            Self::Chain => "chain",
            Self::Queue => "queue",
        }
    }

    /// The heading in the text.
    fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Type => "Task Type",
            Self::Model => "Model",
            Self::Tenant => "Tenant",
            Self::Day => "Day",
            Self::Chain => "Chain",
            Self::Queue => "Queue",
        }
    }
}

/// The JSON of the costs that providers reported.
#[derive(Debug, Serialize)]
struct Reported {
    cost_usd: Usd,
    difference_usd: Usd,
    /// The names of both before; kept for one release.
    #[serde(serialize_with = "exact")]
    cost: Usd,
    #[serde(serialize_with = "exact")]
    difference: Usd,
    attempts: u64,
}

impl From<ReportedCosts> for Reported {
    fn from(reported: ReportedCosts) -> Self {
        Self {
            cost_usd: reported.cost_usd,
            difference_usd: reported.difference_usd,
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
    cost_usd: Usd,
    /// The name of `cost_usd` before; kept for one release.
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

/// Lines as a JSON object by name, in order.
struct ByName<'a>(&'a [CostLine]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|line| {
            let figures = Figures {
                tasks: line.tasks,
                attempts: line.attempts,
                cost_usd: line.cost_usd,
                cost: line.cost_usd,
                unknown_cost_attempts: line.unknown_cost_attempts,
            };
            (&line.name, figures)
        }))
    }
}

/// Members `by_platform` and so on, each with the figures by name.
fn by_section<S: Serializer>(
    sections: &BTreeMap<Section, Vec<CostLine>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let members = sections
        .iter()
        .map(|(section, lines)| (format!("by_{}", section.as_str()), ByName(lines)));
    serializer.collect_map(members)
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
        for (section, lines) in self.shown().filter(|(_, lines)| !lines.is_empty()) {
            write!(f, "\n\nBy {}:", section.title())?;
            write_breakdown(f, lines)?;
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
        if line.attempts != line.tasks {
            write!(f, " ({})", counted(line.attempts, "attempt"))?;
        }
    }
    Ok(())
}
