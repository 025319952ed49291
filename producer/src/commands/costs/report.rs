//! Costs in words and in JSON.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use longshore_shared::{
    ledger::{ChainCosts, CostLine, CostSummary, JobCost},
    money::Usd,
};
use rust_decimal::RoundingStrategy;
use serde::{Serialize, Serializer};

use crate::commands::{
    submit::money::exact,
    words::{count, many, time},
};

/// Of when the costs are.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Period {
    /// Of a day, in UTC.
    #[serde(rename = "date")]
    Day(NaiveDate),
    /// Since then.
    Since(DateTime<Utc>),
    /// Of all time.
    All,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Since(from) => write!(f, "since {}", time(*from)),
            Self::All => f.write_str("all time"),
        }
    }
}

/// What a period cost.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    total_tasks: u64,
    total_attempts: u64,
    unknown_cost_attempts: u64,
    #[serde(serialize_with = "exact")]
    unknown_cost_at_most: Usd,
    #[serde(serialize_with = "by_name")]
    by_platform: Vec<CostLine>,
    #[serde(serialize_with = "by_name")]
    by_type: Vec<CostLine>,
    #[serde(serialize_with = "by_name")]
    by_model: Vec<CostLine>,
    #[serde(skip)]
    period: Period,
}

impl Report {
    pub(super) fn new(period: Period, summary: CostSummary) -> Self {
        let (date, since) = match period {
            Period::Day(day) => (Some(day), None),
            Period::Since(from) => (None, Some(from)),
            Period::All => (None, None),
        };
        Self {
            date,
            since,
            total_cost: summary.total_cost,
            total_tasks: summary.total_tasks,
            total_attempts: summary.total_attempts,
            unknown_cost_attempts: summary.unknown_cost_attempts,
            unknown_cost_at_most: summary.reserved_unknown_usd,
            by_platform: summary.by_platform,
            by_type: summary.by_type,
            by_model: summary.by_model,
            period,
        }
    }
}

/// What one name cost, as programs see it.
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
        writeln!(f, "=== Cost Summary ({}) ===", self.period)?;
        writeln!(f, "Total Cost: {}", cents(self.total_cost))?;
        write!(f, "Total Tasks: {}", count(self.total_tasks))?;
        unknown(
            f,
            self.unknown_cost_attempts,
            Some(self.unknown_cost_at_most),
        )?;
        for (title, lines) in [
            ("Platform", &self.by_platform),
            ("Task Type", &self.by_type),
        ] {
            if !lines.is_empty() {
                write!(f, "\n\nBy {title}:")?;
                breakdown(f, lines)?;
            }
        }
        Ok(())
    }
}

/// Attempts that only the provider knows the price of: their workers died in mid-call.
fn unknown(f: &mut fmt::Formatter<'_>, attempts: u64, at_most: Option<Usd>) -> fmt::Result {
    if attempts == 0 {
        return Ok(());
    }
    let attempts = many(usize::try_from(attempts).unwrap_or(usize::MAX), "attempt");
    write!(f, "\n{attempts} of unknown cost")?;
    match at_most {
        Some(at_most) => write!(f, " (at most {})", cents(at_most)),
        None => Ok(()),
    }
}

fn breakdown(f: &mut fmt::Formatter<'_>, lines: &[CostLine]) -> fmt::Result {
    let names = lines
        .iter()
        .map(|line| line.name.chars().count())
        .max()
        .unwrap_or_default()
        + 1;
    let tasks = lines
        .iter()
        .map(|line| count(line.tasks).len())
        .max()
        .unwrap_or_default();
    // One task and two tasks are to stand under each other.
    let plural = usize::from(lines.iter().any(|line| line.tasks != 1)) + "task,".len();
    for line in lines {
        let word = if line.tasks == 1 { "task," } else { "tasks," };
        write!(
            f,
            "\n  {:<names$} {:>tasks$} {word:<plural$} {}",
            format!("{}:", line.name),
            count(line.tasks),
            cents(line.cost_usd)
        )?;
    }
    Ok(())
}

/// What a chain cost.
#[derive(Debug, Serialize)]
pub(super) struct ChainReport {
    chain_id: String,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    total_tasks: u64,
    unknown_cost_attempts: u64,
    tasks: Vec<ChainTask>,
}

#[derive(Debug, Serialize)]
struct ChainTask {
    task_id: String,
    platform: String,
    model: String,
    attempts: u64,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

impl From<JobCost> for ChainTask {
    fn from(job: JobCost) -> Self {
        Self {
            task_id: job.job_id.to_string(),
            platform: job.platform,
            model: job.model,
            attempts: job.attempts,
            cost: job.cost_usd,
            unknown_cost_attempts: job.unknown_cost_attempts,
        }
    }
}

impl ChainReport {
    pub(super) fn new(chain_id: String, costs: ChainCosts) -> Self {
        Self {
            chain_id,
            total_cost: costs.total_cost,
            total_tasks: costs.total_tasks,
            unknown_cost_attempts: costs.unknown_cost_attempts,
            tasks: costs.jobs.into_iter().map(ChainTask::from).collect(),
        }
    }
}

impl fmt::Display for ChainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Chain: {}", self.chain_id)?;
        writeln!(f, "Total Cost: {}", cents(self.total_cost))?;
        write!(f, "Tasks: {}", count(self.total_tasks))?;
        unknown(f, self.unknown_cost_attempts, None)?;
        write!(f, "\n\nTask Breakdown:")?;
        for task in &self.tasks {
            write!(
                f,
                "\n  {}: {} ({})",
                task.task_id,
                cents(task.cost),
                task.platform
            )?;
        }
        Ok(())
    }
}

/// An amount for people: two digits, or more where both would be zero though something was spent.
fn cents(Usd(amount): Usd) -> String {
    let rounded = amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    if rounded.is_zero() && !amount.is_zero() {
        format!("${}", amount.round_sf(2).unwrap_or(amount).normalize())
    } else {
        format!("${rounded:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, tasks: u64, cost: &str) -> CostLine {
        CostLine {
            name: name.to_owned(),
            tasks,
            attempts: tasks,
            cost_usd: cost.parse().unwrap(),
            unknown_cost_attempts: 0,
        }
    }

    fn summary() -> CostSummary {
        CostSummary {
            total_cost: "4.350000006".parse().unwrap(),
            total_tasks: 44,
            total_attempts: 47,
            by_platform: vec![
                line("openai", 28, "3.45"),
                line("anthropic", 1, "0.9"),
                line("gemini", 15, "0.000000006"),
            ],
            by_type: vec![line("code_generation", 44, "4.350000006")],
            ..CostSummary::default()
        }
    }

    fn day() -> Period {
        Period::Day(NaiveDate::from_ymd_opt(2026, 2, 1).unwrap())
    }

    #[test]
    fn a_day_in_words() {
        insta::assert_snapshot!(Report::new(day(), summary()), @r"
        === Cost Summary (2026-02-01) ===
        Total Cost: $4.35
        Total Tasks: 44

        By Platform:
          openai:    28 tasks, $3.45
          anthropic:  1 task,  $0.90
          gemini:    15 tasks, $0.000000006

        By Task Type:
          code_generation: 44 tasks, $4.35
        ");
    }

    #[test]
    fn what_is_not_known_is_told() {
        let summary = CostSummary {
            unknown_cost_attempts: 3,
            reserved_unknown_usd: "0.12".parse().unwrap(),
            ..CostSummary::default()
        };
        insta::assert_snapshot!(Report::new(Period::All, summary), @r"
        === Cost Summary (all time) ===
        Total Cost: $0.00
        Total Tasks: 0
        3 attempts of unknown cost (at most $0.12)
        ");
    }

    #[test]
    fn a_day_for_programs_keeps_every_digit() {
        let summary = CostSummary {
            by_platform: vec![line("openai", 28, "3.45")],
            by_type: Vec::new(),
            ..summary()
        };
        let json = serde_json::to_string_pretty(&Report::new(day(), summary)).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "date": "2026-02-01",
          "total_cost": 4.350000006,
          "total_tasks": 44,
          "total_attempts": 47,
          "unknown_cost_attempts": 0,
          "unknown_cost_at_most": 0,
          "by_platform": {
            "openai": {
              "tasks": 28,
              "attempts": 28,
              "cost": 3.45,
              "unknown_cost_attempts": 0
            }
          },
          "by_type": {},
          "by_model": {}
        }
        "#);
    }

    #[test]
    fn a_chain_is_told_task_by_task() {
        let job = |id: &str, platform: &str, cost: &str| ChainTask {
            task_id: id.to_owned(),
            platform: platform.to_owned(),
            model: "m".to_owned(),
            attempts: 1,
            cost: cost.parse().unwrap(),
            unknown_cost_attempts: 0,
        };
        let report = ChainReport {
            chain_id: "workflow_123".to_owned(),
            total_cost: "0.80".parse().unwrap(),
            total_tasks: 2,
            unknown_cost_attempts: 1,
            tasks: vec![
                job("1795249105684-0", "gemini", "0"),
                job("mine-2", "openai", "0.80"),
            ],
        };
        insta::assert_snapshot!(report, @r"
        Chain: workflow_123
        Total Cost: $0.80
        Tasks: 2
        1 attempt of unknown cost

        Task Breakdown:
          1795249105684-0: $0.00 (gemini)
          mine-2: $0.80 (openai)
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tasks"][1]["task_id"], "mine-2");
    }
}
