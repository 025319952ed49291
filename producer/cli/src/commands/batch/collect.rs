//! Collects the results of a batch's tasks in order, as the tasks end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use longshore_client::{BatchReport, ChainId, ChainState, Client, Usd};

use super::{
    known_batch,
    recorded::RecordedOutcomes,
    report::{Report, Sums},
    results::{Results, TaskResult},
};
use crate::{
    error::CommandError,
    render::{money::dollars, progress::Progress},
    session::Session,
    waiting::{EXPLAIN_AFTER, Outage, missing_worker},
};

/// Tasks read by one call. Small, because an outcome holds the whole answer.
const CHUNK: usize = 200;

/// Open tasks read in each round. Jobs run roughly in the order of the tasks; a result that is early is held in
/// memory.
const WINDOW: u32 = 2000;

/// While more bytes than this are held, only the first open task is read.
const HELD_BYTES: usize = 16 << 20;

/// The pause between two rounds, from busy to idle.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The progress of the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) cost: Usd,
}

/// Collects the results of a batch.
pub(super) struct Collector<'a> {
    client: &'a Client,
    recorded: RecordedOutcomes<'a>,
    id: &'a ChainId,
    /// The first task whose result is not stored yet.
    next: u32,
    /// Results of later tasks.
    held: BTreeMap<u32, TaskResult>,
    held_bytes: usize,
    results: Results,
    sums: Sums,
    tally: Tally,
    bar: Progress,
    outage: Outage,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        session: &'a Session,
        client: &'a Client,
        id: &'a ChainId,
    ) -> Result<Self, CommandError> {
        let collector = Self {
            client,
            recorded: RecordedOutcomes::new(session),
            id,
            next: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            results: Results::new()?,
            sums: Sums::default(),
            tally: Tally::default(),
            bar: Progress::bar("{wide_bar} {pos}/{len} done, {msg} {elapsed}"),
            outage: Outage::default(),
        };
        collector.show_tally();
        Ok(collector)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Removes the progress bar.
    pub(super) fn clear(&self) {
        self.bar.clear();
    }

    /// The report, after [`Collector::run`] returned the duration.
    pub(super) fn into_report(self, duration: Duration) -> Result<Report, CommandError> {
        let kept = self.results.finish()?;
        Ok(Report::new(self.id.clone(), self.sums, kept, duration))
    }

    /// Runs until every task has a result. Returns the time from the batch's start to its end.
    pub(super) async fn run(&mut self) -> Result<Duration, CommandError> {
        let began = Instant::now();
        let mut explained = false;
        let mut pause = PAUSE.0;
        loop {
            let round = Instant::now();
            let before = (self.next, self.held.len());
            let collected = self.collect_round().await;
            let ended = self
                .outage
                .tolerate(collected, |text| self.bar.note(text))?
                .flatten();
            if let Some(report) = ended {
                let ended = report.ended.unwrap_or(report.put);
                return Ok((ended - report.begun).to_std().unwrap_or_default());
            }
            self.show_tally();
            if !explained && self.tally.done == 0 && began.elapsed() > EXPLAIN_AFTER {
                explained = true;
                self.explain().await;
            }
            if (self.next, self.held.len()) == before {
                // After a long round, a pause of the same length.
                tokio::time::sleep(pause.max(round.elapsed())).await;
                pause = (pause * 2).min(PAUSE.1);
            } else {
                pause = PAUSE.0;
            }
        }
    }

    fn show_tally(&self) {
        let Tally {
            total,
            done,
            failed,
            cost,
        } = self.tally;
        self.bar.set(done, total);
        self.bar
            .set_message(format!("{failed} failed, {}", dollars(cost)));
    }

    /// Reads the next tasks. Returns the batch if none is left.
    async fn collect_round(&mut self) -> Result<Option<BatchReport>, CommandError> {
        let report = known_batch(self.client, self.id).await?;
        self.tally = Tally {
            total: report.lines,
            done: report.done(),
            failed: report.failed + report.cancelled,
            cost: report.cost,
        };
        let sent = u32::try_from(report.sent()).unwrap_or(u32::MAX);
        let window = if self.held_bytes > HELD_BYTES {
            1
        } else {
            WINDOW
        };
        let end = sent.min(self.next.saturating_add(window));
        let due: Vec<u32> = (self.next..end)
            .filter(|index| !self.held.contains_key(index))
            .collect();
        for chunk in due.chunks(CHUNK) {
            let tasks = self.client.batch_tasks(self.id, chunk).await?;
            let mut gone = Vec::new();
            for (index, task) in chunk.iter().zip(tasks) {
                // An outcome under the task's own id may belong to an earlier job, until a worker has compared the
                // two.
                if task.running && (task.own || task.outcome.is_none()) {
                    continue;
                }
                if task.outcome.is_some() {
                    self.hold(TaskResult::from_report(*index, task));
                } else {
                    gone.push((*index, task));
                }
            }
            for result in self.recorded.results(gone).await {
                self.hold(result);
            }
            self.keep_next()?;
        }
        if report.state.is_final() && self.next >= sent {
            self.add_unstarted(&report)?;
            return Ok(Some(report));
        }
        Ok(None)
    }

    fn hold(&mut self, result: TaskResult) {
        self.held_bytes += result.bytes();
        self.held.insert(result.index, result);
    }

    /// Stores held results in order, up to the first missing one.
    fn keep_next(&mut self) -> Result<(), CommandError> {
        while let Some(result) = self.held.remove(&self.next) {
            self.held_bytes = self.held_bytes.saturating_sub(result.bytes());
            self.sums.add(&result);
            self.results.push(&result)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Adds the tasks that never reached the queue, because the batch was cancelled, or failed with `--fail-fast`.
    fn add_unstarted(&mut self, report: &BatchReport) -> Result<(), CommandError> {
        let reason = if report.state == ChainState::Failed {
            "another task failed before the task started (--fail-fast)"
        } else {
            "the batch was cancelled before the task started"
        };
        for index in self.next..u32::try_from(report.lines).unwrap_or(u32::MAX) {
            let id = self.id.task(index);
            self.hold(TaskResult::without_outcome(
                index,
                id,
                "cancelled",
                reason.to_owned(),
            ));
            self.keep_next()?;
        }
        Ok(())
    }

    /// Explains why there may be no outcomes yet. Errors are left to the next round.
    async fn explain(&self) {
        let Ok(Some(report)) = self.client.batch(self.id).await else {
            return;
        };
        if let Ok(Some(missing)) = missing_worker(self.client.broker(), &report.queue).await {
            self.bar.note(&format!(
                "{missing}; the tasks wait in the queue. Ctrl-C stops waiting and leaves them there."
            ));
        }
        if report.state == ChainState::Open {
            self.bar.note(&format!(
                "Not all tasks are enqueued yet; for details: `longshore batch show {}`",
                self.id
            ));
        }
    }
}
