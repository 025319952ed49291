//! Who is alive, and what becomes of the jobs of those who are not.

use std::time::Duration;

use longshore_protocol::{
    id::{QueueName, WorkerId},
    keys::{Keys, RETURNED, WORKERS_GROUP},
    string_enum,
};
use redis::{AsyncCommands as _, Commands as _};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Broker, BrokerError, CONNECT_TIMEOUT, client, scripts};

/// Entries that one recovery step takes; it holds Redis for well under 10 ms.
const RECOVER_BATCH: usize = 200;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its id.
    pub worker: WorkerId,
    /// Its build.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when, in ms since the epoch.
    pub started_at_ms: i64,
    /// The queues that it pulls from.
    pub queues: Vec<QueueName>,
    /// The machine that it runs on.
    #[serde(default)]
    pub host: String,
    /// Whether it pulls.
    #[serde(default)]
    pub state: WorkerState,
    /// When it said this, in ms since the epoch by the server's clock.
    #[serde(default)]
    pub said_at_ms: i64,
    /// Jobs in its hands.
    pub in_flight: usize,
    /// Jobs that it can take at once.
    pub concurrency: usize,
}

string_enum! {
    /// Whether a worker pulls jobs.
    WorkerState {
        /// It does.
        Running = "running",
        /// It was told to stop, and finishes what it has.
        Draining = "draining",
    }
}

impl Default for WorkerState {
    /// Of workers that do not say it yet.
    fn default() -> Self {
        Self::Running
    }
}

/// What was recovered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Dead workers.
    pub workers: usize,
    /// Entries given back.
    pub entries: usize,
    /// Attempts recorded as lost.
    pub lost: usize,
}

/// A connection for heartbeats alone, used from a thread of its own.
pub struct Pulse {
    client: redis::Client,
    connection: Option<redis::Connection>,
    key: String,
    ttl: Duration,
}

impl Pulse {
    /// For `worker`; nothing is connected yet. The key lives for `ttl` after each beat.
    pub fn new(
        url: &SecretString,
        keys: &Keys,
        worker: &WorkerId,
        ttl: Duration,
    ) -> Result<Self, BrokerError> {
        Ok(Self {
            client: client(url)?,
            connection: None,
            key: keys.worker(worker),
            ttl,
        })
    }

    /// One beat; connects again where that is needed.
    pub fn beat(&mut self, heartbeat: &Heartbeat) -> redis::RedisResult<()> {
        let text = serde_json::to_string(heartbeat)
            .map_err(|error| redis::RedisError::from(std::io::Error::other(error)))?;
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let done = self
            .connection()
            .and_then(|(connection, key)| connection.pset_ex(key, text, ttl));
        if done.is_err() {
            self.connection = None;
        }
        done
    }

    /// The last: whoever looks knows at once that the worker is gone.
    pub fn stop(&mut self) -> redis::RedisResult<()> {
        self.connection()
            .and_then(|(connection, key)| connection.del(key))
    }

    fn connection(&mut self) -> redis::RedisResult<(&mut redis::Connection, &str)> {
        let connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let fresh = self.client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
            fresh.set_read_timeout(Some(CONNECT_TIMEOUT))?;
            fresh.set_write_timeout(Some(CONNECT_TIMEOUT))?;
            fresh
        };
        Ok((self.connection.insert(connection), &self.key))
    }
}

impl Broker {
    /// The server's clock, in ms since the epoch.
    pub async fn server_time_ms(&self) -> Result<i64, BrokerError> {
        let (seconds, micros): (i64, i64) = redis::cmd("TIME")
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// The workers that are alive.
    pub async fn workers(&self) -> Result<Vec<Heartbeat>, BrokerError> {
        let keys = self
            .scan(&format!("{}*", self.keys().worker_prefix()))
            .await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<Option<String>> = self
            .shared()
            .mget(&keys)
            .await
            .map_err(|source| self.failed(source))?;
        let mut workers: Vec<Heartbeat> = texts
            .into_iter()
            .flatten()
            .filter_map(|text| serde_json::from_str(&text).ok())
            .collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(workers)
    }

    /// Gives back what dead workers left in a queue, and of what had come out of a lane.
    pub async fn recover(&self, queue: &QueueName) -> Result<Recovered, BrokerError> {
        let (ready, new) = (
            self.recover_stream(&queue.ready()).await?,
            self.recover_stream(queue).await?,
        );
        Ok(Recovered {
            // A worker that is dead is dead in both.
            workers: ready.workers.max(new.workers),
            entries: ready.entries + new.entries,
            lost: ready.lost + new.lost,
        })
    }

    async fn recover_stream(&self, queue: &QueueName) -> Result<Recovered, BrokerError> {
        let mut recovered = Recovered::default();
        for consumer in self.consumers(queue).await? {
            let mut found = false;
            loop {
                let (entries, lost) = self.recover_some(queue, &consumer).await?;
                if entries > 0 {
                    found = true;
                    recovered.entries += usize::try_from(entries).unwrap_or(0);
                    recovered.lost += lost;
                } else {
                    break;
                }
            }
            recovered.workers += usize::from(found);
        }
        Ok(recovered)
    }

    async fn recover_some(
        &self,
        queue: &QueueName,
        consumer: &str,
    ) -> Result<(i64, usize), BrokerError> {
        let mut call = scripts::RECOVER.key(self.keys().queue(queue));
        call.arg(self.keys().prefix())
            .arg(queue.as_str())
            .arg(consumer)
            .arg(RECOVER_BATCH);
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// The consumers of a queue whose heartbeat is missing.
    async fn consumers(&self, queue: &QueueName) -> Result<Vec<String>, BrokerError> {
        let info: Result<redis::streams::StreamInfoConsumersReply, _> = self
            .shared()
            .xinfo_consumers(self.keys().queue(queue), WORKERS_GROUP)
            .await;
        let names: Vec<String> = match info {
            Ok(reply) => reply
                .consumers
                .into_iter()
                .map(|consumer| consumer.name)
                .filter(|name| name != RETURNED)
                .collect(),
            // The queue or its group is not there (yet): nobody can have left anything in it.
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.exists(self.keys().worker(&WorkerId::from_record(name)));
        }
        let alive: Vec<bool> = if names.is_empty() {
            Vec::new()
        } else {
            pipe.query_async(&mut self.shared())
                .await
                .map_err(|source| self.failed(source))?
        };
        Ok(names
            .into_iter()
            .zip(alive)
            .filter_map(|(name, alive)| (!alive).then_some(name))
            .collect())
    }
}

/// Whether Redis says that a stream or its group does not exist.
pub(super) fn is_missing(error: &redis::RedisError) -> bool {
    error.code() == Some("NOGROUP") || error.to_string().contains("no such key")
}
