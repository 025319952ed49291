//! Puts the tasks of a batch in, each once, whatever dies meanwhile.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_client::client::is_passing;
use longshore_shared::{
    broker::{BatchPart, BatchPlan, BatchPut, BatchReport, BatchTask, Broker, BrokerError},
    chain::{ChainId, ChainKind, ChainState},
};
use tokio::sync::mpsc;

use super::spool::{Records, Spool};
use crate::{commands::words::count, error::CommandError, output};

/// Tasks that go in together: a few milliseconds of Redis's time.
const TOGETHER: usize = 1000;

/// And so many bytes of them.
const TOGETHER_BYTES: usize = 4 << 20;

/// Parts that are made ready while one is under way.
const AHEAD: usize = 1;

/// The pause before Redis is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What goes into a batch, and how.
pub(super) struct Putting<'a> {
    pub(super) broker: &'a Broker,
    pub(super) plan: &'a BatchPlan,
    pub(super) spool: &'a Spool,
}

/// What a look at what was put in comes to.
enum Stand {
    /// So many tasks are in, with this digest.
    Open(u64, String),
    /// All are.
    Closed,
}

/// What of a batch is in already: it has to be one, and these have to be its first tasks.
pub(super) fn check_kind(id: &ChainId, report: &BatchReport) -> Result<(), CommandError> {
    if report.kind == ChainKind::Batch {
        return Ok(());
    }
    Err(CommandError::Input(format!(
        "`{id}` is a chain and no batch; see `longshore chain show {id}`, or use another --id"
    )))
}

impl Putting<'_> {
    /// Puts in what is not in yet, and closes the batch.
    pub(super) async fn run(&self) -> Result<(), CommandError> {
        let mut away = false;
        loop {
            match self.once().await {
                Ok(true) => return Ok(()),
                // Another producer of the same batch was quicker, or an answer was lost.
                Ok(false) => {}
                Err(CommandError::Broker(error)) if is_passing(&error) => {
                    if !away {
                        away = true;
                        output::note(format_args!("{error}. Waiting for it to come back."));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `false` when it has to be looked at again.
    async fn once(&self) -> Result<bool, CommandError> {
        let Stand::Open(lines, digest) = self.stand().await? else {
            return Ok(true);
        };
        let clock = Clock::of(self.broker).await?;
        let (to, mut parts) = mpsc::channel(AHEAD);
        let (records, plan) = (self.spool.records()?, self.plan.clone());
        let feed =
            tokio::task::spawn_blocking(move || feed(records, lines, &digest, &plan, clock, &to));
        let sent = self.send(&mut parts).await;
        // The reader of the file goes before another begins.
        drop(parts);
        let fed = feed.await.map_err(|error| CommandError::Io {
            what: "the tasks cannot be read".to_owned(),
            source: error.into(),
        })?;
        if !sent? {
            return Ok(false);
        }
        fed?;
        let (tasks, digest) = (u64::from(self.spool.count), &self.spool.digest);
        Ok(self
            .broker
            .close_batch(&self.plan.id, tasks, digest)
            .await?)
    }

    /// `false` when other tasks are in than those before a part.
    async fn send(&self, parts: &mut mpsc::Receiver<BatchPart>) -> Result<bool, BrokerError> {
        while let Some(part) = parts.recv().await {
            if self.broker.put_in_batch(self.plan, &part).await? != BatchPut::Done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn stand(&self) -> Result<Stand, CommandError> {
        let id = &self.plan.id;
        let Some(report) = self.broker.batch(id).await? else {
            return Ok(Stand::Open(0, String::new()));
        };
        check_kind(id, &report)?;
        if report.state == ChainState::Open {
            return Ok(Stand::Open(report.lines, report.digest));
        }
        let whole =
            report.lines == u64::from(self.spool.count) && report.digest == self.spool.digest;
        if whole {
            return Ok(Stand::Closed);
        }
        let state = report.state;
        if matches!(state, ChainState::Stopping | ChainState::Cancelled) {
            return Err(CommandError::Input(format!(
                "batch `{id}` was cancelled when {} of its tasks were in; use another --id",
                count(report.lines)
            )));
        }
        Err(other(id, report.lines))
    }
}

/// The tasks that are in are not the first of the file.
fn other(id: &ChainId, lines: u64) -> CommandError {
    CommandError::Input(format!(
        "batch `{id}` was begun with other tasks than these: the {} that are in are not the first of them; use \
         another --id, or the file and the options that it was begun with",
        count(lines)
    ))
}

/// The server's clock, as it went on since it was asked.
#[derive(Debug, Clone, Copy)]
struct Clock {
    server: DateTime<Utc>,
    asked: Instant,
}

impl Clock {
    async fn of(broker: &Broker) -> Result<Self, BrokerError> {
        let ms = broker.server_time_ms().await?;
        Ok(Self {
            server: DateTime::from_timestamp_millis(ms).unwrap_or_default(),
            asked: Instant::now(),
        })
    }

    fn now(self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.asked.elapsed()).unwrap_or_default();
        // To the millisecond, as the server tells it.
        let ms = (self.server + passed).timestamp_millis();
        DateTime::from_timestamp_millis(ms).unwrap_or(self.server)
    }
}

/// Makes parts of what comes after the first `lines` tasks, whose digest has to be `digest`.
fn feed(
    mut records: Records,
    lines: u64,
    digest: &str,
    plan: &BatchPlan,
    clock: Clock,
    to: &mpsc::Sender<BatchPart>,
) -> Result<(), CommandError> {
    for _ in 0..lines {
        if records.next()?.is_none() {
            return Err(other(&plan.id, lines));
        }
    }
    if records.digest() != digest {
        return Err(other(&plan.id, lines));
    }
    let mut at = lines;
    loop {
        let before = records.digest();
        let tasks = tasks(&mut records, at, plan, clock)?;
        if tasks.is_empty() {
            return Ok(());
        }
        let next = at + tasks.len() as u64;
        let part = BatchPart {
            at,
            before,
            after: records.digest(),
            tasks,
        };
        at = next;
        if to.blocking_send(part).is_err() {
            // Nobody takes them: it has failed, or is done by another.
            return Ok(());
        }
    }
}

/// As many as go in together.
fn tasks(
    records: &mut Records,
    at: u64,
    plan: &BatchPlan,
    clock: Clock,
) -> Result<Vec<BatchTask>, CommandError> {
    let now = clock.now();
    let (mut tasks, mut bytes) = (Vec::with_capacity(TOGETHER), 0);
    while tasks.len() < TOGETHER && bytes < TOGETHER_BYTES {
        let Some(record) = records.next()? else { break };
        bytes += record.message.len();
        let index = u32::try_from(at + tasks.len() as u64).unwrap_or(u32::MAX);
        tasks.push(BatchTask::new(
            &plan.id,
            index,
            record.own,
            record.identified,
            record.message,
            now,
        ));
    }
    Ok(tasks)
}
