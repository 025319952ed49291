//! The reader: pulls entries of some queues for one worker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longshore_policy::queues::{QueueOrder, QueueShare};
use longshore_protocol::{
    checkpoint::Checkpoint,
    encryption::UnopenedField,
    envelope::RawMessage,
    id::{EntryId, JobId, QueueName, WorkerId},
    keys::{CHECKPOINT_FIELD, WORKERS_GROUP},
    serialized::Serialized,
};
use redis::{Value, aio::MultiplexedConnection, streams::StreamReadOptions};

use super::turns::{QueueTurns, Quotas};
use crate::{Broker, BrokerError, Delivery, LONGEST_READ, Queues, scripts};

/// The fields and values of a message.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry in the reply of `pull.lua`: the number of its stream, the entry, its message, the crashes, the deaths
/// before it began, its checkpoint.
type PulledRow = (usize, String, Fields, u32, u32, String);

/// The bytes of returned and released entries after which a read stops. It may bring some entries more.
const MOST_BYTES: usize = 8 << 20;

/// An entry that was delivered to a worker.
#[derive(Debug, Clone)]
pub struct DeliveredEntry {
    /// The worker's hold on it.
    pub delivery: Delivery,
    /// The message, as its producer wrote it; what was encrypted is decrypted.
    pub message: Arc<RawMessage>,
    /// The first field that no key decrypts.
    pub unopened: Option<UnopenedField>,
    /// How many workers died while they ran this entry.
    pub crashes: u32,
    /// How many workers died with this entry before they began it.
    pub unbegun: u32,
    /// The checkpoint of the job, if it was begun before.
    pub checkpoint: Option<Serialized<Checkpoint>>,
    /// Whether the message is forged: it has the field that only the server writes, but no checkpoint.
    pub forged: bool,
}

/// Which entries to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntrySource {
    /// New entries as well.
    All,
    /// Only returned and released entries.
    Begun,
}

/// An entry to park by tenant.
#[derive(Debug, Clone)]
pub struct TenantEntry {
    pub delivery: Delivery,
    /// The id to park the job under.
    pub id: JobId,
    /// The tenant; empty = none.
    pub tenant: String,
    pub weight: u32,
    /// The checkpoint of the job.
    pub checkpoint: Option<Serialized<Checkpoint>>,
}

/// Reads entries for one worker on its own connection.
pub struct QueueReader {
    broker: Broker,
    connection: MultiplexedConnection,
    turns: QueueTurns,
    streams: Vec<QueueName>,
    excluded: Vec<QueueName>,
    /// Queues whose new entries stay.
    left: Vec<QueueName>,
    worker: WorkerId,
}

impl QueueReader {
    /// Excludes these queues from now on, and no others.
    pub fn exclude(&mut self, queues: Vec<QueueName>) {
        self.excluded = queues;
    }

    /// Leaves the new entries of these queues where they are from now on, and of no others. Returned and released ones are
    /// read.
    pub fn leave_new(&mut self, queues: Vec<QueueName>) {
        self.left = queues;
    }

    /// Whether all queues are excluded.
    pub fn is_idle(&self) -> bool {
        self.included().next().is_none()
    }

    /// The streams that are not excluded.
    fn included(&self) -> impl Iterator<Item = &QueueName> {
        self.streams
            .iter()
            .filter(|stream| self.excluded.is_empty() || !self.excluded.contains(&stream.base()))
    }

    /// Has the queues take turns by these weights and in this order. Without it, all have the same weight.
    pub fn share(&mut self, shares: &[QueueShare], order: QueueOrder) {
        self.turns = QueueTurns::new(shares, order);
    }

    /// Reads about `count` entries, divided between the queues by weight or in strict order. If none is available, waits
    /// up to `wait` for new ones; several queues may then deliver at once, so that it returns one entry of each more.
    pub async fn read(
        &mut self,
        count: usize,
        wait: Duration,
        wanted: EntrySource,
    ) -> Result<Vec<DeliveredEntry>, BrokerError> {
        let quotas = self.turns.quotas(count, &self.excluded);
        // New entries of a single queue are read without a script, which costs less.
        let pulled = if quotas.len() > 1 {
            wanted
        } else {
            EntrySource::Begun
        };
        let mut delivered = self.pull(count, &quotas, pulled).await?;
        if delivered.is_empty() {
            let streams: Vec<QueueName> = self
                .included()
                .filter(|stream| stream.is_ready() || self.takes_new(wanted, stream))
                .cloned()
                .collect();
            let share = (count / quotas.len().max(1)).max(1);
            delivered = self.read_streams(&streams, share, Some(wait)).await?;
        }
        let mut taken = BTreeMap::new();
        for entry in &delivered {
            *taken.entry(entry.delivery.queue.base()).or_default() += 1;
        }
        self.turns.count(&quotas, &taken);
        Ok(delivered)
    }

    /// Whether new entries of a queue are read.
    fn takes_new(&self, wanted: EntrySource, queue: &QueueName) -> bool {
        wanted == EntrySource::All && !self.left.contains(queue)
    }

    /// Reads new entries, at most `count` of each queue, without waiting. They are to be parked with
    /// [`park_by_tenant`](Self::park_by_tenant).
    pub async fn read_ahead(&mut self, count: usize) -> Result<Vec<DeliveredEntry>, BrokerError> {
        let streams: Vec<QueueName> = self
            .included()
            .filter(|stream| !stream.is_ready() && self.takes_new(EntrySource::All, stream))
            .cloned()
            .collect();
        self.read_streams(&streams, count, None).await
    }

    /// Parks entries of one queue by tenant; returns how many were parked.
    pub async fn park_by_tenant(
        &mut self,
        queue: &QueueName,
        entries: &[TenantEntry],
    ) -> Result<usize, BrokerError> {
        let mut call = scripts::PARK_BY_TENANT.key(self.broker.keys().queue(queue));
        call.arg(self.broker.keys().prefix())
            .arg(queue.as_str())
            .arg(self.worker.as_str());
        for one in entries {
            call.arg(&one.delivery.entry)
                .arg(one.id.as_str())
                .arg(&one.tenant)
                .arg(one.weight)
                .arg(Serialized::argument(one.checkpoint.as_ref()))
                .arg(self.broker.parked_argument(&one.delivery)?);
        }
        call.invoke_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Pulls returned and released entries, and new ones if they are wanted.
    async fn pull(
        &mut self,
        most: usize,
        quotas: &Quotas,
        wanted: EntrySource,
    ) -> Result<Vec<DeliveredEntry>, BrokerError> {
        let mut call = scripts::PULL.prepare_invoke();
        let streams: Vec<QueueName> = quotas
            .iter()
            .flat_map(|(queue, _)| [queue.ready(), queue.clone()])
            .collect();
        for stream in &streams {
            call.key(self.broker.keys().queue(stream));
        }
        call.arg(self.broker.keys().prefix())
            .arg(self.worker.as_str())
            .arg(most)
            .arg(MOST_BYTES);
        for (queue, quota) in quotas {
            call.arg(queue.as_str())
                .arg(*quota)
                .arg(u8::from(self.takes_new(wanted, queue)));
        }
        let rows: Vec<PulledRow> = call
            .invoke_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let delivered = |(stream, entry, fields, crashes, unbegun, checkpoint): PulledRow| {
            let delivery = self.delivery(streams.get(stream)?, entry);
            let with_field = fields.iter().any(|(name, _)| name == CHECKPOINT_FIELD);
            let checkpoint = (!checkpoint.is_empty()).then(|| Serialized::from_stored(checkpoint));
            Some(DeliveredEntry {
                delivery,
                forged: with_field && checkpoint.is_none(),
                message: Arc::new(without_checkpoint_field(fields)),
                unopened: None,
                crashes,
                unbegun,
                checkpoint,
            })
        };
        Ok(self.opened(rows.into_iter().filter_map(delivered).collect()))
    }

    async fn read_streams(
        &mut self,
        queues: &[QueueName],
        share: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<DeliveredEntry>, BrokerError> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut options = StreamReadOptions::default()
            .group(WORKERS_GROUP, self.worker.as_str())
            .count(share);
        if let Some(wait) = wait {
            let wait_ms = usize::try_from(wait.as_millis()).unwrap_or(usize::MAX);
            options = options.block(wait_ms.max(1));
        }
        let streams: Vec<String> = queues
            .iter()
            .map(|queue| self.broker.keys().queue(queue))
            .collect();
        let ids = vec![">"; streams.len()];
        let mut command = redis::cmd("XREADGROUP");
        command.arg(&options).arg("STREAMS").arg(&streams).arg(&ids);
        let reply: Value = command
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut delivered = Vec::new();
        let rows: Vec<(String, Vec<(String, Fields)>)> = match reply {
            Value::Nil => return Ok(delivered),
            other => redis::from_redis_value(other)
                .map_err(|error| BrokerError::foreign("XREADGROUP", error))?,
        };
        for (stream, entries) in rows {
            let Some(queue) = self
                .streams
                .iter()
                .find(|queue| self.broker.keys().queue(queue) == stream)
                .cloned()
            else {
                continue;
            };
            for (entry, fields) in entries {
                delivered.push(DeliveredEntry {
                    delivery: self.delivery(&queue, entry),
                    forged: false,
                    message: Arc::new(RawMessage { fields }),
                    unopened: None,
                    crashes: 0,
                    unbegun: 0,
                    checkpoint: None,
                });
            }
        }
        self.read_checkpoints(&mut delivered).await?;
        Ok(self.opened(delivered))
    }

    /// Reads the checkpoints of entries with the server's field.
    async fn read_checkpoints(
        &mut self,
        delivered: &mut [DeliveredEntry],
    ) -> Result<(), BrokerError> {
        let with_field: Vec<&mut DeliveredEntry> = delivered
            .iter_mut()
            .filter(|one| {
                one.message
                    .fields
                    .iter()
                    .any(|(name, _)| name == CHECKPOINT_FIELD)
            })
            .collect();
        if with_field.is_empty() {
            return Ok(());
        }
        let entry_ids: Vec<&str> = with_field
            .iter()
            .map(|one| one.delivery.entry_id.as_str())
            .collect();
        let checkpoints: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.broker.keys().checkpoints())
            .arg(&entry_ids)
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        for (one, checkpoint) in with_field.into_iter().zip(checkpoints) {
            one.forged = checkpoint.is_none();
            one.checkpoint = checkpoint.map(Serialized::from_stored);
            let fields = std::mem::take(&mut Arc::make_mut(&mut one.message).fields);
            one.message = Arc::new(without_checkpoint_field(fields));
        }
        Ok(())
    }

    fn delivery(&self, queue: &QueueName, entry: String) -> Delivery {
        Delivery {
            queue: queue.clone(),
            entry_id: EntryId::new(queue, &entry),
            entry,
            worker: self.worker.clone(),
            to_encrypt: None,
        }
    }

    /// Decrypts the messages, and keeps them for parking, which encrypts them.
    fn opened(&self, mut delivered: Vec<DeliveredEntry>) -> Vec<DeliveredEntry> {
        let keyring = self.broker.keyring();
        for one in &mut delivered {
            let message = Arc::make_mut(&mut one.message);
            one.unopened = keyring.open_message(message).err();
            one.delivery.to_encrypt = keyring.is_on().then(|| one.message.clone());
        }
        delivered
    }
}

impl Queues<'_> {
    /// A reader of these queues for one worker; creates consumer groups that do not exist.
    pub async fn reader(
        self,
        queues: &[QueueName],
        worker: &WorkerId,
    ) -> Result<QueueReader, BrokerError> {
        // Released entries come before new ones.
        let streams: Vec<QueueName> = queues
            .iter()
            .flat_map(|queue| [queue.ready(), queue.clone()])
            .collect();
        for stream in &streams {
            self.broker
                .create_group(
                    &self.broker.keys().queue(stream),
                    WORKERS_GROUP,
                    Some(stream).filter(|stream| !stream.is_ready()),
                )
                .await?;
        }
        let equal: Vec<QueueShare> = queues.iter().cloned().map(QueueShare::from).collect();
        Ok(QueueReader {
            broker: self.broker.clone(),
            connection: self.broker.dedicated(LONGEST_READ).await?,
            turns: QueueTurns::new(&equal, QueueOrder::Weighted),
            streams,
            excluded: Vec::new(),
            left: Vec::new(),
            worker: worker.clone(),
        })
    }
}

fn without_checkpoint_field(fields: Fields) -> RawMessage {
    RawMessage {
        fields: fields
            .into_iter()
            .filter(|(name, _)| name != CHECKPOINT_FIELD)
            .collect(),
    }
}
