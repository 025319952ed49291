//! The costs of a chain: total, by step, by task.

use std::fmt;

use longshore_ledger::{ChainCosts, JobCost, StepRow};
use longshore_protocol::money::Usd;
use serde::Serialize;

use super::write_unknown;
use crate::render::{
    money::{cents, exact},
    table::{Table, Width, whole},
    text::grouped,
    time::seconds_from_ms,
};

/// The costs of a chain.
#[derive(Debug, Serialize)]
pub(in crate::commands::costs) struct ChainReport {
    id: String,
    cost_usd: Usd,
    /// The names of `id` and `cost_usd` before; kept for one release.
    chain_id: String,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    total_tasks: u64,
    unknown_cost_attempts: u64,
    steps: Vec<ChainStep>,
    tasks: Vec<ChainTask>,
}

#[derive(Debug, Serialize)]
struct ChainTask {
    id: String,
    /// The name of `id` before; kept for one release.
    task_id: String,
    platform: String,
    model: String,
    attempts: u64,
    cost_usd: Usd,
    /// The name of `cost_usd` before; kept for one release.
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

impl From<JobCost> for ChainTask {
    fn from(job: JobCost) -> Self {
        Self {
            id: job.job_id.to_string(),
            task_id: job.job_id.to_string(),
            platform: job.platform,
            model: job.model,
            attempts: job.attempts,
            cost_usd: job.cost_usd,
            cost: job.cost_usd,
            unknown_cost_attempts: job.unknown_cost_attempts,
        }
    }
}

impl ChainReport {
    pub(in crate::commands::costs) fn new(chain_id: String, costs: ChainCosts) -> Self {
        Self {
            id: chain_id.clone(),
            cost_usd: costs.total_cost,
            chain_id,
            total_cost: costs.total_cost,
            total_tasks: costs.total_tasks,
            unknown_cost_attempts: costs.unknown_cost_attempts,
            steps: costs.steps.into_iter().map(ChainStep::from).collect(),
            tasks: costs.jobs.into_iter().map(ChainTask::from).collect(),
        }
    }
}

impl fmt::Display for ChainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Chain: {}", self.chain_id)?;
        writeln!(f, "Total Cost: {}", cents(self.total_cost))?;
        write!(f, "Tasks: {}", grouped(self.total_tasks))?;
        write_unknown(f, self.unknown_cost_attempts, None)?;
        if !self.steps.is_empty() {
            write!(
                f,
                "\n\nStep Breakdown:\n{}",
                step_table(&self.steps).fitted(Width::of_terminal())
            )?;
        }
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

/// The costs of a step, summed over its items.
#[derive(Debug, Serialize)]
struct ChainStep {
    step: String,
    items: u64,
    attempts: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Usd,
    /// The name of `cost_usd` before; kept for one release.
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
    /// From its first attempt to its last answer.
    duration_ms: Option<u64>,
    /// The same in seconds; kept for one release.
    duration: Option<f64>,
}

impl From<StepRow> for ChainStep {
    fn from(row: StepRow) -> Self {
        let took = row
            .started_at
            .zip(row.finished_at)
            .map(|(from, to)| to - from);
        let duration_ms = took.and_then(|took| u64::try_from(took.num_milliseconds()).ok());
        Self {
            step: row.step.map(|step| step.to_string()).unwrap_or_default(),
            items: row.jobs,
            attempts: row.figures.attempts,
            input_tokens: row.figures.input_tokens,
            output_tokens: row.figures.output_tokens,
            cost_usd: row.figures.cost_usd,
            cost: row.figures.cost_usd,
            unknown_cost_attempts: row.figures.unknown_cost_attempts,
            duration_ms,
            duration: duration_ms.map(seconds_from_ms),
        }
    }
}

fn step_table(steps: &[ChainStep]) -> Table {
    let mut table = Table::new([
        whole("  STEP"),
        whole("ITEMS").right(),
        whole("ATTEMPTS").right(),
        whole("TOKENS IN").right(),
        whole("OUT").right(),
        whole("COST").right(),
        whole("TIME").right(),
    ]);
    for step in steps {
        table.add_row([
            format!("  {}", step.step),
            grouped(step.items),
            grouped(step.attempts),
            grouped(step.input_tokens),
            grouped(step.output_tokens),
            cents(step.cost),
            step.duration
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}s")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use longshore_client::{JobId, StepName};
    use longshore_ledger::Figures;

    use super::*;

    fn job(id: &str, platform: &str, cost: &str) -> JobCost {
        JobCost {
            job_id: JobId::parse(id).unwrap(),
            platform: platform.to_owned(),
            model: "m".to_owned(),
            attempts: 1,
            cost_usd: cost.parse().unwrap(),
            unknown_cost_attempts: 0,
        }
    }

    fn step(name: &str, jobs: u64, cost: &str, ms: i64) -> StepRow {
        let started = chrono::DateTime::from_timestamp_millis(1_795_232_878_059).unwrap();
        StepRow {
            step: Some(StepName::parse(name).unwrap()),
            jobs,
            completed: jobs,
            started_at: Some(started),
            finished_at: Some(started + chrono::TimeDelta::milliseconds(ms)),
            figures: Figures {
                attempts: jobs,
                input_tokens: jobs * 120,
                output_tokens: jobs * 345,
                cost_usd: cost.parse().unwrap(),
                unknown_cost_attempts: 0,
            },
            ..StepRow::default()
        }
    }

    fn report(steps: Vec<StepRow>) -> ChainReport {
        let costs = ChainCosts {
            total_cost: "0.80".parse().unwrap(),
            total_tasks: 2,
            unknown_cost_attempts: 1,
            steps,
            jobs: vec![
                job("1795249105684-0", "gemini", "0"),
                job("mine-2", "openai", "0.80"),
            ],
        };
        ChainReport::new("workflow_123".to_owned(), costs)
    }

    #[test]
    fn chain_costs_are_listed_by_task() {
        insta::assert_snapshot!(report(Vec::new()), @"
        Chain: workflow_123
        Total Cost: $0.80
        Tasks: 2
        1 attempt of unknown cost

        Task Breakdown:
          1795249105684-0: $0.00 (gemini)
          mine-2: $0.80 (openai)
        ");
        let json = serde_json::to_value(report(Vec::new())).unwrap();
        assert_eq!(json["tasks"][1]["id"], "mine-2");
        assert_eq!(json["steps"], serde_json::json!([]));
    }

    #[test]
    fn chain_costs_are_listed_by_step() {
        let mut waits = step("last", 0, "0", 0);
        (waits.started_at, waits.finished_at) = (None, None);
        let steps = vec![
            step("research", 1, "0.0000004", 1234),
            step("each", 1200, "0.7999996", 61_500),
            waits,
        ];
        insta::assert_snapshot!(report(steps), @"
        Chain: workflow_123
        Total Cost: $0.80
        Tasks: 2
        1 attempt of unknown cost

        Step Breakdown:
          STEP      ITEMS  ATTEMPTS  TOKENS IN      OUT        COST    TIME
          research      1         1        120      345  $0.0000004   1.23s
          each      1,200     1,200    144,000  414,000       $0.80  61.50s
          last          0         0          0        0       $0.00       -

        Task Breakdown:
          1795249105684-0: $0.00 (gemini)
          mine-2: $0.80 (openai)
        ");
        let json =
            serde_json::to_string_pretty(&report(vec![step("each", 12, "0.7", 61_500)])).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "id": "workflow_123",
          "cost_usd": "0.8",
          "chain_id": "workflow_123",
          "total_cost": 0.8,
          "total_tasks": 2,
          "unknown_cost_attempts": 1,
          "steps": [
            {
              "step": "each",
              "items": 12,
              "attempts": 12,
              "input_tokens": 1440,
              "output_tokens": 4140,
              "cost_usd": "0.7",
              "cost": 0.7,
              "unknown_cost_attempts": 0,
              "duration_ms": 61500,
              "duration": 61.5
            }
          ],
          "tasks": [
            {
              "id": "1795249105684-0",
              "task_id": "1795249105684-0",
              "platform": "gemini",
              "model": "m",
              "attempts": 1,
              "cost_usd": "0",
              "cost": 0,
              "unknown_cost_attempts": 0
            },
            {
              "id": "mine-2",
              "task_id": "mine-2",
              "platform": "openai",
              "model": "m",
              "attempts": 1,
              "cost_usd": "0.8",
              "cost": 0.8,
              "unknown_cost_attempts": 0
            }
          ]
        }
        "#);
    }
}
