//! Redis: queues, lanes, the journal, chains, meters, events. Every atomic step is one Lua script.
//!
//! [`Broker`] is the connection. Its methods are grouped by theme: `broker.queues().enqueue(…)`,
//! `broker.lanes().promote(…)`. The list of themes is below; each has a file of its name.

mod batches;
mod chains;
mod circuits;
mod connection;
mod cron;
mod dead_letters;
mod deliveries;
mod encryption;
mod error;
mod events;
mod fleet_config;
mod jobs;
mod lanes;
mod leader;
mod limits;
mod maintenance;
mod pauses;
mod permissions;
mod queues;
mod reviews;
mod script_batch;
mod scripts;
mod server;
pub mod task;
mod workers;

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use longshore_policy::{
    redis::{RedisServers, RedisSettings, RedisUrl},
    retention::Retention,
};
use longshore_protocol::{
    encryption::Keyring,
    id::{EntryId, JobId, Namespace, QueueName},
    keys::Keys,
};
use redis::{
    FromRedisValue, RedisError, RedisResult, ScriptInvocation, aio::MultiplexedConnection,
};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::{
    batches::{BatchPart, BatchPlan, BatchPut, BatchReport, BatchTask, TaskReport},
    chains::{
        ChainCancelled, ChainHead, ChainPlan, ChainRetried, ChainRetry, ChainStarted, ChainView,
        FailedStep, SpawnedJob, StepCounts, StepEnd, StepOutcome, StepPlan, StepView,
    },
    circuits::{CircuitCount, CircuitName, CircuitReport, Claim, Counts, OpenCircuit},
    connection::{PooledConnection, Subscription, UnusableFile},
    cron::{CronFence, CronRecord, CronStatus, NextTick},
    dead_letters::{BulkProgress, BulkReplay, DeadLetterPage},
    deliveries::{
        Admission, Admitted, AlsoParked, AskedReview, AttemptStart, Begun, Consumed, Delivery,
        Ending, Fence, JobInFlight, JournaledAttempt, MeterAmounts, ParkForPause, ParkUntil,
        Parked, Reservation, ReservationCandidate, Reserved, Turn,
    },
    error::BrokerError,
    events::{BadEvent, EventEntry, EventStream, EventTail},
    fleet_config::PushedConfig,
    lanes::{LanePosition, ParkedJob, Released, ReleasedNow, TenantPosition},
    leader::LeaderToken,
    limits::{
        AccountAccess, AccountHold, Alert, AlertCheck, ClaimedAlert, MeterReport, MeterUsage,
        OpenWindow, SlotLimit, StoredLimitRecord, WindowCorrection, WindowUsage,
    },
    maintenance::{OrphanSweep, OrphansRemoved},
    permissions::Permissions,
    queues::{
        Bumped, DeliveredEntry, Entries, EntrySource, MovedJob, Pending, QueueDepth, QueueReader,
        TenantEntry,
    },
    reviews::{Decided, LastReview, OpenReviews},
    server::{ServerFacts, ServerMemory},
    workers::{
        ControlChannel, Heartbeat, HeartbeatConnection, Recovered, SilentWorker, WorkerState,
    },
};
use self::{
    connection::{Endpoint, Pool, SharedConnection},
    script_batch::ScriptBatcher,
};

/// The list of themes: for each a type that borrows the broker, and the method that returns it.
macro_rules! themes {
    ($($(#[$doc:meta])+ $method:ident: $Theme:ident;)+) => {
        $($(#[$doc])+
        #[derive(Debug, Clone, Copy)]
        pub struct $Theme<'a> {
            broker: &'a Broker,
        })+

        impl Broker {
            $($(#[$doc])+
            pub fn $method(&self) -> $Theme<'_> {
                $Theme { broker: self }
            })+
        }
    };
}

themes! {
    /// Queues: enqueue messages, list entries, report depths, open a reader.
    queues: Queues;
    /// Delivered entries: admit, begin, reserve, fail, settle, park, hand back.
    deliveries: Deliveries;
    /// Jobs wherever they are: outcomes, cancel requests, checkpoints.
    jobs: Jobs;
    /// Lanes: promote and release parked jobs, inspect them.
    lanes: Lanes;
    /// Limits: meters, account holds, windows, alerts.
    limits: Limits;
    /// Circuits of models whose calls fail.
    circuits: Circuits;
    /// Chains: start, fan out, inspect, cancel, retry.
    chains: Chains;
    /// Batches: add tasks, close, inspect.
    batches: Batches;
    /// Dead letters: list, edit, remove, replay.
    dead_letters: DeadLetters;
    /// Recurring jobs and their ticks.
    cron: Cron;
    /// Pauses of queues, job types and providers.
    pauses: PauseControl;
    /// Workers: heartbeats, recovery of dead workers, the control channel.
    workers: Workers;
    /// The lease of the leading scheduler.
    leader: Leader;
    /// The stream of events that the recorders write to Postgres.
    events: Events;
    /// The configuration that was pushed for all processes.
    fleet_config: FleetConfig;
    /// The orphan sweep and other cleaning.
    maintenance: Maintenance;
    /// The Redis server itself: clock, version, settings.
    server: Server;
    /// What steps ask people, and the decisions.
    reviews: Reviews;
}

/// The maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum time of a command. A Redis that forks or swaps may stall for seconds; a shorter timeout
/// would only repeat the same step.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time that a read of a stream blocks.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// Keys that one `SCAN` call checks.
const SCAN_PAGE: usize = 1000;

/// The most entries of one job id that are looked up.
const MOST_INDEXED: usize = 100;

/// The node that has the keys of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Host and port.
    pub address: String,
    /// The namespace's hash slot, which the node owns; `None` without a cluster.
    pub slot: Option<u16>,
}

/// A connection to one namespace in Redis. Clones share it.
#[derive(Clone)]
pub struct Broker {
    endpoint: Arc<Endpoint>,
    connection: SharedConnection,
    pool: Pool,
    keys: Keys,
    keyring: Keyring,
    /// Shared by all clones; changes while they run.
    retention: Arc<RwLock<Retention>>,
    begins: ScriptBatcher,
    settles: ScriptBatcher,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.address())
            .field("namespace", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Connects to Redis at `url`, without other settings. See [`open`](Self::open).
    pub async fn connect(url: &SecretString, namespace: &Namespace) -> Result<Self, BrokerError> {
        let url: RedisUrl = url
            .expose_secret()
            .parse()
            .map_err(|error| BrokerError::Url(format!("{error}")))?;
        Self::open(&url.into(), namespace).await
    }

    /// Connects. After that the connection reconnects by itself, and follows the primary.
    ///
    /// # Errors
    /// If the URL is not valid, a file cannot be read, or Redis cannot be reached.
    pub async fn open(
        settings: &RedisSettings,
        namespace: &Namespace,
    ) -> Result<Self, BrokerError> {
        let keys = Keys::new(namespace);
        let endpoint = Arc::new(Endpoint::new(settings.clone(), &keys)?);
        let address = endpoint.address();
        let connection = SharedConnection::open(endpoint.clone())
            .await
            .map_err(|source| BrokerError::unreachable(address, source))?;
        let pool = connection::pool(endpoint.clone()).map_err(|reason| BrokerError::Pool {
            address: address.to_owned(),
            reason,
        })?;
        let batcher = |script| {
            ScriptBatcher::start(
                script,
                keys.inflight(),
                keys.prefix().to_owned(),
                connection.clone(),
            )
        };
        Ok(Self {
            begins: batcher(&scripts::BEGIN),
            settles: batcher(&scripts::SETTLE),
            endpoint,
            connection,
            pool,
            keys,
            keyring: Keyring::default(),
            retention: Arc::default(),
        })
    }

    /// Loads every script, so that the first jobs of a service do not wait for it. Producers do not call
    /// this: their Redis user may have no permission but `XADD`.
    pub async fn load_scripts(&self) -> Result<(), BrokerError> {
        let mut connection = self.shared();
        for script in scripts::all() {
            script
                .prepare_invoke()
                .load_async(&mut connection)
                .await
                .map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Sets how long results and ids are kept.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        self.set_retention(retention);
        self
    }

    /// Sets how long results and ids are kept from now on, in all clones.
    pub fn set_retention(&self, retention: Retention) {
        *self
            .retention
            .write()
            .unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Encrypts what it stores with these keys, and decrypts what it reads. Without keys, everything is stored plain.
    #[must_use]
    pub fn with_keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = keyring;
        self
    }

    /// The keys that it encrypts with.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The names of the keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Host and port, or the Sentinels or nodes that are configured, for messages.
    pub fn address(&self) -> &str {
        self.endpoint.address()
    }

    /// The node that connections lead to, if a Sentinel or the cluster says which; and who says it.
    pub fn primary(&self) -> Option<Primary> {
        Some(Primary {
            address: self.endpoint.primary()?.to_string(),
            slot: matches!(self.endpoint.servers(), RedisServers::Cluster { .. })
                .then(|| self.endpoint.slot()),
        })
    }

    /// A connection from the pool, for commands that are long or rare and must not block the shared one.
    pub async fn pooled(&self) -> Result<PooledConnection, BrokerError> {
        connection::take(&self.pool)
            .await
            .map_err(|error| match error {
                deadpool::managed::PoolError::Backend(source) => self.failed(source),
                other => BrokerError::Pool {
                    address: self.address().to_owned(),
                    reason: other.to_string(),
                },
            })
    }
}

/// What the themes share.
impl Broker {
    /// The shared connection: cheap to clone, and pipelines the commands of all clones.
    fn shared(&self) -> SharedConnection {
        self.connection.clone()
    }

    /// A new connection for commands that block for at most `longest`.
    async fn dedicated(&self, longest: Duration) -> Result<MultiplexedConnection, BrokerError> {
        self.endpoint
            .open(longest + RESPONSE_TIMEOUT)
            .await
            .map_err(|source| self.failed(source))
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription, BrokerError> {
        let connection = self
            .endpoint
            .open_pubsub()
            .await
            .map_err(|source| self.failed(source))?;
        Subscription::to(channel, connection)
            .await
            .map_err(|source| self.failed(source))
    }

    /// Calls a script on the shared connection.
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, BrokerError> {
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// The entry ids of a job in an index by job id (`job_ids.lua`), the last ones first.
    async fn indexed_entries(
        &self,
        index: String,
        job: &JobId,
    ) -> Result<Vec<EntryId>, BrokerError> {
        let members: Vec<String> = redis::cmd("ZREVRANGEBYLEX")
            .arg(index)
            .arg(format!("({job}!"))
            .arg(format!("[{job} "))
            .arg("LIMIT")
            .arg(0)
            .arg(MOST_INDEXED)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let entry_ids = members.iter().filter_map(|member| member.split_once(' '));
        Ok(entry_ids
            .map(|(_, entry_id)| EntryId::from_stored(entry_id))
            .collect())
    }

    /// What a hash by entry id stores for each of these entries. Reports ask for thousands, so it does not use
    /// the shared connection.
    async fn values_of_entries(
        &self,
        key: String,
        entry_ids: &[EntryId],
    ) -> Result<Vec<Option<String>>, BrokerError> {
        if entry_ids.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = entry_ids.iter().map(EntryId::as_str).collect();
        redis::cmd("HMGET")
            .arg(key)
            .arg(&names)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))
    }

    /// All keys that match a pattern, by `SCAN`, sorted.
    async fn scan(&self, pattern: &str) -> Result<Vec<String>, BrokerError> {
        let mut found = Vec::new();
        let mut cursor = 0;
        loop {
            let (next, keys) = self.scan_page(pattern, cursor).await?;
            found.extend(keys);
            cursor = next;
            if cursor == 0 {
                found.sort();
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// The next cursor (0 = the end), and the keys of one page that match a pattern. `SCAN` may return a
    /// key twice.
    async fn scan_page(
        &self,
        pattern: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<String>), BrokerError> {
        // The braces of the hash tag have no meaning in a pattern.
        redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_PAGE)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))
    }

    /// Creates a stream's group at 0, if it does not exist, and lists the queue, if the stream is of one.
    async fn create_group(
        &self,
        stream: &str,
        group: &str,
        queue: Option<&QueueName>,
    ) -> Result<(), BrokerError> {
        let mut call = scripts::CREATE_GROUP.key(stream);
        call.arg(self.keys.prefix())
            .arg(group)
            .arg(queue.map_or("", QueueName::as_str));
        let _created: i64 = self.run(&call).await?;
        Ok(())
    }

    fn retention(&self) -> RwLockReadGuard<'_, Retention> {
        self.retention
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn result_seconds(&self) -> u64 {
        self.retention().results.as_secs().max(1)
    }

    fn unrequested_result_seconds(&self) -> u64 {
        self.retention().unrequested_results.as_secs().max(1)
    }

    fn chain_seconds(&self) -> u64 {
        self.retention().chains.as_secs().max(1)
    }

    fn id_seconds(&self) -> u64 {
        self.retention().ids.as_secs().max(1)
    }

    fn failed(&self, source: RedisError) -> BrokerError {
        BrokerError::from_redis(self.address(), source)
    }

    /// A reply about a stream or its group; `None` if it does not exist.
    fn if_present<T>(&self, reply: RedisResult<T>) -> Result<Option<T>, BrokerError> {
        let is_missing = |error: &RedisError| {
            error.code() == Some("NOGROUP") || error.to_string().contains("no such key")
        };
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }
}

/// A time in ms that is stored as the score of a sorted set.
fn milliseconds(score: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit for ages")]
    {
        score as i64
    }
}
