//! Collects the results of a batch's tasks as the tasks end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use longshore_client::{BatchReport, ChainId, ChainState, Client, JobState, Usd};

use super::{
    destination::{Destination, ResultWriter},
    known_batch,
    pace::TimeLeft,
    recorded::RecordedOutcomes,
    report::{Report, Sums},
    results::TaskResult,
    watch::{BatchWatch, Look},
};
use crate::{
    error::CommandError,
    render::{money::dollars, progress::Progress},
    session::Session,
    waiting::{EXPLAIN_AFTER, Outage, StatusLine},
};

/// Tasks read by one call. Small, because an outcome holds the whole answer.
const CHUNK: usize = 200;

/// Open tasks read in each round. They take turns, so that some that wait do not hold up the results of others.
const WINDOW: usize = 2000;

/// The pause between two rounds, from busy to idle.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The line of progress, without and with what the tasks wait for.
const BAR: &str = "{wide_bar} {pos}/{len} done, {prefix} {elapsed}";
const BAR_AND_WAIT: &str = "{wide_bar} {pos}/{len} done, {prefix} {elapsed}\n{wide_msg}";

/// The progress of the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) cost: Usd,
}

/// How the collection ended.
pub(super) enum Collected {
    /// All tasks have results; the batch has ended in this state and took so long.
    All(ChainState, Duration),
    /// Nobody reads the results any more.
    Abandoned,
}

/// Collects the results of a batch.
pub(super) struct Collector<'a> {
    client: &'a Client,
    recorded: RecordedOutcomes<'a>,
    id: &'a ChainId,
    /// Tasks that were enqueued and have no result yet.
    open: BTreeSet<u32>,
    /// The tasks before this one were enqueued.
    next: u32,
    /// The first of the open tasks that are read next.
    turn: u32,
    writer: ResultWriter,
    sums: Sums,
    tally: Tally,
    progress: BatchProgress,
    watch: BatchWatch<'a>,
    outage: Outage,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        session: &'a Session,
        client: &'a Client,
        id: &'a ChainId,
        destination: Destination,
    ) -> Result<Self, CommandError> {
        let writer = destination.start()?;
        Ok(Self {
            client,
            recorded: RecordedOutcomes::new(session),
            id,
            open: BTreeSet::new(),
            next: 0,
            turn: 0,
            progress: BatchProgress::new(writer.is_terminal()),
            writer,
            sums: Sums::default(),
            tally: Tally::default(),
            watch: BatchWatch::new(client, id),
            outage: Outage::default(),
        })
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Removes the progress bar.
    pub(super) fn clear(&self) {
        self.progress.bar.clear();
    }

    /// Writes the results that were collected before the user stopped waiting.
    pub(super) async fn write_rest(mut self) -> Result<(), CommandError> {
        self.writer.finish().await.map(drop)
    }

    /// The report, after [`Collector::run`] returned the state and the duration.
    pub(super) async fn report(
        mut self,
        state: ChainState,
        duration: Duration,
    ) -> Result<(Report, ResultWriter), CommandError> {
        let stored = self.writer.finish().await?;
        let report = Report::new(self.id.clone(), state, self.sums, stored, duration);
        Ok((report, self.writer))
    }

    /// Runs until every task has a result.
    pub(super) async fn run(&mut self) -> Result<Collected, CommandError> {
        let began = Instant::now();
        let (mut explained, mut pause) = (false, PAUSE.0);
        loop {
            let round = Instant::now();
            let before = self.sums.tasks();
            let collected = self.collect_round().await;
            let progress = &self.progress;
            let collected = self
                .outage
                .tolerate(collected, |text| progress.bar.note(text))?;
            if self.writer.is_abandoned() {
                return Ok(Collected::Abandoned);
            }
            if let Some(report) = collected {
                if let Some(ended) = self.ended(&report).await? {
                    return Ok(ended);
                }
                if began.elapsed() > EXPLAIN_AFTER {
                    self.explain(&report, !explained).await;
                    explained = true;
                }
            }
            self.progress.show(self.tally);
            if self.sums.tasks() == before {
                // After a long round, a pause of the same length.
                tokio::time::sleep(pause.max(round.elapsed())).await;
                pause = (pause * 2).min(PAUSE.1);
            } else {
                pause = PAUSE.0;
            }
        }
    }

    /// Reads the open tasks, and writes the results of those that have ended. Returns the batch as it was before.
    async fn collect_round(&mut self) -> Result<BatchReport, CommandError> {
        let report = known_batch(self.client, self.id).await?;
        self.tally = Tally {
            total: report.lines,
            done: report.done(),
            failed: report.failed + report.cancelled,
            cost: report.cost,
        };
        self.open_sent(&report);
        let due: Vec<u32> = self.open.range(self.turn..).copied().take(WINDOW).collect();
        // After the last one, the first has its turn again.
        let last = due.last().filter(|_| due.len() == WINDOW);
        self.turn = last.map_or(0, |last| last.saturating_add(1));
        for chunk in due.chunks(CHUNK) {
            self.collect_chunk(chunk).await?;
        }
        Ok(report)
    }

    /// Opens tasks that were enqueued: as many as may be in flight, and those of a round.
    fn open_sent(&mut self, report: &BatchReport) {
        let in_flight = usize::try_from(report.parallel).unwrap_or(usize::MAX);
        let most = in_flight.saturating_add(WINDOW);
        let room = most.saturating_sub(self.open.len());
        let sent = u32::try_from(report.sent()).unwrap_or(u32::MAX);
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let end = sent.min(self.next.saturating_add(room));
        self.open.extend(self.next..end);
        self.next = self.next.max(end);
    }

    async fn collect_chunk(&mut self, indices: &[u32]) -> Result<(), CommandError> {
        let tasks = self.client.batch_tasks(self.id, indices).await?;
        let mut gone = Vec::new();
        for (index, task) in indices.iter().zip(tasks) {
            // An outcome under the task's own id may belong to an earlier job, until a worker has compared the
            // two.
            if task.running && (task.own || task.outcome.is_none()) {
                continue;
            }
            if task.outcome.is_some() {
                self.add(TaskResult::from_report(*index, task)).await?;
            } else {
                gone.push((*index, task));
            }
        }
        for result in self.recorded.results(gone).await {
            self.add(result).await?;
        }
        Ok(())
    }

    async fn add(&mut self, result: TaskResult) -> Result<(), CommandError> {
        self.open.remove(&result.index);
        self.sums.add(&result);
        self.writer.write(&result).await
    }

    /// How the batch ended, if it has and every task has a result.
    async fn ended(&mut self, report: &BatchReport) -> Result<Option<Collected>, CommandError> {
        let is_collected = self.open.is_empty() && u64::from(self.next) >= report.sent();
        if !report.state.is_final() || !is_collected {
            return Ok(None);
        }
        self.add_unstarted(report).await?;
        let ended = report.ended.unwrap_or(report.put);
        let took = (ended - report.begun).to_std().unwrap_or_default();
        Ok(Some(Collected::All(report.state, took)))
    }

    /// Adds the tasks that never reached the queue, because the batch was cancelled, or failed with `--fail-fast`.
    async fn add_unstarted(&mut self, report: &BatchReport) -> Result<(), CommandError> {
        let reason = if report.state == ChainState::Failed {
            "another task failed before the task started (--fail-fast)"
        } else {
            "the batch was cancelled before the task started"
        };
        for index in self.next..u32::try_from(report.lines).unwrap_or(u32::MAX) {
            let id = self.id.task(index);
            let state = JobState::Cancelled;
            let reason = reason.to_owned();
            self.add(TaskResult::without_outcome(
                index,
                id,
                state,
                "cancelled",
                reason,
            ))
            .await?;
        }
        Ok(())
    }

    /// Says what the tasks wait for.
    async fn explain(&mut self, report: &BatchReport, is_first: bool) {
        if is_first && report.state == ChainState::Open {
            self.progress.bar.note(&format!(
                "Not all tasks are enqueued yet; for details: `longshore batch show {}`",
                self.id
            ));
        }
        if let Some(look) = self.watch.look(report).await {
            self.progress.tell(look);
        }
    }
}

/// The bar, and what is said beside it.
struct BatchProgress {
    bar: Progress,
    line: StatusLine,
    time_left: Option<TimeLeft>,
}

impl BatchProgress {
    /// `is_hidden`: there would be results and a bar in the same place.
    fn new(is_hidden: bool) -> Self {
        let bar = if is_hidden {
            Progress::hidden()
        } else {
            Progress::bar(BAR)
        };
        let progress = Self {
            bar,
            line: StatusLine::default(),
            time_left: None,
        };
        progress.show(Tally::default());
        progress
    }

    fn show(&self, tally: Tally) {
        let Tally {
            total,
            done,
            failed,
            cost,
        } = tally;
        let left = self.time_left.map(|left| format!(", {left}"));
        let left = left.unwrap_or_default();
        self.bar.set(done, total);
        self.bar
            .set_prefix(format!("{failed} failed, {}{left}", dollars(cost)));
    }

    fn tell(&mut self, look: Look) {
        self.time_left = look.time_left;
        if let Some(status) = look.status {
            self.bar.set_template(BAR_AND_WAIT);
            self.line.show(&status, &self.bar);
        } else {
            self.bar.set_template(BAR);
            self.line.forget();
        }
    }
}
