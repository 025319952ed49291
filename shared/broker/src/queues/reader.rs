//! Pulling entries out of the queues.

use std::time::Duration;

use longshore_protocol::{
    envelope::RawMessage,
    id::{JobId, Place, QueueName, WorkerId},
    keys::{CHECKPOINT_FIELD, WORKERS_GROUP},
};
use redis::{AsyncCommands as _, Value, aio::MultiplexedConnection, streams::StreamReadOptions};

use crate::{Broker, BrokerError, Held, Queues, scripts};

/// A message's names and values.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry that came to a worker.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Where it stands.
    pub held: Held,
    /// The message, as its producer wrote it.
    pub message: RawMessage,
    /// How many workers died while they ran it at this place.
    pub crashes: u32,
    /// What is remembered of the job, if it was begun before.
    pub resume: Option<String>,
    /// Whether the message bears our mark although nothing is remembered of it: it is forged.
    pub forged: bool,
}

/// What a read looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// New jobs as well.
    All,
    /// Only what was given back or came out of a lane.
    Begun,
}

/// An entry that is to be laid aside by tenant.
#[derive(Debug, Clone)]
pub struct Sorted {
    /// The entry in the queue's stream.
    pub entry: String,
    /// What the job is known by while it waits.
    pub id: JobId,
    /// Whose it is; empty if nobody's.
    pub tenant: String,
    /// The tenant's weight.
    pub weight: u32,
    /// What is to be remembered of it.
    pub resume: String,
}

/// Reads entries for one worker on a connection of its own.
pub struct QueueReader {
    broker: Broker,
    connection: MultiplexedConnection,
    queues: usize,
    streams: Vec<QueueName>,
    left_out: Vec<QueueName>,
    worker: WorkerId,
}

impl QueueReader {
    /// From now on leaves these queues alone, and no others.
    pub fn exclude(&mut self, queues: Vec<QueueName>) {
        self.left_out = queues;
    }

    /// Whether it leaves all of its queues alone.
    pub fn is_idle(&self) -> bool {
        self.open().next().is_none()
    }

    /// The streams that are read now.
    fn open(&self) -> impl Iterator<Item = &QueueName> {
        self.streams
            .iter()
            .filter(|stream| self.left_out.is_empty() || !self.left_out.contains(&stream.base()))
    }

    /// About `count` entries of all queues together (at least one of each): first what was given back and
    /// what came out of a lane, then what is new, for which it waits up to `wait`. While it waits, both
    /// may come at once: then there are more.
    pub async fn read(
        &mut self,
        count: usize,
        wait: Duration,
        wanted: Wanted,
    ) -> Result<Vec<Delivered>, BrokerError> {
        let share = (count / self.queues.max(1)).max(1);
        let mut delivered = self.take(share).await?;
        if delivered.is_empty() {
            delivered = self.read_new(share, wait, wanted).await?;
        }
        Ok(delivered)
    }

    /// New entries, at most `count` of each queue, without waiting; they are to be laid aside by
    /// [`QueueReader::park_by_tenant`].
    pub async fn read_ahead(&mut self, count: usize) -> Result<Vec<Delivered>, BrokerError> {
        let streams: Vec<QueueName> = self
            .open()
            .filter(|queue| !queue.is_ready())
            .cloned()
            .collect();
        self.read_streams(&streams, count, None).await
    }

    /// Lays entries of one queue aside by tenant; how many were.
    pub async fn park_by_tenant(
        &mut self,
        queue: &QueueName,
        sorted: &[Sorted],
    ) -> Result<usize, BrokerError> {
        let mut call = scripts::PARK_BY_TENANT.key(self.broker.keys().queue(queue));
        call.arg(self.broker.keys().prefix())
            .arg(queue.as_str())
            .arg(self.worker.as_str());
        for one in sorted {
            call.arg(&one.entry)
                .arg(one.id.as_str())
                .arg(&one.tenant)
                .arg(one.weight)
                .arg(&one.resume);
        }
        call.invoke_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))
    }

    async fn take(&mut self, most: usize) -> Result<Vec<Delivered>, BrokerError> {
        let mut call = scripts::PULL_RETURNED.prepare_invoke();
        let streams: Vec<QueueName> = self.open().cloned().collect();
        for stream in &streams {
            call.key(self.broker.keys().queue(stream));
        }
        call.arg(self.broker.keys().prefix())
            .arg(self.worker.as_str())
            .arg(most);
        for stream in &streams {
            call.arg(stream.as_str());
        }
        let rows: Vec<(usize, String, Fields, u32, String)> = call
            .invoke_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let delivered =
            |(stream, entry, fields, crashes, resume): (usize, _, Fields, _, String)| {
                let held = self.hold(streams.get(stream)?, entry);
                let marked = fields.iter().any(|(name, _)| name == CHECKPOINT_FIELD);
                let resume = (!resume.is_empty()).then_some(resume);
                Some(Delivered {
                    held,
                    forged: marked && resume.is_none(),
                    message: without_mark(fields),
                    crashes,
                    resume,
                })
            };
        Ok(rows.into_iter().filter_map(delivered).collect())
    }

    async fn read_new(
        &mut self,
        share: usize,
        wait: Duration,
        wanted: Wanted,
    ) -> Result<Vec<Delivered>, BrokerError> {
        let streams: Vec<QueueName> = self
            .open()
            .filter(|queue| wanted == Wanted::All || queue.is_ready())
            .cloned()
            .collect();
        self.read_streams(&streams, share, Some(wait)).await
    }

    async fn read_streams(
        &mut self,
        queues: &[QueueName],
        share: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<Delivered>, BrokerError> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut options = StreamReadOptions::default()
            .group(WORKERS_GROUP, self.worker.as_str())
            .count(share);
        if let Some(wait) = wait {
            options = options.block(
                usize::try_from(wait.as_millis())
                    .unwrap_or(usize::MAX)
                    .max(1),
            );
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
                delivered.push(Delivered {
                    held: self.hold(&queue, entry),
                    forged: false,
                    message: RawMessage { fields },
                    crashes: 0,
                    resume: None,
                });
            }
        }
        self.remember(&mut delivered).await?;
        Ok(delivered)
    }

    /// Looks up what is remembered of entries that bear our mark.
    async fn remember(&mut self, delivered: &mut [Delivered]) -> Result<(), BrokerError> {
        let marked: Vec<&mut Delivered> = delivered
            .iter_mut()
            .filter(|one| {
                one.message
                    .fields
                    .iter()
                    .any(|(name, _)| name == CHECKPOINT_FIELD)
            })
            .collect();
        if marked.is_empty() {
            return Ok(());
        }
        let places: Vec<&str> = marked.iter().map(|one| one.held.place.as_str()).collect();
        let remembered: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.broker.keys().checkpoints())
            .arg(&places)
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        for (one, resume) in marked.into_iter().zip(remembered) {
            one.forged = resume.is_none();
            one.resume = resume;
            one.message = without_mark(std::mem::take(&mut one.message.fields));
        }
        Ok(())
    }

    fn hold(&self, queue: &QueueName, entry: String) -> Held {
        Held {
            queue: queue.clone(),
            place: Place::new(queue, &entry),
            entry,
            worker: self.worker.clone(),
        }
    }
}

impl Queues<'_> {
    /// Makes the queues' groups where they are missing, and a reader of them.
    pub async fn reader(
        self,
        queues: &[QueueName],
        worker: &WorkerId,
    ) -> Result<QueueReader, BrokerError> {
        // What came out of a lane goes before what is new.
        let streams: Vec<QueueName> = queues
            .iter()
            .flat_map(|queue| [queue.ready(), queue.clone()])
            .collect();
        for stream in &streams {
            self.broker
                .create_group(&self.broker.keys().queue(stream), WORKERS_GROUP)
                .await?;
        }
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let () = self
            .broker
            .shared()
            .sadd(self.broker.keys().queues(), names)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(QueueReader {
            broker: self.broker.clone(),
            connection: self.broker.dedicated().await?,
            queues: queues.len(),
            streams,
            left_out: Vec::new(),
            worker: worker.clone(),
        })
    }
}

fn without_mark(fields: Fields) -> RawMessage {
    RawMessage {
        fields: fields
            .into_iter()
            .filter(|(name, _)| name != CHECKPOINT_FIELD)
            .collect(),
    }
}
