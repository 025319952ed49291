//! The report of a batch that has ended.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::Path,
    time::Duration,
};

use longshore_client::{ChainId, ChainState, Usd};
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
    cost_estimated: bool,
    shares: HashMap<String, Share>,
    /// Descriptions of the first failures, by index.
    failures: BTreeMap<u32, String>,
}

impl Sums {
    pub(super) fn add(&mut self, result: &TaskResult) {
        let outcome = &result.outcome;
        self.tasks += 1;
        self.successes += u64::from(outcome.success);
        self.cost = self.cost + outcome.cost_usd;
        self.cost_estimated |= outcome.cost_estimated;
        let platform = outcome.platform.as_deref().unwrap_or("(none)");
        let share = match self.shares.get_mut(platform) {
            Some(share) => share,
            None => self.shares.entry(platform.to_owned()).or_default(),
        };
        share.tasks += 1;
        share.successes += u64::from(outcome.success);
        share.cost = share.cost + outcome.cost_usd;
        if !outcome.success {
            self.add_failure(result);
        }
    }

    /// Tasks that have a result.
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    fn add_failure(&mut self, result: &TaskResult) {
        let last = self.failures.last_key_value().map(|(index, _)| *index);
        if self.failures.len() >= FAILURES && last < Some(result.index) {
            return;
        }
        self.failures.insert(result.index, describe_failure(result));
        if self.failures.len() > FAILURES {
            self.failures.pop_last();
        }
    }
}

/// A failed task in one line.
pub(super) fn describe_failure(result: &TaskResult) -> String {
    let error = result.outcome.error.as_deref();
    let error = error.unwrap_or("no reason given");
    let (number, index) = (u64::from(result.index) + 1, result.index);
    format!(
        "task {number} (index {index}), {}: {}",
        result.outcome.id,
        one_line(error, ERROR)
    )
}

/// The result of a batch; the document that `--output` and `--format json` write.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    id: ChainId,
    state: ChainState,
    total_tasks: u64,
    success_count: u64,
    failure_count: u64,
    success_rate: f64,
    cost_usd: Usd,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cost_estimated: bool,
    /// From the first enqueue to the last outcome.
    duration_ms: u64,
    /// The old form of `cost_usd`: a number.
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    /// The old form of `duration_ms`: seconds.
    total_duration: f64,
    /// The old name of `id`.
    chain_id: ChainId,
    /// Absent if they were written as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<StoredResults>,
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
        id: ChainId,
        state: ChainState,
        sums: Sums,
        results: Option<StoredResults>,
        duration: Duration,
    ) -> Self {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            state,
            total_tasks: sums.tasks,
            success_count: sums.successes,
            failure_count: sums.tasks - sums.successes,
            success_rate: sums.successes as f64 / sums.tasks.max(1) as f64,
            cost_usd: sums.cost,
            cost_estimated: sums.cost_estimated,
            duration_ms,
            total_cost: sums.cost,
            total_duration: seconds_from_ms(duration_ms),
            chain_id: id.clone(),
            id,
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
            dollars(self.cost_usd),
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
        for failure in self.sums.failures.values() {
            let _written = write!(text, "\n  {failure}");
        }
        let more = self.failure_count - self.sums.failures.len() as u64;
        if more > 0 {
            let _written = write!(text, "\n  … and {more} more");
        }
    }
}
