//! Batches: chains of tasks that do not depend on one another, added in parts.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::{ChainId, ChainKind, ChainState, Instance, StepName, StepRef},
    checkpoint::Checkpoint,
    id::{JobId, QueueName},
    money::Usd,
    outcome::Outcome,
};

use crate::{Batches, BrokerError, deliveries::flag, scripts};

/// A batch to create, or to add tasks to.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    pub id: ChainId,
    /// A name for people.
    pub name: String,
    pub queue: QueueName,
    /// The maximum number of its tasks in flight, across all workers.
    pub parallel: u32,
    /// Whether the first task that fails ends the batch: running tasks are cancelled, the rest never start.
    pub fail_fast: bool,
}

/// A task to add.
#[derive(Debug, Clone)]
pub struct BatchTask {
    /// The id that the producer set, if any.
    pub own: Option<JobId>,
    /// The checkpoint of its job, as JSON.
    pub memory: String,
    /// The message of its job, as JSON.
    pub message: String,
}

impl BatchTask {
    /// The task at `index` of a batch, received at `at`. A task with its own id or unique key (`identified`)
    /// is admitted when it runs.
    pub fn new(
        batch: &ChainId,
        index: u32,
        own: Option<JobId>,
        identified: bool,
        message: String,
        at: DateTime<Utc>,
    ) -> Self {
        let step = step(batch, index);
        let id = own.clone().unwrap_or_else(|| batch.task(index));
        let checkpoint = Checkpoint {
            admitted: !identified,
            step: Some(Box::new(step)),
            ..Checkpoint::fresh(id, at)
        };
        Self {
            own,
            // A checkpoint always serializes. If it did not, the worker would reject the message as forged.
            memory: serde_json::to_string(&checkpoint).unwrap_or_default(),
            message,
        }
    }
}

/// Tasks that are added in one call.
#[derive(Debug, Clone)]
pub struct BatchPart {
    /// The number of tasks before these.
    pub at: u64,
    /// The digest of the tasks before these.
    pub before: String,
    /// The digest of all tasks including these.
    pub after: String,
    pub tasks: Vec<BatchTask>,
}

/// The result of adding tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchPut {
    /// The tasks are in the batch.
    Done,
    /// The batch holds other tasks than those before these.
    Elsewhere,
    /// The batch was closed or cancelled.
    Closed,
    /// The id belongs to a chain that is not a batch.
    Chain,
}

impl BatchPut {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Done),
            "elsewhere" => Ok(Self::Elsewhere),
            "closed" => Ok(Self::Closed),
            "chain" => Ok(Self::Chain),
            other => Err(BrokerError::unexpected_reply("batch_put", other)),
        }
    }
}

/// The state of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    /// Whether this is a batch; if it is a chain, most other fields have no meaning.
    pub kind: ChainKind,
    pub state: ChainState,
    /// The name for people.
    pub name: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The maximum number of tasks in flight.
    pub parallel: u64,
    /// The number of tasks that were added.
    pub lines: u64,
    /// The digest of these tasks.
    pub digest: String,
    /// Tasks that are not in the queue yet.
    pub waiting: u64,
    /// Completed tasks.
    pub completed: u64,
    /// Tasks that became dead letters.
    pub failed: u64,
    /// Cancelled tasks.
    pub cancelled: u64,
    /// The cost of all tasks so far.
    pub cost: Usd,
    /// When the first task was added.
    pub begun: DateTime<Utc>,
    /// When the last part was added.
    pub put: DateTime<Utc>,
    /// When the batch ended.
    pub ended: Option<DateTime<Utc>>,
}

impl BatchReport {
    /// The number of tasks that have ended.
    pub fn done(&self) -> u64 {
        self.completed + self.failed + self.cancelled
    }

    /// The number of tasks that were enqueued; they are enqueued in order.
    pub fn sent(&self) -> u64 {
        self.lines.saturating_sub(self.waiting)
    }
}

/// Some fields of a hash.
type Texts = Vec<Option<String>>;

/// A task that was enqueued.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskReport {
    pub job: JobId,
    /// Whether the producer set the job id; then the job may belong to another producer.
    pub own: bool,
    pub running: bool,
    /// Whether the task ended without success.
    pub failed: bool,
    /// The outcome that is stored under the job id.
    pub outcome: Option<Outcome>,
}

impl Batches<'_> {
    /// Adds tasks if the batch holds exactly the tasks before them.
    pub async fn add_tasks(
        self,
        plan: &BatchPlan,
        part: &BatchPart,
    ) -> Result<BatchPut, BrokerError> {
        let mut call = scripts::BATCH_PUT.key(self.broker.keys().chain(&plan.id));
        call.arg(self.broker.keys().prefix())
            .arg(plan.id.as_str())
            .arg(&plan.name)
            .arg(plan.queue.as_str())
            .arg(plan.parallel)
            .arg(self.broker.chain_seconds())
            .arg(self.broker.result_seconds())
            .arg(part.at)
            .arg(&part.before)
            .arg(&part.after)
            .arg(flag(plan.fail_fast, "1"));
        for task in &part.tasks {
            call.arg(task.own.as_ref().map_or("", JobId::as_str))
                .arg(&task.memory)
                .arg(&*self.broker.stored_job(&task.message)?);
        }
        let reply: String = self.broker.run(&call).await?;
        BatchPut::from_reply(&reply)
    }

    /// Closes a batch; `false` if it holds other tasks than these.
    pub async fn close(
        self,
        batch: &ChainId,
        tasks: u64,
        digest: &str,
    ) -> Result<bool, BrokerError> {
        let mut call = scripts::BATCH_CLOSE.key(self.broker.keys().chain(batch));
        call.arg(self.broker.keys().prefix())
            .arg(batch.as_str())
            .arg(tasks)
            .arg(digest);
        let reply: String = self.broker.run(&call).await?;
        parse_close_reply(&reply)
    }

    /// The state of a batch; `None` if it is unknown or expired.
    pub async fn get(self, batch: &ChainId) -> Result<Option<BatchReport>, BrokerError> {
        const FIELDS: [&str; 14] = [
            "kind",
            "state",
            "name",
            "queue",
            "parallel",
            "lines",
            "digest",
            "completed",
            "failed",
            "cancelled",
            "nanos",
            "begun",
            "put",
            "ended",
        ];
        let key = self.broker.keys().chain(batch);
        let (values, waiting): (Vec<Option<String>>, u64) = redis::pipe()
            .atomic()
            .cmd("HMGET")
            .arg(&key)
            .arg(&FIELDS)
            .cmd("LLEN")
            .arg(self.broker.keys().batch_lines(batch))
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut values = values.into_iter();
        let mut text = || values.next().flatten();
        let Some(kind) = text() else { return Ok(None) };
        let word = |reason: &str| BrokerError::foreign(&key, reason);
        let kind = ChainKind::from_name(&kind).ok_or_else(|| word("its `kind` is unknown"))?;
        let state = text().unwrap_or_default();
        let state = ChainState::from_name(&state).ok_or_else(|| word("its `state` is unknown"))?;
        let (name, queue) = (text().unwrap_or_default(), text().unwrap_or_default());
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let time = |text: Option<String>| DateTime::from_timestamp_millis(text?.parse().ok()?);
        Ok(Some(BatchReport {
            kind,
            state,
            name,
            queue: QueueName::from_stored(&queue),
            parallel: number(text()),
            lines: number(text()),
            digest: text().unwrap_or_default(),
            waiting,
            completed: number(text()),
            failed: number(text()),
            cancelled: number(text()),
            cost: Usd::from_nanos(number(text())),
            begun: time(text()).unwrap_or_default(),
            put: time(text()).unwrap_or_default(),
            ended: time(text()),
        }))
    }

    /// The state of those tasks that were enqueued.
    pub async fn tasks(
        self,
        batch: &ChainId,
        indices: &[u32],
    ) -> Result<Vec<TaskReport>, BrokerError> {
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.broker.keys();
        let names: Vec<String> = indices.iter().map(|at| instance(*at).to_string()).collect();
        // Read the running tasks before the outcomes: a task that is not running has stored its outcome by then.
        let (own, running, failed): (Texts, Texts, Texts) = redis::pipe()
            .cmd("HMGET")
            .arg(keys.batch_ids(batch))
            .arg(indices)
            .cmd("HMGET")
            .arg(keys.chain_running(batch))
            .arg(&names)
            .cmd("HMGET")
            .arg(keys.chain_failed(batch))
            .arg(&names)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut tasks: Vec<TaskReport> = indices
            .iter()
            .zip(own)
            .zip(running)
            .zip(failed)
            .map(|(((index, own), running), failed)| {
                let own = own.and_then(|own| JobId::parse(&own).ok());
                TaskReport {
                    own: own.is_some(),
                    job: own.unwrap_or_else(|| batch.task(*index)),
                    running: running.is_some(),
                    failed: failed.is_some(),
                    outcome: None,
                }
            })
            .collect();
        let jobs: Vec<JobId> = tasks.iter().map(|task| task.job.clone()).collect();
        for (task, outcome) in tasks
            .iter_mut()
            .zip(self.broker.jobs().outcomes(&jobs).await?)
        {
            task.outcome = outcome;
        }
        Ok(tasks)
    }

    /// Some of the tasks that ended without success, in order.
    pub async fn failed_tasks(self, batch: &ChainId) -> Result<Vec<u32>, BrokerError> {
        let (_, found): (String, Vec<String>) = redis::cmd("HSCAN")
            .arg(self.broker.keys().chain_failed(batch))
            .arg(0)
            .arg("COUNT")
            .arg(100)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut indices: Vec<u32> = found
            .iter()
            .step_by(2)
            .filter_map(|name| name.parse::<Instance>().ok()?.index)
            .collect();
        indices.sort_unstable();
        Ok(indices)
    }
}

fn step(batch: &ChainId, index: u32) -> StepRef {
    StepRef {
        index: Some(index),
        ..StepRef::new(batch.clone(), StepName::of_batch())
    }
}

fn instance(index: u32) -> Instance {
    Instance::item(StepName::of_batch(), index)
}

/// Whether the batch is closed; `false` if it holds other tasks.
fn parse_close_reply(reply: &str) -> Result<bool, BrokerError> {
    match reply {
        "ok" => Ok(true),
        "elsewhere" => Ok(false),
        other => Err(BrokerError::unexpected_reply("batch_close", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_about_batches_is_parsed() {
        let cases = [
            ("ok", BatchPut::Done),
            ("elsewhere", BatchPut::Elsewhere),
            ("closed", BatchPut::Closed),
            ("chain", BatchPut::Chain),
        ];
        check_words("batch_put", &cases, BatchPut::from_reply);
        let cases = [("ok", true), ("elsewhere", false)];
        check_words("batch_close", &cases, parse_close_reply);
    }
}
