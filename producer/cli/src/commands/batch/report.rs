//! The report of a batch that has ended.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt::Write as _, path::Path, time::Duration};

use longshore_client::{ChainId, Usd};
use serde::Serialize;

use super::{
    results::{StoredResults, TaskResult},
    task_count,
};
use crate::render::{
    money::{dollars, exact},
    text::one_line,
    time::seconds_from_ms,
};

/// Maximum number of failures listed.
const FAILURES: usize = 10;

/// Characters shown of an error.
const ERROR: usize = 200;

/// The totals of all ended tasks.
#[derive(Debug, Default)]
pub(super) struct Sums {
    tasks: u64,
    successes: u64,
    cost: Usd,
    shares: HashMap<String, Share>,
    /// Descriptions of the first failures.
    failures: Vec<String>,
}

impl Sums {
    pub(super) fn add(&mut self, result: &TaskResult) {
        self.tasks += 1;
        self.successes += u64::from(result.success);
        self.cost = self.cost + result.cost;
        let platform = result.platform.as_deref().unwrap_or("(none)");
        let share = match self.shares.get_mut(platform) {
            Some(share) => share,
            None => self.shares.entry(platform.to_owned()).or_default(),
        };
        share.tasks += 1;
        share.successes += u64::from(result.success);
        share.cost = share.cost + result.cost;
        if !result.success && self.failures.len() < FAILURES {
            self.failures.push(describe_failure(result));
        }
    }
}

/// A failed task in one line.
pub(super) fn describe_failure(result: &TaskResult) -> String {
    let error = result.error.as_deref().unwrap_or("no reason given");
    let (number, index) = (u64::from(result.index) + 1, result.index);
    format!(
        "task {number} (index {index}), {}: {}",
        result.task_id,
        one_line(error, ERROR)
    )
}

/// The result of a batch; the document that `--output` and `--format json` write.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    total_tasks: u64,
    success_count: u64,
    failure_count: u64,
    success_rate: f64,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    /// Seconds from the first enqueue to the last outcome.
    total_duration: f64,
    chain_id: ChainId,
    results: StoredResults,
    #[serde(skip)]
    sums: Sums,
}

/// The tasks of one platform.
#[derive(Debug, Default)]
struct Share {
    tasks: u64,
    successes: u64,
    cost: Usd,
}

impl Report {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of fewer than 2^52 tasks"
    )]
    pub(super) fn new(
        chain_id: ChainId,
        sums: Sums,
        results: StoredResults,
        duration: Duration,
    ) -> Self {
        Self {
            total_tasks: sums.tasks,
            success_count: sums.successes,
            failure_count: sums.tasks - sums.successes,
            success_rate: sums.successes as f64 / sums.tasks.max(1) as f64,
            total_cost: sums.cost,
            total_duration: seconds_from_ms(
                u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            ),
            chain_id,
            results,
            sums,
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.failure_count
    }

    /// The report as text.
    pub(super) fn to_text(&self, saved: Option<&Path>) -> String {
        let mut text = format!(
            "\n=== Batch Complete ===\nTotal: {}\nSuccess: {}\nFailed: {}\nSuccess Rate: {:.1}%\nTotal Cost: {}\nTotal \
             Duration: {:.2}s\n\nBy Platform:",
            task_count(self.total_tasks),
            self.success_count,
            self.failure_count,
            self.rate(),
            dollars(self.total_cost),
            self.total_duration,
        );
        // Writing to a string does not fail.
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

    /// The success rate in percent; below 100.0 if any task failed.
    fn rate(&self) -> f64 {
        let percent = self.success_rate * 100.0;
        if self.failure_count > 0 {
            percent.min(99.9)
        } else {
            percent
        }
    }

    /// The platforms, the one with the most tasks first.
    fn shares(&self) -> Vec<(&String, &Share)> {
        let mut shares: Vec<_> = self.sums.shares.iter().collect();
        shares.sort_by(|(name_a, a), (name_b, b)| b.tasks.cmp(&a.tasks).then(name_a.cmp(name_b)));
        shares
    }

    fn write_failures(&self, text: &mut String) {
        if self.failure_count == 0 {
            return;
        }
        text.push_str("\n\nFailed Tasks:");
        for failure in &self.sums.failures {
            let _written = write!(text, "\n  {failure}");
        }
        let more = self.failure_count - self.sums.failures.len() as u64;
        if more > 0 {
            let _written = write!(text, "\n  … and {more} more");
        }
    }
}
