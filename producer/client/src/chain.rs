//! Chains: jobs that depend on one another, enqueued as one document.

use std::{collections::BTreeMap, time::Duration};

use longshore_broker::{ChainCancelled, ChainRetry, ChainView};
use longshore_protocol::{
    chain::{BadChain, ChainId, Document, Instance, StepName, parse, parse_recipe},
    clock::local_time,
    envelope::{MessageLimits, RawMessage},
    id::{EntryId, JobId, QueueName},
    outcome::{ChainOutcome, StepOutput},
};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{client::Client, error::ClientError, job::Job, outcome::poll};

/// Outcomes read by one call. Small, because an outcome holds the whole answer.
const OUTCOMES_READ: usize = 200;

/// The document of a chain (section 9 of `docs/PROTOCOL.md`), checked.
#[derive(Debug, Clone)]
pub struct Chain {
    json: String,
    document: Document,
}

impl Chain {
    /// Parses and checks a document; the error has all of its faults.
    pub fn from_json(json: impl Into<String>, limits: &MessageLimits) -> Result<Self, BadChain> {
        let json = json.into();
        let document = parse(&json, limits)?;
        Ok(Self { json, document })
    }

    /// The document as it is enqueued.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// The document as a worker reads it.
    pub fn document(&self) -> &Document {
        &self.document
    }
}

/// Builds a chain step by step.
///
/// ```
/// use longshore_client::{ChainBuilder, Job, MessageLimits, Step};
///
/// let chain = ChainBuilder::new()
///     .name("cities")
///     .step(Step::new("research", Job::prompt("Name a city.")))
///     .step(
///         Step::new("describe", Job::prompt("Describe {{ steps.research.output }}."))
///             .needs(["research"]),
///     )
///     .build(&MessageLimits::default())?;
/// assert_eq!(chain.document().steps.len(), 2);
/// # Ok::<(), longshore_client::BadChain>(())
/// ```
#[derive(Debug, Clone, Default, Serialize)]
pub struct ChainBuilder {
    #[serde(flatten)]
    fields: BTreeMap<String, Box<RawValue>>,
    steps: Vec<Step>,
}

impl ChainBuilder {
    /// A chain without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// An id of your own: the same chain enqueued twice with it runs once.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        self.with("id", id.into())
    }

    /// A name for people.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with("name", name.into())
    }

    /// Adds a step. The texts of its job are templates that can read the outputs of earlier steps.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Any other field of the document, such as `max_parallel` or `on_complete`.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        // Serializing a `Value` does not fail.
        if let Ok(raw) = to_raw_value(&value.into()) {
            self.fields.insert(field.to_owned(), raw);
        }
        self
    }

    /// Checks the document; the error has all of its faults.
    pub fn build(self, limits: &MessageLimits) -> Result<Chain, BadChain> {
        // Serializing maps and lists of raw JSON does not fail; the check would reject empty text.
        Chain::from_json(serde_json::to_string(&self).unwrap_or_default(), limits)
    }
}

/// One step of a chain: a job with a name.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Step(Job);

impl Step {
    /// The step `name` that runs `job`.
    pub fn new(name: impl Into<String>, job: Job) -> Self {
        Self(job.with("name", name.into()))
    }

    /// The steps that must complete before this one starts.
    #[must_use]
    pub fn needs<N: Into<String>>(self, steps: impl IntoIterator<Item = N>) -> Self {
        let steps: Vec<String> = steps.into_iter().map(Into::into).collect();
        self.with("needs", json!(steps))
    }

    /// Runs the step once for each item of the list that this expression yields.
    #[must_use]
    pub fn foreach(self, expression: impl Into<String>) -> Self {
        self.with("foreach", expression.into())
    }

    /// Gathers the answers of a step that fans out.
    #[must_use]
    pub fn gather(self, step: impl Into<String>) -> Self {
        self.with("gather", step.into())
    }

    /// Skips the step unless this condition holds.
    #[must_use]
    pub fn when(self, condition: impl Into<String>) -> Self {
        self.with("when", condition.into())
    }

    /// Any other field of the step, such as `on_failure` or `min_success`.
    #[must_use]
    pub fn with(self, field: &str, value: impl Into<Value>) -> Self {
        Self(self.0.with(field, value))
    }
}

/// A chain that was enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReceipt {
    /// The chain's id: its own, or the one that Redis gave it.
    pub id: ChainId,
    /// The queue.
    pub queue: QueueName,
    /// The stream entry that holds its message; `None` if the same chain was enqueued before.
    pub entry_id: Option<EntryId>,
}

/// The state of an enqueued chain's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainSubmission {
    /// No worker has read it yet.
    Unread,
    /// A worker rejected it for this reason; the chain never starts.
    Refused(String),
    /// A worker has read it: the chain has started.
    Started,
}

/// How a wait for a chain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainEnd {
    /// The chain has ended.
    Ended(Box<ChainView>),
    /// A worker rejected it for this reason.
    Refused(String),
    /// The chain is not, or no longer, in Redis.
    Unknown,
    /// It has not ended within the timeout.
    TimedOut,
}

impl Client {
    /// Enqueues a chain. A chain with an id is enqueued once: the same chain under the same id is not
    /// enqueued again.
    ///
    /// ```no_run
    /// # async fn example(client: longshore_client::Client, chain: longshore_client::Chain)
    /// # -> Result<(), longshore_client::ClientError> {
    /// use std::time::Duration;
    ///
    /// use longshore_client::ChainEnd;
    ///
    /// let receipt = client.enqueue_chain(&chain).await?;
    /// if let ChainEnd::Ended(view) = client.wait_chain(&receipt, Duration::from_secs(600)).await? {
    ///     println!("{} cost {}", view.head.record.state, view.head.cost);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue_chain(&self, chain: &Chain) -> Result<ChainReceipt, ClientError> {
        if let Some(id) = &chain.document.id
            && self.is_enqueued(id, &chain.document).await?
        {
            return Ok(ChainReceipt {
                id: id.clone(),
                queue: self.queue_name().clone(),
                entry_id: None,
            });
        }
        let message = RawMessage {
            fields: vec![(b"chain".to_vec(), chain.json.clone().into_bytes())],
        };
        let entry_id = self
            .broker()
            .queues()
            .enqueue(self.queue_name(), &message)
            .await?;
        let own_id = chain.document.id.clone();
        Ok(ChainReceipt {
            id: own_id.unwrap_or_else(|| ChainId::from_receipt(&JobId::from_entry(&entry_id))),
            queue: self.queue_name().clone(),
            entry_id: Some(entry_id),
        })
    }

    /// Whether Redis has the same chain under this id; an error if it has another one.
    async fn is_enqueued(&self, id: &ChainId, document: &Document) -> Result<bool, ClientError> {
        if self.chain(id).await?.is_none() {
            return Ok(false);
        }
        let stored = self.broker().chains().document(id).await?;
        // The chain of a recipe is stored like any other.
        let stored = stored.and_then(|json| parse_recipe(&json, self.message_limits()).ok());
        if stored.is_some_and(|stored| stored.hash() == document.hash()) {
            Ok(true)
        } else {
            Err(ClientError::ChainIdTaken { id: id.clone() })
        }
    }

    /// State, steps and cost of a chain; `None` if no worker has started it, or Redis no longer has it.
    pub async fn chain(&self, id: &ChainId) -> Result<Option<ChainView>, ClientError> {
        Ok(self.broker().chains().get(id).await?)
    }

    /// The state of an enqueued chain's message.
    pub async fn chain_submission(
        &self,
        receipt: &ChainReceipt,
    ) -> Result<ChainSubmission, ClientError> {
        let Some(entry_id) = &receipt.entry_id else {
            return Ok(ChainSubmission::Started);
        };
        if self.broker().queues().message_at(entry_id).await?.is_some() {
            return Ok(ChainSubmission::Unread);
        }
        let dead_letter = self
            .broker()
            .dead_letters()
            .newest(entry_id.as_str())
            .await?;
        Ok(match dead_letter {
            Some((_, dead_letter, _)) => ChainSubmission::Refused(dead_letter.record.error),
            None => ChainSubmission::Started,
        })
    }

    /// Waits until a chain has ended, or until `timeout` has passed. Tolerates temporary failures of
    /// Redis.
    pub async fn wait_chain(
        &self,
        receipt: &ChainReceipt,
        timeout: Duration,
    ) -> Result<ChainEnd, ClientError> {
        let end = poll(timeout, async || {
            match self.chain_submission(receipt).await? {
                ChainSubmission::Unread => return Ok(None),
                ChainSubmission::Refused(reason) => return Ok(Some(ChainEnd::Refused(reason))),
                ChainSubmission::Started => {}
            }
            Ok(match self.chain(&receipt.id).await? {
                None => Some(ChainEnd::Unknown),
                Some(view) if view.head.record.state.is_final() => {
                    Some(ChainEnd::Ended(Box::new(view)))
                }
                Some(_) => None,
            })
        });
        Ok(end.await?.unwrap_or(ChainEnd::TimedOut))
    }

    /// The outcome of a chain or a batch that ended, or what there is of it while it runs; `None` if no worker has
    /// started it, or Redis no longer has it.
    pub async fn chain_outcome(&self, id: &ChainId) -> Result<Option<ChainOutcome>, ClientError> {
        Ok(self.broker().chains().read(id).await?)
    }

    /// The answer of a step, if Redis still has it. `items`: the number of items of a step that fanned out.
    pub async fn step_output(
        &self,
        chain: &ChainId,
        step: &StepName,
        items: Option<u64>,
    ) -> Result<StepOutput, ClientError> {
        let items = items.map(|items| u32::try_from(items).unwrap_or(u32::MAX));
        let instances: Vec<Instance> = match items {
            None => vec![Instance::whole_step(step.clone())],
            Some(items) => (0..items)
                .map(|index| Instance::item(step.clone(), index))
                .collect(),
        };
        let mut answers = Vec::with_capacity(instances.len());
        for chunk in instances.chunks(OUTCOMES_READ) {
            let outcomes = self.broker().chains().step_outcomes(chain, chunk).await?;
            answers.extend(outcomes.into_iter().map(|outcome| outcome?.output));
        }
        Ok(match items {
            None => StepOutput::One(answers.pop().flatten()),
            Some(_) => StepOutput::Items(answers),
        })
    }

    /// Requests the cancellation of a chain: running jobs stop, and no more steps start.
    pub async fn cancel_chain(&self, id: &ChainId) -> Result<ChainCancelled, ClientError> {
        Ok(self.broker().chains().cancel(id).await?)
    }

    /// Runs the failed steps and items of a chain again and removes their dead letters from Redis.
    pub async fn retry_chain(&self, id: &ChainId) -> Result<ChainRetry, ClientError> {
        let chains = self.broker().chains();
        let retry = chains.retry_with_letters(id, self.message_limits(), local_time());
        Ok(retry.await?)
    }
}
