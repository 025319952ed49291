//! Batches: chains of tasks that do not depend on one another, put in a part at a time.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::{ChainId, ChainKind, ChainState, Instance, StepName, StepRef},
    checkpoint::Resume,
    id::{JobId, QueueName},
    money::Usd,
    outcome::Outcome,
};

use crate::{Batches, BrokerError, scripts};

/// What a batch begins with.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    /// Its id.
    pub id: ChainId,
    /// Its name for people.
    pub name: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The most of them in flight, whatever the number of workers.
    pub parallel: u32,
}

/// A task as it is put in.
#[derive(Debug, Clone)]
pub struct BatchTask {
    /// The id that its producer gave it.
    pub own: Option<JobId>,
    /// What is to be remembered of its job.
    pub memory: String,
    /// The JSON of its job.
    pub message: String,
}

impl BatchTask {
    /// The task at `index` of a batch, received at `at`. One that has an id or a key of its own
    /// (`identified`) has yet to be held against others when it runs.
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
        let resume = Resume {
            admitted: !identified,
            step: Some(Box::new(step)),
            ..Resume::fresh(id, at)
        };
        Self {
            own,
            // A memory is plain data; if it were not JSON, the worker would call the message forged.
            memory: serde_json::to_string(&resume).unwrap_or_default(),
            message,
        }
    }
}

/// Tasks that are put in together.
#[derive(Debug, Clone)]
pub struct BatchPart {
    /// How many tasks stand before these.
    pub at: u64,
    /// The digest of those.
    pub before: String,
    /// The digest with these.
    pub after: String,
    /// These.
    pub tasks: Vec<BatchTask>,
}

/// What became of tasks that were put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchPut {
    /// They are in.
    Done,
    /// Other tasks than those before them are in.
    Elsewhere,
    /// The batch takes no more: it was closed, or stopped.
    Closed,
    /// The id is that of a chain that is no batch.
    Chain,
}

/// A batch as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    /// Whether it is a batch at all; of a chain the rest says little.
    pub kind: ChainKind,
    /// Where it is in its life.
    pub state: ChainState,
    /// Its name for people.
    pub name: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The most of them in flight.
    pub parallel: u64,
    /// Tasks that were put in.
    pub lines: u64,
    /// Their digest.
    pub digest: String,
    /// Of them, those that have not come to the queue yet.
    pub waiting: u64,
    /// Those that were answered.
    pub completed: u64,
    /// Those that were given up.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// What they cost.
    pub cost: Usd,
    /// When the first was put in.
    pub begun: DateTime<Utc>,
    /// When the last part was.
    pub put: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
}

impl BatchReport {
    /// Tasks that have ended.
    pub fn done(&self) -> u64 {
        self.completed + self.failed + self.cancelled
    }

    /// Tasks that have come to the queue; they do so in their order.
    pub fn sent(&self) -> u64 {
        self.lines.saturating_sub(self.waiting)
    }
}

/// The values of some fields of a hash.
type Texts = Vec<Option<String>>;

/// A task that came to the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskReport {
    /// Its job.
    pub job: JobId,
    /// Whether its producer named the job, so that it may be another's.
    pub own: bool,
    /// Whether it has not ended.
    pub running: bool,
    /// Whether it ended without success.
    pub failed: bool,
    /// The outcome that is kept under the job's id.
    pub outcome: Option<Outcome>,
}

impl Batches<'_> {
    /// Puts tasks in, if those before them are in and no others.
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
            .arg(&part.after);
        for task in &part.tasks {
            call.arg(task.own.as_ref().map_or("", JobId::as_str))
                .arg(&task.memory)
                .arg(&task.message);
        }
        let answer: String = self.broker.run(&call).await?;
        Ok(match answer.as_str() {
            "ok" => BatchPut::Done,
            "closed" => BatchPut::Closed,
            "chain" => BatchPut::Chain,
            _ => BatchPut::Elsewhere,
        })
    }

    /// Says that all tasks are in; `false` when others are than these.
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
        let answer: String = self.broker.run(&call).await?;
        Ok(answer == "ok")
    }

    /// A batch as it stands; nothing when nobody knows it, or no longer.
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
            queue: QueueName::from_record(&queue),
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

    /// What became of those tasks of a batch that came to the queue.
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
        // Who runs is asked before the outcomes: what is not running then has its outcome by now.
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

    /// Some of the tasks of a batch that ended without success, in their order.
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
