//! Collects the outcomes of a batch's tasks, in their order, as they come.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use longshore_client::client::is_passing;
use longshore_shared::{
    broker::{BatchReport, Broker, TaskReport},
    chain::{ChainId, ChainState},
};

use super::{
    bar::{Bar, Tally},
    past::Past,
    report::{Report, Sums},
    results::{Results, TaskResult},
};
use crate::{commands::submit::presence::nobody, error::CommandError, session::Session};

/// Tasks that one command asks for. An outcome holds the whole answer, so not too many.
const CHUNK: usize = 200;

/// Of the tasks that are not done, so many of the first are looked at: jobs run about in the order that they
/// were put in, and what ends before its turn is held in memory.
const WINDOW: u32 = 2000;

/// While so many bytes are held, only the first is looked at.
const HELD_BYTES: usize = 16 << 20;

/// The pause between two looks, from busy to idle.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// After so long without any outcome, it is time to say why there may be none.
const SOON: Duration = Duration::from_secs(2);

/// What has come of the tasks of a batch.
pub(super) struct Collector<'a> {
    broker: &'a Broker,
    past: Past<'a>,
    id: &'a ChainId,
    /// The first task whose result is not kept yet.
    next: u32,
    /// Results of later ones.
    held: BTreeMap<u32, TaskResult>,
    held_bytes: usize,
    results: Results,
    sums: Sums,
    tally: Tally,
    bar: Bar,
    away: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        session: &'a Session,
        broker: &'a Broker,
        id: &'a ChainId,
    ) -> Result<Self, CommandError> {
        Ok(Self {
            broker,
            past: Past::new(session),
            id,
            next: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            results: Results::new()?,
            sums: Sums::default(),
            tally: Tally::default(),
            bar: Bar::new(),
            away: false,
        })
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.clear();
    }

    /// All that came, after [`Collector::run`] said how long it took.
    pub(super) fn into_report(self, duration: Duration) -> Result<Report, CommandError> {
        let kept = self.results.finish()?;
        Ok(Report::of(self.id.clone(), self.sums, kept, duration))
    }

    /// Runs until the result of every task is kept; gives the time from the batch's begin to its end.
    pub(super) async fn run(&mut self) -> Result<Duration, CommandError> {
        let began = Instant::now();
        let mut explained = false;
        let mut pause = PAUSE.0;
        loop {
            let look = Instant::now();
            let before = (self.next, self.held.len());
            if let Some(report) = self.patiently_look().await? {
                let ended = report.ended.unwrap_or(report.put);
                return Ok((ended - report.begun).to_std().unwrap_or_default());
            }
            self.bar.show(&self.tally);
            if !explained && self.tally.done == 0 && began.elapsed() > SOON {
                explained = true;
                self.explain().await;
            }
            if (self.next, self.held.len()) == before {
                // A look that took long is not followed by the next at once.
                tokio::time::sleep(pause.max(look.elapsed())).await;
                pause = (pause * 2).min(PAUSE.1);
            } else {
                pause = PAUSE.0;
            }
        }
    }

    /// Lets pass what passes, and says so once.
    async fn patiently_look(&mut self) -> Result<Option<BatchReport>, CommandError> {
        match self.look().await {
            Err(CommandError::Broker(error)) if is_passing(&error) => {
                if !self.away {
                    self.away = true;
                    self.bar
                        .note(&format!("{error}. Waiting for it to come back."));
                }
                Ok(None)
            }
            looked => {
                if self.away {
                    self.away = false;
                    self.bar.note("Redis is back.");
                }
                looked
            }
        }
    }

    /// One look at what comes next; the batch, if it was the last.
    async fn look(&mut self) -> Result<Option<BatchReport>, CommandError> {
        let report = known(self.broker, self.id).await?;
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
            let tasks = self.broker.batch_tasks(self.id, chunk).await?;
            let mut gone = Vec::new();
            for (index, task) in chunk.iter().zip(tasks) {
                // Of an id that a producer chose, the outcome may be that of a job before: until this one is
                // held against it, it is not known whether they are the same.
                if task.running && (task.own || task.outcome.is_none()) {
                    continue;
                }
                if task.outcome.is_some() {
                    self.hold(ended(*index, task));
                } else {
                    gone.push((*index, task));
                }
            }
            for result in self.past.look(gone).await {
                self.hold(result);
            }
            self.keep()?;
        }
        if report.state.is_final() && self.next >= sent {
            self.never_ran(&report)?;
            return Ok(Some(report));
        }
        Ok(None)
    }

    fn hold(&mut self, result: TaskResult) {
        self.held_bytes += result.bytes();
        self.held.insert(result.index, result);
    }

    /// Keeps those results whose turn it is.
    fn keep(&mut self) -> Result<(), CommandError> {
        while let Some(result) = self.held.remove(&self.next) {
            self.held_bytes = self.held_bytes.saturating_sub(result.bytes());
            self.sums.add(&result);
            self.results.push(&result)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Of a batch that was cancelled: the tasks that had not come to the queue.
    fn never_ran(&mut self, report: &BatchReport) -> Result<(), CommandError> {
        for index in self.next..u32::try_from(report.lines).unwrap_or(u32::MAX) {
            let reason = "the batch was cancelled before the task began";
            let id = self.id.task(index);
            self.hold(TaskResult::without(
                index,
                id,
                "cancelled",
                reason.to_owned(),
            ));
            self.keep()?;
        }
        Ok(())
    }

    /// Says why there may be no outcomes yet. A courtesy: what goes wrong with it is told by the next look.
    async fn explain(&self) {
        let Ok(Some(report)) = self.broker.batch(self.id).await else {
            return;
        };
        if let Ok(Some(nobody)) = nobody(self.broker, &report.queue).await {
            self.bar.note(&format!(
                "{nobody}; the tasks wait. Ctrl-C leaves them where they are."
            ));
        }
        if report.state == ChainState::Open {
            self.bar
                .note("Not all of its tasks are in yet: `longshore batch show` tells more.");
        }
    }
}

/// A batch that somebody knows.
pub(super) async fn known(broker: &Broker, id: &ChainId) -> Result<BatchReport, CommandError> {
    let Some(report) = broker.batch(id).await? else {
        return Err(CommandError::Input(format!(
            "batch `{id}` is not known, or ended so long ago that Redis keeps it no more \
             (`retention.chains`); what it cost: `longshore costs --chain-id {id}`"
        )));
    };
    super::put::check_kind(id, &report)?;
    Ok(report)
}

/// The result of a task of which there is an outcome, or that has none.
pub(super) fn ended(index: u32, task: TaskReport) -> TaskResult {
    let (id, refused) = (task.job, task.own && task.failed);
    match task.outcome {
        // It failed, but what stands under its id did not, or not yet.
        Some(outcome) if !(refused && outcome.success) => TaskResult::of(index, outcome),
        _ if refused => {
            let reason = format!(
                "id `{id}` belongs to another job, which has other content; use another id, or none"
            );
            TaskResult::without(index, id, "id_conflict", reason)
        }
        _ => {
            let reason = "neither Redis nor Postgres knows how it ended".to_owned();
            TaskResult::without(index, id, "unknown", reason)
        }
    }
}
