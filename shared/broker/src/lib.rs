//! Redis: the queues, the lanes, the journal, the events. Every atomic step is one script.

mod admission;
mod alerts;
mod batch;
mod batches;
mod chain_acts;
mod chains;
mod circuit;
mod config;
mod cron;
mod dead;
mod events;
mod holding;
mod jobs;
mod journal;
mod leader;
mod limits;
mod meters;
mod pages;
mod pauses;
mod queues;
mod reader;
mod replay;
mod scripts;
mod server;
mod steps;
mod sweep;
mod tenants;
mod windows;
mod workers;

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use redis::{
    Client, IntoConnectionInfo as _, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use secrecy::{ExposeSecret as _, SecretString};

use self::batch::Batch;
pub use self::{
    admission::{Admission, Admitted},
    alerts::{Claimed, Raised},
    batches::{BatchPart, BatchPlan, BatchPut, BatchReport, BatchTask, TaskReport},
    chain_acts::{
        ChainCancelled, ChainPlan, ChainRetried, Child, Started, StepEnd, StepOutcome, StepPlan,
    },
    chains::{ChainHead, ChainView, Failed, StepView, Tally},
    circuit::{CircuitName, CircuitReport, Claim, Counted, Counts, Opened},
    config::{CONFIG_MESSAGE, Pushed},
    cron::{CronFence, CronRecord, CronStanding, NextTick},
    dead::DeadSlice,
    events::{BadEvent, EventEntry, EventStream},
    holding::{Holding, Unheard},
    jobs::{Entries, Pending, Waiting},
    journal::Journalled,
    leader::LeaderToken,
    limits::{LetGo, Offer, Reservation, Reserved, Spent, Takes, Turn},
    meters::{Fill, MeterReport, WindowFill},
    pauses::{PAUSED_MESSAGE, Paused, Pausing},
    queues::QueueDepth,
    reader::{Delivered, QueueReader, Sorted, Wanted},
    replay::{BulkReplay, BulkStep},
    server::ServerFacts,
    steps::{Beginning, Begun, Ending, Fence, Held, Parked, Parking},
    sweep::{Sweeping, Swept},
    tenants::Share,
    workers::{Heartbeat, Pulse, Recovered, WorkerState},
};
use longshore_policy::retention::Retention;
use longshore_protocol::{id::Namespace, keys::Keys};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a command may take. A Redis that forks or swaps may stall for seconds; giving up sooner
/// would only make the same step be asked twice.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Something between us and Redis.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is wrong.
    #[error(
        "REDIS_URL is not valid: {0}; expected redis://[user:password@]host:port[/db] or rediss://…"
    )]
    Url(String),
    /// It cannot be reached.
    #[error("Redis at {address} cannot be reached: {source}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the connection said.
        source: RedisError,
    },
    /// It answered, but not as hoped.
    #[error("Redis at {address}: {source}")]
    Command {
        /// Host and port.
        address: String,
        /// What it said.
        source: RedisError,
    },
    /// The pool of connections is exhausted or closed.
    #[error("Redis at {address}: no free connection: {reason}")]
    Pool {
        /// Host and port.
        address: String,
        /// What the pool said.
        reason: String,
    },
    /// What stands in Redis is not ours.
    #[error("`{key}` in Redis holds something that Longshore did not write: {reason}")]
    Foreign {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A namespace in a Redis.
#[derive(Clone)]
pub struct Broker {
    client: Client,
    manager: ConnectionManager,
    pool: deadpool_redis::Pool,
    keys: Keys,
    address: String,
    /// Shared by all clones, and changed while they run.
    retention: Arc<RwLock<Retention>>,
    begins: Batch,
    settles: Batch,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.address)
            .field("namespace", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Connects, and says so if it cannot. The connection mends itself from then on.
    pub async fn connect(url: &SecretString, namespace: &Namespace) -> Result<Self, BrokerError> {
        let client = client(url)?;
        let address = client.get_connection_info().addr().to_string();
        let unreachable = |source| BrokerError::Unreachable {
            address: address.clone(),
            source,
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_secs(1))
            .set_number_of_retries(1)
            .set_pipeline_buffer_size(4096);
        let manager = client
            .get_connection_manager_with_config(config)
            .await
            .map_err(unreachable)?;
        let pool = deadpool_redis::Config::from_url(url.expose_secret())
            .create_pool(Some(deadpool_redis::Runtime::Tokio1))
            .map_err(|error| BrokerError::Pool {
                address: address.clone(),
                reason: error.to_string(),
            })?;
        let keys = Keys::new(namespace);
        let batch = |script| {
            Batch::start(
                script,
                keys.inflight(),
                keys.prefix().to_owned(),
                manager.clone(),
            )
        };
        Ok(Self {
            begins: batch(&scripts::BEGIN),
            settles: batch(&scripts::SETTLE),
            client,
            manager,
            pool,
            keys,
            address,
            retention: Arc::default(),
        })
    }

    /// Loads every script, so that a service's first jobs do not pay for it. A producer, whose user may be
    /// allowed nothing but `XADD`, has no need of them.
    pub async fn load_scripts(&self) -> Result<(), BrokerError> {
        let mut connection = self.manager.clone();
        for script in scripts::all() {
            script
                .prepare_invoke()
                .load_async(&mut connection)
                .await
                .map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Keeps results and ids for as long as `retention` says.
    #[must_use]
    pub fn keeping(self, retention: Retention) -> Self {
        self.keep(retention);
        self
    }

    /// From now on keeps results and ids for as long as `retention` says, in all clones.
    pub fn keep(&self, retention: Retention) {
        *self
            .retention
            .write()
            .unwrap_or_else(PoisonError::into_inner) = retention;
    }

    fn retention(&self) -> RwLockReadGuard<'_, Retention> {
        self.retention
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn result_seconds(&self) -> u64 {
        self.retention().results.as_secs().max(1)
    }

    pub(crate) fn chain_seconds(&self) -> u64 {
        self.retention().chains.as_secs().max(1)
    }

    pub(crate) fn id_seconds(&self) -> u64 {
        self.retention().ids.as_secs().max(1)
    }

    /// The names of the keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Host and port, for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The shared connection; cheap to clone, many commands travel on it together.
    pub(crate) fn shared(&self) -> ConnectionManager {
        self.manager.clone()
    }

    /// A connection out of the pool, for what is long or rare and should not hold up the shared one.
    pub async fn pooled(&self) -> Result<deadpool_redis::Connection, BrokerError> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_redis::PoolError::Backend(source) => BrokerError::Unreachable {
                address: self.address.clone(),
                source,
            },
            other => BrokerError::Pool {
                address: self.address.clone(),
                reason: other.to_string(),
            },
        })
    }

    /// A connection of one's own that may wait on the server as long as it likes.
    pub async fn patient(&self) -> Result<MultiplexedConnection, BrokerError> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|source| BrokerError::Unreachable {
                address: self.address.clone(),
                source,
            })
    }

    /// Subscribes to the requests that running workers hear.
    pub async fn control(&self) -> Result<redis::aio::PubSub, BrokerError> {
        self.subscribe(&self.keys.control()).await
    }

    pub(crate) async fn subscribe(&self, channel: &str) -> Result<redis::aio::PubSub, BrokerError> {
        let mut pubsub = self
            .client
            .get_async_pubsub()
            .await
            .map_err(|source| self.failed(source))?;
        pubsub
            .subscribe(channel)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(pubsub)
    }

    pub(crate) fn failed(&self, source: RedisError) -> BrokerError {
        if source.is_io_error() || source.is_connection_refusal() || source.is_timeout() {
            BrokerError::Unreachable {
                address: self.address.clone(),
                source,
            }
        } else {
            BrokerError::Command {
                address: self.address.clone(),
                source,
            }
        }
    }

    pub(crate) fn foreign(key: impl Into<String>, reason: impl std::fmt::Display) -> BrokerError {
        BrokerError::Foreign {
            key: key.into(),
            reason: reason.to_string(),
        }
    }
}

/// A time that stands as a score of a sorted set.
fn milliseconds(score: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit for ages")]
    {
        score as i64
    }
}

/// A client that speaks to `url`; nothing is connected yet.
pub fn client(url: &SecretString) -> Result<Client, BrokerError> {
    let info = url
        .expose_secret()
        .into_connection_info()
        .map_err(|error| BrokerError::Url(error.to_string()))?;
    Client::open(info).map_err(|error| BrokerError::Url(error.to_string()))
}
