//! What is told of a batch that is done.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt::Write as _, path::Path, time::Duration};

use longshore::{JobId, Outcome, Usd};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::{
    submit::{
        answer::seconds,
        money::{dollars, exact},
    },
    words,
};

/// So many failures are told one by one.
const FAILURES: usize = 10;

/// The longest error of a failure that is told so, in characters.
const ERROR: usize = 200;

/// How one task ended.
#[derive(Debug, Serialize)]
pub(super) struct TaskResult {
    task_id: JobId,
    index: usize,
    platform: Option<String>,
    model: Option<String>,
    pub(super) success: bool,
    output: Option<String>,
    error: Option<String>,
    error_class: Option<String>,
    #[serde(serialize_with = "exact")]
    pub(super) cost: Usd,
    duration_ms: u64,
    input_tokens: u64,
    output_tokens: u64,
    attempts: u32,
    metadata: Option<Map<String, Value>>,
}

impl TaskResult {
    pub(super) fn of(index: usize, outcome: Outcome) -> Self {
        Self {
            task_id: outcome.id,
            index,
            platform: outcome.platform,
            model: outcome.model,
            success: outcome.success,
            output: outcome.output,
            error: outcome.error,
            error_class: outcome.error_class,
            cost: outcome.cost_usd,
            duration_ms: outcome.duration_ms,
            input_tokens: outcome.input_tokens,
            output_tokens: outcome.output_tokens,
            attempts: outcome.attempts,
            metadata: outcome.metadata,
        }
    }

    /// Of a task that is not a job, for its id is another's.
    pub(super) fn refused(index: usize, id: &JobId, reason: String) -> Self {
        Self {
            task_id: id.clone(),
            index,
            platform: None,
            model: None,
            success: false,
            output: None,
            error: Some(reason),
            error_class: Some("id_conflict".to_owned()),
            cost: Usd::ZERO,
            duration_ms: 0,
            input_tokens: 0,
            output_tokens: 0,
            attempts: 0,
            metadata: None,
        }
    }
}

/// How a batch ended; the document that `--output` and `--format json` write.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    total_tasks: usize,
    success_count: usize,
    failure_count: usize,
    success_rate: f64,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    /// Seconds from the first enqueue to the last outcome.
    total_duration: f64,
    chain_id: String,
    results: Vec<TaskResult>,
}

/// What one platform did.
#[derive(Default)]
struct Share {
    tasks: usize,
    successes: usize,
    cost: Usd,
}

impl Report {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of fewer than 2^52 tasks"
    )]
    pub(super) fn of(chain_id: String, results: Vec<TaskResult>, duration: Duration) -> Self {
        let success_count = results.iter().filter(|result| result.success).count();
        Self {
            total_tasks: results.len(),
            success_count,
            failure_count: results.len() - success_count,
            success_rate: success_count as f64 / results.len().max(1) as f64,
            total_cost: results.iter().map(|result| result.cost).sum(),
            total_duration: seconds(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            chain_id,
            results,
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.failure_count
    }

    /// For people.
    pub(super) fn text(&self, saved: Option<&Path>) -> String {
        let mut text = format!(
            "\n=== Batch Complete ===\nTotal: {}\nSuccess: {}\nFailed: {}\nSuccess Rate: {:.1}%\nTotal Cost: {}\nTotal \
             Duration: {:.2}s\n\nBy Platform:",
            words::many(self.total_tasks, "task"),
            self.success_count,
            self.failure_count,
            self.rate(),
            dollars(self.total_cost),
            self.total_duration,
        );
        // Writing to a text does not fail.
        for (platform, share) in self.shares() {
            let (successes, tasks, cost) = (share.successes, share.tasks, dollars(share.cost));
            let _written = write!(text, "\n  {platform}: {successes}/{tasks} success, {cost}");
        }
        self.write_failures(&mut text);
        if let Some(path) = saved {
            let _written = write!(text, "\n\nResults saved to: {}", path.display());
        }
        text
    }

    /// The percentage; not 100.0 unless none failed.
    fn rate(&self) -> f64 {
        let percent = self.success_rate * 100.0;
        if self.failure_count > 0 {
            percent.min(99.9)
        } else {
            percent
        }
    }

    /// The platforms, the busiest first.
    fn shares(&self) -> Vec<(&str, Share)> {
        let mut shares: HashMap<&str, Share> = HashMap::new();
        for result in &self.results {
            let share = shares
                .entry(result.platform.as_deref().unwrap_or("(none)"))
                .or_default();
            share.tasks += 1;
            share.successes += usize::from(result.success);
            share.cost = share.cost + result.cost;
        }
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|(one, a), (other, b)| b.tasks.cmp(&a.tasks).then(one.cmp(other)));
        shares
    }

    fn write_failures(&self, text: &mut String) {
        if self.failure_count == 0 {
            return;
        }
        text.push_str("\n\nFailed Tasks:");
        for result in self
            .results
            .iter()
            .filter(|result| !result.success)
            .take(FAILURES)
        {
            let error = words::head(
                result.error.as_deref().unwrap_or("no reason was given"),
                ERROR,
            );
            let (number, index, id) = (result.index + 1, result.index, &result.task_id);
            let _written = write!(text, "\n  task {number} (index {index}), {id}: {error}");
        }
        if self.failure_count > FAILURES {
            let _written = write!(text, "\n  … and {} more", self.failure_count - FAILURES);
        }
    }
}
