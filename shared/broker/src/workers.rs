//! Workers: heartbeats, and the recovery of dead workers' entries.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use longshore_protocol::{
    control::ControlMessage,
    id::{QueueName, WorkerId},
    keys::{RETURNED, WORKERS_GROUP},
    string_enum,
};
use redis::{AsyncCommands as _, RedisResult, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};

use crate::{
    Broker, BrokerError, CONNECT_TIMEOUT, Subscription, Workers, connection::Endpoint, scripts,
};

/// Entries that one call recovers; it blocks Redis for well under 10 ms.
const RECOVER_BATCH: usize = 200;

/// The heartbeat of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub worker: WorkerId,
    /// The version of its build.
    pub version: String,
    pub pid: u32,
    /// When it started, in ms since 1970.
    pub started_at_ms: i64,
    /// The queues that it pulls from.
    pub queues: Vec<QueueName>,
    /// The host that it runs on.
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub state: WorkerState,
    /// When it sent this, in ms since 1970 by the server's clock.
    #[serde(default)]
    pub said_at_ms: i64,
    /// Jobs in flight.
    pub in_flight: usize,
    /// Its slots for jobs.
    pub concurrency: usize,
}

string_enum! {
    /// Whether a worker pulls jobs.
    WorkerState {
        Running = "running",
        /// It pulls no more, and finishes its jobs.
        Draining = "draining",
    }
}

impl Default for WorkerState {
    /// The state of workers that do not send one yet.
    fn default() -> Self {
        Self::Running
    }
}

/// What was recovered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Dead workers.
    pub workers: usize,
    /// Entries that were returned to their queues.
    pub entries: usize,
    /// Attempts that were recorded as lost.
    pub lost: usize,
}

/// A worker that has entries but no heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentWorker {
    pub worker: WorkerId,
    /// The number of its entries.
    pub holds: usize,
    /// How long ago it last read.
    pub idle: Duration,
}

/// A subscription to the control channel.
pub struct ControlChannel(Subscription);

impl ControlChannel {
    /// The next message; `None` if the connection closed or does not answer. Skips messages that this version does not know.
    pub async fn next(&mut self) -> Option<ControlMessage> {
        loop {
            let text: Option<String> = self.0.next().await?.get_payload().ok();
            if let Some(message) = text.as_deref().and_then(ControlMessage::parse) {
                return Some(message);
            }
        }
    }
}

/// A connection of its own for heartbeats. The runtime that sends the first drives it.
pub struct HeartbeatConnection {
    endpoint: Arc<Endpoint>,
    connection: Option<MultiplexedConnection>,
    namespace: String,
    worker: WorkerId,
    key: String,
    ttl: Duration,
}

impl HeartbeatConnection {
    /// For `worker`; it connects later. The key expires `ttl` after each heartbeat.
    pub fn new(broker: &Broker, worker: &WorkerId, ttl: Duration) -> Self {
        let keys = broker.keys();
        Self {
            endpoint: broker.endpoint.clone(),
            connection: None,
            namespace: keys.prefix().to_owned(),
            worker: worker.clone(),
            key: keys.worker(worker),
            ttl,
        }
    }

    /// Sends one heartbeat; connects if necessary.
    pub async fn beat(&mut self, heartbeat: &Heartbeat) -> RedisResult<()> {
        let text = serde_json::to_string(heartbeat)
            .map_err(|error| redis::RedisError::from(std::io::Error::other(error)))?;
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        self.send(&text, ttl).await
    }

    /// Ends the worker: others recover what it holds at once.
    pub async fn stop(&mut self) -> RedisResult<()> {
        self.send("", 0).await
    }

    async fn send(&mut self, heartbeat: &str, ttl_ms: u64) -> RedisResult<()> {
        let mut call = scripts::HEARTBEAT.key(&self.key);
        call.arg(&self.namespace)
            .arg(self.worker.as_str())
            .arg(heartbeat)
            .arg(ttl_ms);
        let sent = match self.connection().await {
            Ok(connection) => call.invoke_async::<i64>(connection).await,
            Err(error) => Err(error),
        };
        if sent.is_err() {
            self.connection = None;
        }
        sent.map(|_| ())
    }

    async fn connection(&mut self) -> RedisResult<&mut MultiplexedConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.endpoint.open(CONNECT_TIMEOUT).await?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Workers<'_> {
    /// The workers that are alive.
    pub async fn list(self) -> Result<Vec<Heartbeat>, BrokerError> {
        let keys = self
            .broker
            .scan(&format!("{}*", self.broker.keys().worker_prefix()))
            .await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<Option<String>> = self
            .broker
            .shared()
            .mget(&keys)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut workers: Vec<Heartbeat> = texts
            .into_iter()
            .flatten()
            .filter_map(|text| serde_json::from_str(&text).ok())
            .collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(workers)
    }

    /// The workers that have entries but no heartbeat.
    pub async fn without_heartbeat(self) -> Result<Vec<SilentWorker>, BrokerError> {
        let alive: BTreeSet<WorkerId> = self
            .list()
            .await?
            .into_iter()
            .map(|beat| beat.worker)
            .collect();
        let mut found: BTreeMap<WorkerId, SilentWorker> = BTreeMap::new();
        for stream in self.broker.queues().streams().await? {
            let info: RedisResult<redis::streams::StreamInfoConsumersReply> = self
                .broker
                .shared()
                .xinfo_consumers(self.broker.keys().queue(&stream), WORKERS_GROUP)
                .await;
            let Some(info) = self.broker.if_present(info)? else {
                continue;
            };
            for consumer in info.consumers {
                let worker = WorkerId::from_stored(&consumer.name);
                if consumer.pending == 0 || consumer.name == RETURNED || alive.contains(&worker) {
                    continue;
                }
                let idle = Duration::from_millis(consumer.idle as u64);
                let known = found.entry(worker.clone()).or_insert(SilentWorker {
                    worker,
                    holds: 0,
                    idle,
                });
                known.holds += consumer.pending;
                known.idle = known.idle.min(idle);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Subscribes to the control channel.
    pub async fn subscribe_control(self) -> Result<ControlChannel, BrokerError> {
        let subscription = self.broker.subscribe(&self.broker.keys.control()).await?;
        Ok(ControlChannel(subscription))
    }

    /// Returns the entries of dead workers in a queue, new and released. A worker is dead if every check missed
    /// its heartbeat for `least`: see `recover.lua`.
    pub async fn recover(
        self,
        queue: &QueueName,
        least: Duration,
    ) -> Result<Recovered, BrokerError> {
        let (ready, new) = (
            self.recover_stream(&queue.ready(), least).await?,
            self.recover_stream(queue, least).await?,
        );
        Ok(Recovered {
            // A dead worker is dead in both streams.
            workers: ready.workers.max(new.workers),
            entries: ready.entries + new.entries,
            lost: ready.lost + new.lost,
        })
    }

    async fn recover_stream(
        self,
        queue: &QueueName,
        least: Duration,
    ) -> Result<Recovered, BrokerError> {
        let mut recovered = Recovered::default();
        for consumer in self.consumers(queue).await? {
            let (mut entries, mut lost_attempts) = (0, 0);
            loop {
                let (some, lost) = self.recover_some(queue, &consumer, least).await?;
                let Some(some) = usize::try_from(some).ok().filter(|some| *some > 0) else {
                    break;
                };
                entries += some;
                lost_attempts += lost;
            }
            if entries > 0 {
                tracing::warn!(
                    worker = consumer, %queue, entries, lost_attempts,
                    "worker died; its entries were recovered"
                );
            }
            recovered.workers += usize::from(entries > 0);
            recovered.entries += entries;
            recovered.lost += lost_attempts;
        }
        Ok(recovered)
    }

    async fn recover_some(
        self,
        queue: &QueueName,
        consumer: &str,
        least: Duration,
    ) -> Result<(i64, usize), BrokerError> {
        let mut call = scripts::RECOVER.key(self.broker.keys().queue(queue));
        call.arg(self.broker.keys().prefix())
            .arg(queue.as_str())
            .arg(consumer)
            .arg(RECOVER_BATCH)
            .arg(u64::try_from(least.as_millis()).unwrap_or(u64::MAX));
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// The consumers of a queue without a heartbeat.
    async fn consumers(self, queue: &QueueName) -> Result<Vec<String>, BrokerError> {
        let info: RedisResult<redis::streams::StreamInfoConsumersReply> = self
            .broker
            .shared()
            .xinfo_consumers(self.broker.keys().queue(queue), WORKERS_GROUP)
            .await;
        // Without the queue or its group, no worker can have entries in it.
        let Some(info) = self.broker.if_present(info)? else {
            return Ok(Vec::new());
        };
        let names: Vec<String> = info
            .consumers
            .into_iter()
            .map(|consumer| consumer.name)
            .filter(|name| name != RETURNED)
            .collect();
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.exists(self.broker.keys().worker(&WorkerId::from_stored(name)));
        }
        let alive: Vec<bool> = if names.is_empty() {
            Vec::new()
        } else {
            pipe.query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?
        };
        Ok(names
            .into_iter()
            .zip(alive)
            .filter_map(|(name, alive)| (!alive).then_some(name))
            .collect())
    }
}
