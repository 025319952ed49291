//! A client: jobs in, outcomes out.

mod claim;

use std::{pin::pin, time::Duration};

use longshore_shared::{
    broker::{Broker, BrokerError},
    envelope::{Limits, Malformed},
    id::{BadName, JobId, Namespace, Place, QueueName},
    outcome::Outcome,
};
use secrecy::SecretString;
use tokio::time::Instant;

pub use self::claim::Claim;
use crate::job::{Job, message};

/// One wait on the server; between two, the kept outcome is looked at, for a reply may have been taken
/// by somebody else or lost with a connection.
const SLICE: Duration = Duration::from_secs(5);

/// A server that says nothing for so long after the end of a slice is gone.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before a server that was away is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a job was not put in, or its outcome not read.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Redis.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The namespace.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A job that no worker would take; nothing was put in.
    #[error("job {index}: {reason}")]
    Malformed {
        /// Which one of those that were submitted together, from 0.
        index: usize,
        /// What is wrong with it.
        reason: Malformed,
    },
}

/// What a submission leaves in the hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The job: its producer's own id, or its place.
    pub id: JobId,
    /// Where its message was put.
    pub place: Place,
}

/// A client of one namespace that puts jobs into one queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Broker,
    queue: QueueName,
    limits: Limits,
}

impl Client {
    /// Connects to the Redis at `url`.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, ClientError> {
        let namespace = Namespace::parse(namespace)?;
        Ok(Self::new(
            Broker::connect(&SecretString::from(url), &namespace).await?,
        ))
    }

    /// A client that uses a connection that is there already.
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            queue: QueueName::default(),
            limits: Limits::default(),
        }
    }

    /// The same client, for another queue than `default`.
    #[must_use]
    pub fn queue(mut self, queue: QueueName) -> Self {
        self.queue = queue;
        self
    }

    /// The same client, for workers that are configured with other limits than the protocol's.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What the client stands on.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Puts one job in. When this fails because the connection broke, the job may be in all the same;
    /// one with an id of its own can safely be submitted again.
    pub async fn submit(&self, job: &Job) -> Result<Receipt, ClientError> {
        let own = self.checked(0, job)?;
        let place = self
            .broker
            .enqueue(&self.queue, &message(&job.to_json()))
            .await?;
        Ok(receipt(own, place))
    }

    /// Puts many jobs in, in one transaction: all of them, or none.
    pub async fn submit_all(&self, jobs: &[Job]) -> Result<Vec<Receipt>, ClientError> {
        let own: Vec<Option<JobId>> = jobs
            .iter()
            .enumerate()
            .map(|(index, job)| self.checked(index, job))
            .collect::<Result<_, _>>()?;
        let texts: Vec<String> = jobs.iter().map(Job::to_json).collect();
        let places = self.broker.enqueue_all(&self.queue, &texts).await?;
        Ok(own
            .into_iter()
            .zip(places)
            .map(|(own, place)| receipt(own, place))
            .collect())
    }

    fn checked(&self, index: usize, job: &Job) -> Result<Option<JobId>, ClientError> {
        job.check(&self.limits)
            .map(|envelope| envelope.id)
            .map_err(|reason| ClientError::Malformed { index, reason })
    }

    /// How a job ended, if it has, and did so within the last hour.
    pub async fn outcome(&self, job: &JobId) -> Result<Option<Outcome>, ClientError> {
        let found = self.broker.outcomes(std::slice::from_ref(job)).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Waits until a job ends; `None` when `timeout` is over. Quickest for a job that says `reply`.
    /// A server that goes away and comes back in time is no error.
    pub async fn wait(
        &self,
        job: &JobId,
        timeout: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        // None: for ever.
        let end = Instant::now().checked_add(timeout);
        loop {
            let left = end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
            match self.look(job, left.min(SLICE)).await {
                Ok(Some(outcome)) => return Ok(Some(outcome)),
                Ok(None) if left.is_zero() => return Ok(None),
                Ok(None) => {}
                Err(ClientError::Broker(error)) if is_passing(&error) && !left.is_zero() => {
                    tokio::time::sleep(PAUSE.min(left)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&self, job: &JobId, slice: Duration) -> Result<Option<Outcome>, ClientError> {
        if let Some(outcome) = self.outcome(job).await? {
            return Ok(Some(outcome));
        }
        // To the server, 0 is for ever, and less than a millisecond is 0.
        if slice < Duration::from_millis(1) {
            return Ok(None);
        }
        let reply = pin!(self.broker.reply(job, slice));
        // A server that vanished without a word is as good as one that had nothing to say: the next
        // look finds out.
        Ok(tokio::time::timeout(slice + SILENCE, reply)
            .await
            .ok()
            .transpose()?
            .flatten())
    }
}

fn receipt(own: Option<JobId>, place: Place) -> Receipt {
    Receipt {
        id: own.unwrap_or_else(|| JobId::of_place(&place)),
        place,
    }
}

/// Whether the same command may succeed in a moment: Redis is away, starts, or fails over.
pub fn is_passing(error: &BrokerError) -> bool {
    match error {
        BrokerError::Unreachable { .. } | BrokerError::Pool { .. } => true,
        BrokerError::Command { source, .. } => {
            source.is_unrecoverable_error()
                || matches!(
                    source.code(),
                    Some(
                        "LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY"
                    )
                )
        }
        _ => false,
    }
}
