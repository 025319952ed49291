//! Pulling entries out of the queues.

use std::time::Duration;

use redis::{
    AsyncCommands as _, Value,
    aio::MultiplexedConnection,
    streams::{StreamPendingCountReply, StreamReadOptions},
};

use super::{Broker, BrokerError, Held, scripts};
use crate::{
    envelope::RawMessage,
    id::{Place, QueueName, WorkerId},
    keys::{RESUME_FIELD, WORKERS_GROUP},
};

/// A message's names and values.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Pending entries that are listed at once.
const PAGE: usize = 1000;

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

/// Reads entries for one worker on a connection of its own.
pub struct QueueReader {
    broker: Broker,
    connection: MultiplexedConnection,
    queues: Vec<QueueName>,
    worker: WorkerId,
}

impl Broker {
    /// Makes the queues' groups where they are missing, and a reader of them.
    pub async fn reader(
        &self,
        queues: &[QueueName],
        worker: &WorkerId,
    ) -> Result<QueueReader, BrokerError> {
        let reader = QueueReader {
            broker: self.clone(),
            connection: self.patient().await?,
            queues: queues.to_vec(),
            worker: worker.clone(),
        };
        for queue in queues {
            self.create_group(&self.keys().queue(queue), WORKERS_GROUP)
                .await?;
        }
        Ok(reader)
    }

    /// What Redis thinks that a worker has of a queue.
    pub async fn held_by(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
    ) -> Result<Vec<Held>, BrokerError> {
        let key = self.keys().queue(queue);
        let mut held = Vec::new();
        let mut start = "-".to_owned();
        loop {
            let page: StreamPendingCountReply = self
                .shared()
                .xpending_consumer_count(&key, WORKERS_GROUP, &start, "+", PAGE, worker.as_str())
                .await
                .map_err(|source| self.failed(source))?;
            let full = page.ids.len() == PAGE;
            held.extend(page.ids.into_iter().map(|pending| Held {
                queue: queue.clone(),
                place: Place::new(queue, &pending.id),
                entry: pending.id,
                worker: worker.clone(),
            }));
            match held.last() {
                Some(last) if full => start = format!("({}", last.entry),
                _ => return Ok(held),
            }
        }
    }

    /// Makes a stream's group at 0, if it is not there.
    pub(crate) async fn create_group(&self, stream: &str, group: &str) -> Result<(), BrokerError> {
        let made: Result<(), _> = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(stream)
            .arg(group)
            .arg("0")
            .arg("MKSTREAM")
            .query_async(&mut self.shared())
            .await;
        match made {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(self.failed(error)),
            _ => Ok(()),
        }
    }
}

impl QueueReader {
    /// At most `count` entries of all queues together (at least one of each): first what was given
    /// back, then what is new, for which it waits up to `wait`.
    pub async fn read(
        &mut self,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Delivered>, BrokerError> {
        let share = (count / self.queues.len().max(1)).max(1);
        let mut delivered = self.take(share).await?;
        if delivered.is_empty() {
            delivered = self.read_new(share, wait).await?;
        }
        Ok(delivered)
    }

    async fn take(&mut self, share: usize) -> Result<Vec<Delivered>, BrokerError> {
        let mut taken = Vec::new();
        for queue in &self.queues {
            let mut call = scripts::TAKE.key(self.broker.keys().queue(queue));
            call.arg(self.broker.keys().prefix())
                .arg(queue.as_str())
                .arg(self.worker.as_str())
                .arg(share);
            let rows: Vec<(String, Fields, u32, String)> = call
                .invoke_async(&mut self.connection)
                .await
                .map_err(|source| self.broker.failed(source))?;
            for (entry, fields, crashes, resume) in rows {
                let held = self.hold(queue, entry);
                let marked = fields.iter().any(|(name, _)| name == RESUME_FIELD);
                let resume = (!resume.is_empty()).then_some(resume);
                taken.push(Delivered {
                    held,
                    forged: marked && resume.is_none(),
                    message: without_mark(fields),
                    crashes,
                    resume,
                });
            }
        }
        Ok(taken)
    }

    async fn read_new(
        &mut self,
        share: usize,
        wait: Duration,
    ) -> Result<Vec<Delivered>, BrokerError> {
        let options = StreamReadOptions::default()
            .group(WORKERS_GROUP, self.worker.as_str())
            .count(share)
            .block(usize::try_from(wait.as_millis()).unwrap_or(usize::MAX));
        let streams: Vec<String> = self
            .queues
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
                .map_err(|error| Broker::foreign("XREADGROUP", error))?,
        };
        for (stream, entries) in rows {
            let Some(queue) = self
                .queues
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
                    .any(|(name, _)| name == RESUME_FIELD)
            })
            .collect();
        if marked.is_empty() {
            return Ok(());
        }
        let places: Vec<&str> = marked.iter().map(|one| one.held.place.as_str()).collect();
        let remembered: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.broker.keys().resume())
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

fn without_mark(fields: Fields) -> RawMessage {
    RawMessage {
        fields: fields
            .into_iter()
            .filter(|(name, _)| name != RESUME_FIELD)
            .collect(),
    }
}
