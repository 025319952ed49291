//! The client: a connection to Redis, a queue, and jobs to enqueue.

use longshore_broker::Broker;
use longshore_policy::redis::RedisSettings;
use longshore_protocol::{
    encryption::Keyring,
    envelope::MessageLimits,
    id::{EntryId, JobId, Namespace, QueueName},
};
use secrecy::SecretString;

use crate::{
    error::ClientError,
    job::{Job, job_message},
};

/// A job that was enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The job's id: its own, or the one that Redis gave it.
    pub id: JobId,
    /// The stream entry that holds its message, as `XADD` returned it.
    pub entry_id: EntryId,
}

/// A client of one namespace that enqueues into one queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Broker,
    queue: QueueName,
    limits: MessageLimits,
}

impl Client {
    /// Connects to Redis at `url` (`redis://…`, `rediss://…`, `redis+sentinel://…`, `redis+cluster://…`); fails if it
    /// does not answer.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, ClientError> {
        let namespace = Namespace::parse(namespace)?;
        Ok(Self::new(
            Broker::connect(&SecretString::from(url), &namespace).await?,
        ))
    }

    /// Connects as these settings say: with logins and certificates in files, to Sentinels, to a cluster.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use longshore_client::{Client, RedisAccess, RedisSettings};
    ///
    /// let settings = RedisSettings {
    ///     url: "rediss+sentinel://10.0.0.1,10.0.0.2/main".parse()?,
    ///     access: RedisAccess {
    ///         username: Some("producer".to_owned()),
    ///         password_file: Some("/run/secrets/redis".into()),
    ///         ca_file: Some("/etc/redis-ca.pem".into()),
    ///         ..RedisAccess::default()
    ///     },
    /// };
    /// let client = Client::open(&settings, "longshore").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(settings: &RedisSettings, namespace: &str) -> Result<Self, ClientError> {
        let namespace = Namespace::parse(namespace)?;
        Ok(Self::new(Broker::open(settings, &namespace).await?))
    }

    /// A client that shares an open connection.
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            queue: QueueName::default(),
            limits: MessageLimits::default(),
        }
    }

    /// The same client for another queue than `default`.
    #[must_use]
    pub fn queue(mut self, queue: QueueName) -> Self {
        self.queue = queue;
        self
    }

    /// The same client with other message limits, for workers whose limits differ from the defaults.
    #[must_use]
    pub fn limits(mut self, limits: MessageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same client with keys: it encrypts what it enqueues, and decrypts the outcomes that it reads.
    ///
    /// ```
    /// use longshore_client::{KeyId, Keyring};
    ///
    /// let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned();
    /// let current = KeyId::parse("k1").expect("a name");
    /// let keyring = Keyring::new([(current.clone(), key.into())], current)?;
    /// # fn example(client: longshore_client::Client, keyring: Keyring) {
    /// let client = client.keyring(keyring);
    /// # }
    /// # Ok::<(), longshore_client::BadKey>(())
    /// ```
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.broker = self.broker.with_keyring(keyring);
        self
    }

    /// The connection to Redis.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The queue that jobs and chains are enqueued into.
    pub fn queue_name(&self) -> &QueueName {
        &self.queue
    }

    /// The limits that messages are checked against.
    pub fn message_limits(&self) -> &MessageLimits {
        &self.limits
    }

    /// Enqueues one job. If this fails because the connection broke, the job may have been enqueued; a
    /// job with an id of its own can safely be enqueued again.
    pub async fn enqueue(&self, job: &Job) -> Result<Receipt, ClientError> {
        let own_id = self.check(0, job)?;
        let entry_id = self
            .broker
            .queues()
            .enqueue(&self.queue, &job_message(&job.to_json()))
            .await?;
        Ok(receipt(own_id, entry_id))
    }

    /// Enqueues many jobs in one transaction: all of them, or none.
    ///
    /// ```no_run
    /// # async fn example(client: longshore_client::Client) -> Result<(), longshore_client::ClientError> {
    /// use longshore_client::Job;
    ///
    /// let jobs: Vec<Job> = ["Berlin", "Lima"]
    ///     .map(|city| Job::prompt(format!("Describe {city}.")).id(format!("describe-{city}")))
    ///     .into();
    /// let receipts = client.enqueue_all(&jobs).await?;
    /// assert_eq!(receipts.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue_all(&self, jobs: &[Job]) -> Result<Vec<Receipt>, ClientError> {
        let own_ids: Vec<Option<JobId>> = jobs
            .iter()
            .enumerate()
            .map(|(index, job)| self.check(index, job))
            .collect::<Result<_, _>>()?;
        let messages: Vec<String> = jobs.iter().map(Job::to_json).collect();
        let entry_ids = self
            .broker
            .queues()
            .enqueue_all(&self.queue, &messages)
            .await?;
        Ok(own_ids
            .into_iter()
            .zip(entry_ids)
            .map(|(own_id, entry_id)| receipt(own_id, entry_id))
            .collect())
    }

    /// The job's own id, if workers would accept the job.
    fn check(&self, index: usize, job: &Job) -> Result<Option<JobId>, ClientError> {
        job.check(&self.limits)
            .map(|envelope| envelope.id)
            .map_err(|reason| ClientError::Malformed { index, reason })
    }
}

fn receipt(own_id: Option<JobId>, entry_id: EntryId) -> Receipt {
    Receipt {
        id: own_id.unwrap_or_else(|| JobId::from_entry(&entry_id)),
        entry_id,
    }
}
