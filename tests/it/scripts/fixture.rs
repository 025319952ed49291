//! A namespace of one test in a Redis that all tests share, and helpers to read it.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_broker::{
    AccountAccess, AttemptStart, Begun, Broker, BrokerError, Consumed, DeliveredEntry, Delivery,
    Ending, EntrySource, MeterAmounts, ParkUntil, SlotLimit, Turn,
};
use longshore_local::{LocalRedis, RedisOptions};
use longshore_protocol::{
    checkpoint::Checkpoint,
    clock::local_time,
    dead_letter::{DeadLetter, PreparedReplay, StoredMessage},
    envelope::{Concurrency, RawMessage},
    event::DeadLetterRecord,
    id::{AccessDigest, AttemptId, EntryId, JobId, Namespace, QueueName, WorkerId},
    platform::PlatformName,
    serialized::Serialized,
};
use longshore_tests::stack::{connect_to_redis, toolbox};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::OnceCell;

struct Shared {
    redis: LocalRedis,
    _dir: TempDir,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static FIXTURES: AtomicU32 = AtomicU32::new(0);

/// A private Redis.
pub(crate) async fn redis() -> (LocalRedis, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let redis = LocalRedis::start(
        toolbox().await.unwrap(),
        dir.path(),
        RedisOptions::default(),
    )
    .await
    .unwrap();
    (redis, dir)
}

/// One namespace.
pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    pub(crate) queue: QueueName,
    redis: MultiplexedConnection,
}

/// An attempt that began without a wait.
pub(crate) const BEGUN: Begun = Begun::Yes(Turn {
    wait: Duration::ZERO,
    reserved_at: None,
});

impl Fixture {
    /// A new namespace in the shared Redis.
    pub(crate) async fn new() -> Self {
        let shared = SHARED
            .get_or_init(|| async {
                let (redis, dir) = redis().await;
                Shared { redis, _dir: dir }
            })
            .await;
        Self::at(&shared.redis.url()).await
    }

    /// A new namespace in the Redis at `url`.
    pub(crate) async fn at(url: &str) -> Self {
        let name = format!("test-{}", FIXTURES.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace::parse(&name).unwrap();
        Self {
            broker: Broker::connect(&SecretString::from(url), &namespace)
                .await
                .unwrap(),
            queue: QueueName::default(),
            redis: connect_to_redis(url).await.unwrap(),
        }
    }

    /// The same namespace with another queue.
    pub(crate) fn through(self, name: &str) -> Self {
        Self {
            queue: QueueName::parse(name).unwrap(),
            ..self
        }
    }

    /// `{ns}:suffix`.
    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.broker.keys().prefix())
    }

    /// The stream of the queue.
    pub(crate) fn stream(&self) -> String {
        self.broker.keys().queue(&self.queue)
    }

    /// Sends one Redis command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words.first().unwrap());
        for word in words.iter().skip(1) {
            command.arg(*word);
        }
        command.query_async(&mut self.redis.clone()).await.unwrap()
    }

    pub(crate) async fn enqueue(&self, fields: &[(Vec<u8>, Vec<u8>)]) -> EntryId {
        let message = RawMessage {
            fields: fields.to_vec(),
        };
        self.broker
            .queues()
            .enqueue(&self.queue, &message)
            .await
            .unwrap()
    }

    /// Reads up to `count` entries for `worker` without waiting.
    pub(crate) async fn read(&self, worker: &str, count: usize) -> Vec<DeliveredEntry> {
        let queues = [self.queue.clone()];
        let mut reader = self
            .broker
            .queues()
            .reader(&queues, &id(worker))
            .await
            .unwrap();
        reader
            .read(count, Duration::from_millis(1), EntrySource::All)
            .await
            .unwrap()
    }

    /// Reads exactly one entry for `worker`.
    pub(crate) async fn read_one(&self, worker: &str) -> DeliveredEntry {
        let mut delivered = self.read(worker, 1).await;
        assert_eq!(delivered.len(), 1, "one entry is there for {worker}");
        delivered.remove(0)
    }

    /// A new job delivered to `worker`, with its id.
    pub(crate) async fn job(&self, worker: &str) -> (Delivery, JobId) {
        let entry_id = self.enqueue(&prompt("hello")).await;
        let delivered = self.read_one(worker).await;
        assert_eq!(delivered.delivery.entry_id, entry_id);
        (delivered.delivery, JobId::from_entry(&entry_id))
    }

    /// A new job in flight on `worker`, with a begun attempt.
    pub(crate) async fn running(&self, worker: &str) -> (Delivery, JobId, AttemptId) {
        let (held, job) = self.job(worker).await;
        let attempt = AttemptId::new();
        assert_eq!(self.begin(&held, &job, attempt, None).await, BEGUN);
        (held, job, attempt)
    }

    /// Begins an attempt whose event is `lost ATTEMPT` if the worker dies.
    pub(crate) async fn begin(
        &self,
        held: &Delivery,
        job: &JobId,
        attempt: AttemptId,
        concurrency: Option<&Concurrency>,
    ) -> Begun {
        let event = format!("lost {attempt}");
        let beginning = AttemptStart {
            job,
            attempt,
            event_if_lost: stored(&event),
            concurrency,
            checkpoint: Some(&checkpoint_of(job, 0)),
            amounts: &MeterAmounts::default(),
            waited: false,
        };
        self.broker
            .deliveries()
            .begin(held, &beginning)
            .await
            .unwrap()
    }

    /// Moves an entry to another worker with XCLAIM.
    pub(crate) async fn steal(&self, held: &Delivery, thief: &str) {
        let claimed: Vec<String> = self
            .ask(&[
                "XCLAIM",
                &self.broker.keys().queue(&held.queue),
                "workers",
                thief,
                "0",
                &held.entry,
                "JUSTID",
            ])
            .await;
        assert_eq!(claimed.len(), 1);
    }

    /// Replays one dead letter.
    pub(crate) async fn replay(
        &self,
        died_ms: i64,
        letter: &DeadLetter,
        fields: &[(Vec<u8>, Vec<u8>)],
        checkpoint: &Checkpoint,
        event: &str,
    ) -> Result<bool, BrokerError> {
        let letter = PreparedReplay {
            entry_id: letter.record.entry_id.clone(),
            id: letter.record.id.clone(),
            died_ms,
            queue: letter.record.queue.clone(),
            fields: fields.to_vec(),
            checkpoint: Serialized::new(checkpoint).unwrap(),
            event: Serialized::from_stored(event),
        };
        let there = self.broker.dead_letters().replay(&[letter], None).await?;
        Ok(there == [true])
    }

    /// A heartbeat that does not expire.
    pub(crate) async fn alive(&self, worker: &str) {
        let () = self
            .ask(&["SET", &self.key(&format!("worker:{worker}")), "{}"])
            .await;
    }
}

pub(crate) fn id(worker: &str) -> WorkerId {
    WorkerId::from_stored(worker)
}

pub(crate) fn account(name: &str) -> PlatformName {
    PlatformName::from_stored(name)
}

/// A provider, as a worker calls it with the key of this number.
pub(crate) fn access(provider: &str, key: u16) -> AccountAccess {
    AccountAccess {
        provider: account(provider),
        digest: AccessDigest::new(key),
    }
}

/// The limit of the slots of account `m`.
pub(crate) fn slot_limit(limit: u32) -> SlotLimit<'static> {
    SlotLimit {
        meter: "slots:m",
        limit,
        is_implied: false,
    }
}

pub(crate) fn job_id(id: &str) -> JobId {
    JobId::parse(id).unwrap()
}

/// A message with one prompt.
pub(crate) fn prompt(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(b"prompt".to_vec(), text.as_bytes().to_vec())]
}

/// A message that is no text: all bytes, empty values, a repeated name, a number, a line end.
pub(crate) fn binary() -> Vec<(Vec<u8>, Vec<u8>)> {
    let all: Vec<u8> = (0..=255).collect();
    vec![
        (b"prompt".to_vec(), all.clone()),
        (all, Vec::new()),
        (b"n".to_vec(), b"007".to_vec()),
        (b"n".to_vec(), b"1e400".to_vec()),
        (b" \r\n\0".to_vec(), b"\xff\xfe\0".to_vec()),
    ]
}

/// The checkpoint of a job after `attempts` attempts.
pub(crate) fn checkpoint_of(job: &JobId, attempts: u32) -> Serialized<Checkpoint> {
    let mut checkpoint = Checkpoint::fresh(job.clone(), DateTime::UNIX_EPOCH);
    checkpoint.attempts = attempts;
    Serialized::new(&checkpoint).unwrap()
}

/// The dead letter of a job.
pub(crate) fn letter(
    queue: &QueueName,
    id: &JobId,
    entry_id: &EntryId,
    fields: &[(Vec<u8>, Vec<u8>)],
) -> DeadLetter {
    DeadLetter {
        record: DeadLetterRecord {
            id: id.clone(),
            entry_id: entry_id.clone(),
            queue: queue.clone(),
            reason: "exhausted".to_owned(),
            error: "nobody answered".to_owned(),
            at: DateTime::UNIX_EPOCH,
            task_type: None,
            platform: None,
            tenant: None,
            chain_id: None,
            attempts: 3,
        },
        message: StoredMessage::whole(fields),
        checkpoint: Checkpoint::fresh(id.clone(), DateTime::UNIX_EPOCH),
    }
}

/// JSON that a script stores: any text serves, and none if it is empty.
pub(crate) fn stored<T: 'static>(text: &str) -> Option<&'static Serialized<T>> {
    (!text.is_empty()).then(|| written(text))
}

/// JSON that a script stores. Leaked: the tests pass it by reference.
pub(crate) fn written<T: 'static>(text: &str) -> &'static Serialized<T> {
    Box::leak(Box::new(Serialized::from_stored(text)))
}

/// A concurrency key with its limit.
pub(crate) fn limit(key: &str, limit: u32) -> Concurrency {
    Concurrency {
        key: key.to_owned(),
        limit: NonZeroU32::new(limit).unwrap(),
    }
}

/// A settlement with an outcome, an event, and nothing else.
pub(crate) fn ending(attempt: AttemptId) -> Ending<'static> {
    Ending {
        attempt: Some(attempt),
        event: stored("ended"),
        outcome: stored("outcome"),
        ..Ending::default()
    }
}

/// Parking in the time lane.
pub(crate) fn parking(due: DateTime<Utc>, checkpoint: &Serialized<Checkpoint>) -> ParkUntil<'_> {
    ParkUntil {
        chain: None,
        attempt: None,
        event: stored("parked"),
        for_version: false,
        due,
        concurrency: None,
        checkpoint: Some(checkpoint),
        consumed: Consumed::NothingTaken,
        review: None,
    }
}

/// A time in the past.
pub(crate) fn past(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

/// A time after the end of the test.
pub(crate) fn future() -> DateTime<Utc> {
    local_time() + Duration::from_hours(1)
}
