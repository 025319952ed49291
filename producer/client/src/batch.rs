//! Batches: independent tasks with a limit on how many are in flight at once.

mod tasks;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{
    BatchPart, BatchPlan, BatchPut, BatchReport, BatchTask, Broker, BrokerError, TaskReport,
};
use longshore_protocol::chain::{ChainId, ChainKind, ChainState};
use tokio::sync::mpsc;

pub use self::tasks::{BatchReader, BatchTasks, BatchWriter, StoredTask};
use crate::{client::Client, error::ClientError, outcome::poll};

/// Tasks enqueued by one call: a few milliseconds of Redis's time.
const PART_TASKS: usize = 1000;

/// Bytes of tasks enqueued by one call.
const PART_BYTES: usize = 4 << 20;

/// Parts prepared while another is being sent.
const PARTS_AHEAD: usize = 1;

/// How much of a batch is in Redis.
enum Progress {
    /// This many tasks, with this digest.
    Open { enqueued: u64, digest: String },
    /// All of them.
    Closed,
}

impl Client {
    /// Enqueues the tasks of a batch. Tasks that the batch already holds are not enqueued again, so a
    /// call that failed, even in a process that died, can be repeated with the same tasks.
    ///
    /// ```no_run
    /// # async fn example(client: longshore_client::Client) -> Result<(), longshore_client::ClientError> {
    /// use longshore_client::{BatchPlan, BatchWriter, ChainId, Job, MessageLimits, QueueName};
    ///
    /// let mut writer = BatchWriter::new()?;
    /// for city in ["Berlin", "Lima", "Oslo"] {
    ///     writer.push(&Job::prompt(format!("Describe {city}.")), &MessageLimits::default())?;
    /// }
    /// let plan = BatchPlan {
    ///     id: ChainId::fresh(),
    ///     name: "cities".to_owned(),
    ///     queue: QueueName::default(),
    ///     parallel: 5,
    ///     fail_fast: false,
    /// };
    /// client.enqueue_batch(&plan, &writer.finish()?).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue_batch(
        &self,
        plan: &BatchPlan,
        tasks: &BatchTasks,
    ) -> Result<(), ClientError> {
        // Each round fails to finish only if another producer of the same batch made progress, or an
        // answer was lost.
        while !self.enqueue_batch_once(plan, tasks).await? {}
        Ok(())
    }

    /// Progress and cost of a batch; `None` if the batch is not, or no longer, in Redis.
    pub async fn batch(&self, id: &ChainId) -> Result<Option<BatchReport>, ClientError> {
        match self.broker().batches().get(id).await? {
            Some(report) if report.kind != ChainKind::Batch => {
                Err(ClientError::NotABatch { id: id.clone() })
            }
            report => Ok(report),
        }
    }

    /// The tasks of a batch at these indices, with the outcomes that are still kept. An outcome holds
    /// the whole answer: ask for at most a few hundred at once.
    pub async fn batch_tasks(
        &self,
        id: &ChainId,
        indices: &[u32],
    ) -> Result<Vec<TaskReport>, ClientError> {
        Ok(self.broker().batches().tasks(id, indices).await?)
    }

    /// Indices of tasks that ended without success, in order; at most as many as Redis keeps.
    pub async fn failed_batch_tasks(&self, id: &ChainId) -> Result<Vec<u32>, ClientError> {
        Ok(self.broker().batches().failed_tasks(id).await?)
    }

    /// Waits until every task of a batch has ended; `None` after `timeout`, or if Redis does not have
    /// the batch. Tolerates temporary failures of Redis.
    pub async fn wait_batch(
        &self,
        id: &ChainId,
        timeout: Duration,
    ) -> Result<Option<BatchReport>, ClientError> {
        let ended = poll(timeout, async || {
            Ok(match self.batch(id).await? {
                Some(report) if !report.state.is_final() => None,
                ended => Some(ended),
            })
        });
        Ok(ended.await?.flatten())
    }

    /// Whether the batch now holds all tasks and is closed.
    async fn enqueue_batch_once(
        &self,
        plan: &BatchPlan,
        tasks: &BatchTasks,
    ) -> Result<bool, ClientError> {
        let Progress::Open { enqueued, digest } = self.batch_progress(plan, tasks).await? else {
            return Ok(true);
        };
        let clock = ServerClock::read(self.broker()).await?;
        let (sender, mut parts) = mpsc::channel(PARTS_AHEAD);
        let (reader, feed_plan) = (tasks.reader()?, plan.clone());
        let feed = tokio::task::spawn_blocking(move || {
            feed_parts(reader, enqueued, &digest, &feed_plan, clock, &sender)
        });
        let sent = send_parts(self.broker(), plan, &mut parts).await;
        // The reader must be gone before another one begins: they share the file's position.
        drop(parts);
        let fed = feed
            .await
            .map_err(|error| ClientError::TemporaryFile(error.into()))?;
        if !sent? {
            return Ok(false);
        }
        fed?;
        Ok(self
            .broker()
            .batches()
            .close(&plan.id, tasks.count().into(), tasks.digest())
            .await?)
    }

    async fn batch_progress(
        &self,
        plan: &BatchPlan,
        tasks: &BatchTasks,
    ) -> Result<Progress, ClientError> {
        let id = &plan.id;
        let Some(report) = self.batch(id).await? else {
            return Ok(Progress::Open {
                enqueued: 0,
                digest: String::new(),
            });
        };
        if report.state == ChainState::Open {
            return Ok(Progress::Open {
                enqueued: report.lines,
                digest: report.digest,
            });
        }
        if report.lines == u64::from(tasks.count()) && report.digest == tasks.digest() {
            return Ok(Progress::Closed);
        }
        // A task failed before the last one was in.
        if plan.fail_fast
            && report.failed > 0
            && matches!(report.state, ChainState::Stopping | ChainState::Failed)
        {
            return Ok(Progress::Closed);
        }
        if matches!(report.state, ChainState::Stopping | ChainState::Cancelled) {
            return Err(ClientError::BatchCancelled {
                id: id.clone(),
                enqueued: report.lines,
            });
        }
        Err(other_tasks(id, report.lines))
    }
}

fn other_tasks(id: &ChainId, enqueued: u64) -> ClientError {
    ClientError::OtherTasks {
        id: id.clone(),
        enqueued,
    }
}

/// `false` if the tasks in the batch are not those before the next part.
async fn send_parts(
    broker: &Broker,
    plan: &BatchPlan,
    parts: &mut mpsc::Receiver<BatchPart>,
) -> Result<bool, BrokerError> {
    while let Some(part) = parts.recv().await {
        if broker.batches().add_tasks(plan, &part).await? != BatchPut::Done {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The server's clock, read once and advanced by the local one.
#[derive(Debug, Clone, Copy)]
struct ServerClock {
    server: DateTime<Utc>,
    read_at: Instant,
}

impl ServerClock {
    async fn read(broker: &Broker) -> Result<Self, BrokerError> {
        let ms = broker.server().time_ms().await?;
        Ok(Self {
            server: DateTime::from_timestamp_millis(ms).unwrap_or_default(),
            read_at: Instant::now(),
        })
    }

    /// With millisecond precision, like the server's clock.
    fn now(self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.read_at.elapsed()).unwrap_or_default();
        let ms = (self.server + passed).timestamp_millis();
        DateTime::from_timestamp_millis(ms).unwrap_or(self.server)
    }
}

/// Makes parts of the tasks after the first `enqueued`, whose digest must be `digest`.
fn feed_parts(
    mut reader: BatchReader,
    enqueued: u64,
    digest: &str,
    plan: &BatchPlan,
    clock: ServerClock,
    sender: &mpsc::Sender<BatchPart>,
) -> Result<(), ClientError> {
    for _ in 0..enqueued {
        if reader.next_task()?.is_none() {
            return Err(other_tasks(&plan.id, enqueued));
        }
    }
    if reader.digest() != digest {
        return Err(other_tasks(&plan.id, enqueued));
    }
    let mut at = enqueued;
    loop {
        let before = reader.digest();
        let tasks = next_part(&mut reader, at, plan, clock)?;
        if tasks.is_empty() {
            return Ok(());
        }
        let next = at + tasks.len() as u64;
        let part = BatchPart {
            at,
            before,
            after: reader.digest(),
            tasks,
        };
        at = next;
        if sender.blocking_send(part).is_err() {
            // The receiver stopped: a call failed, or another producer was faster.
            return Ok(());
        }
    }
}

fn next_part(
    reader: &mut BatchReader,
    at: u64,
    plan: &BatchPlan,
    clock: ServerClock,
) -> Result<Vec<BatchTask>, ClientError> {
    let now = clock.now();
    let (mut tasks, mut bytes) = (Vec::with_capacity(PART_TASKS), 0);
    while tasks.len() < PART_TASKS && bytes < PART_BYTES {
        let Some(task) = reader.next_task()? else {
            break;
        };
        bytes += task.message.len();
        let index = u32::try_from(at + tasks.len() as u64).unwrap_or(u32::MAX);
        tasks.push(BatchTask::new(
            &plan.id,
            index,
            task.own_id,
            task.identified,
            task.message,
            now,
        ));
    }
    Ok(tasks)
}
