//! Queues: enqueueing, listing entries, depths, moving jobs.

mod bump;
mod depth;
mod move_jobs;
mod reader;
mod turns;

use std::time::Duration;

use longshore_protocol::{
    checkpoint::Checkpoint,
    clock::local_time,
    envelope::RawMessage,
    id::{EntryId, JobId, QueueName, WorkerId},
    keys::{RETURNED, WORKERS_GROUP},
};
use redis::{
    AsyncCommands as _, RedisResult,
    streams::{StreamInfoGroup, StreamInfoGroupsReply},
};

pub use self::reader::{DeliveredEntry, EntrySource, QueueReader, TenantEntry};
pub use self::{bump::Bumped, depth::QueueDepth, move_jobs::MovedJob};
use crate::{BrokerError, Queues};

/// A delivered entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The entry's id in the queue's stream.
    pub entry: String,
    /// Its worker; `None` if it was handed back and waits for the next worker.
    pub worker: Option<WorkerId>,
    /// How long ago it was delivered.
    pub since: Duration,
}

/// An entry as Redis returns it: its id, its fields and values.
type Row = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// Entries of a queue's stream: their ids and messages, with the fields that only the server writes.
pub type Entries = Vec<(String, RawMessage)>;

impl Queues<'_> {
    /// Enqueues one message; returns its receipt.
    pub async fn enqueue(
        self,
        queue: &QueueName,
        message: &RawMessage,
    ) -> Result<EntryId, BrokerError> {
        let mut command = redis::cmd("XADD");
        command.arg(self.broker.keys().queue(queue)).arg("*");
        for (name, value) in &self.broker.stored_message(message)?.fields {
            command.arg(name).arg(value);
        }
        let entry: String = command
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(EntryId::new(queue, &entry))
    }

    /// Enqueues JSON messages in one transaction: all or none.
    pub async fn enqueue_all(
        self,
        queue: &QueueName,
        jobs: &[String],
    ) -> Result<Vec<EntryId>, BrokerError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.broker.keys().queue(queue);
        let mut pipe = redis::pipe();
        pipe.atomic();
        for job in jobs {
            let job = self.broker.stored_job(job)?;
            pipe.cmd("XADD").arg(&key).arg("*").arg("job").arg(&*job);
        }
        let entries: Vec<String> = pipe
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(entries
            .iter()
            .map(|entry| EntryId::new(queue, entry))
            .collect())
    }

    /// All queues, by `SCAN`.
    pub async fn list(self) -> Result<Vec<QueueName>, BrokerError> {
        let mut queues: Vec<QueueName> =
            self.streams().await?.iter().map(QueueName::base).collect();
        queues.dedup();
        Ok(queues)
    }

    /// The queues that workers have read. Unlike [`Self::list`] this does not scan all keys, of which every stored
    /// outcome is one.
    pub async fn registered(self) -> Result<Vec<QueueName>, BrokerError> {
        let names: Vec<String> = self
            .broker
            .shared()
            .smembers(self.broker.keys().queues())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(names
            .iter()
            .map(|name| QueueName::from_stored(name))
            .collect())
    }

    /// The streams of all queues: of each the stream of released jobs, which is read first, and that of new jobs.
    pub async fn streams(self) -> Result<Vec<QueueName>, BrokerError> {
        let prefix = self.broker.keys().queue_prefix();
        let mut streams: Vec<QueueName> = self
            .broker
            .scan(&format!("{prefix}*"))
            .await?
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix))
            .map(QueueName::from_stored)
            .filter(|name| QueueName::parse(name.base().as_str()).is_ok())
            .collect();
        streams.sort_by_key(|name| (name.base(), !name.is_ready()));
        Ok(streams)
    }

    /// At most `count` entries of a queue between two stream ids (`-`, `+`, `(ID`), oldest or newest first.
    pub async fn entries(
        self,
        queue: &QueueName,
        from: &str,
        to: &str,
        count: usize,
        newest_first: bool,
    ) -> Result<Entries, BrokerError> {
        let (command, first, last) = if newest_first {
            ("XREVRANGE", to, from)
        } else {
            ("XRANGE", from, to)
        };
        let rows: Vec<Row> = redis::cmd(command)
            .arg(self.broker.keys().queue(queue))
            .arg(first)
            .arg(last)
            .arg("COUNT")
            .arg(count)
            // On a pooled connection, because messages may be large.
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(rows
            .into_iter()
            .map(|(entry, fields)| (entry, self.broker.opened_message(RawMessage { fields }).0))
            .collect())
    }

    /// At most `count` delivered entries of a queue between two stream ids, oldest first.
    pub async fn pending_entries(
        self,
        queue: &QueueName,
        from: &str,
        to: &str,
        count: usize,
    ) -> Result<Vec<Pending>, BrokerError> {
        let found: Result<redis::streams::StreamPendingCountReply, _> = self
            .broker
            .shared()
            .xpending_count(
                self.broker.keys().queue(queue),
                WORKERS_GROUP,
                from,
                to,
                count,
            )
            .await;
        // Without the queue or its group, nothing was delivered.
        let rows = self.broker.if_present(found)?.map(|reply| reply.ids);
        Ok(rows
            .unwrap_or_default()
            .into_iter()
            .map(|row| Pending {
                entry: row.id,
                worker: (row.consumer != RETURNED).then(|| WorkerId::from_stored(&row.consumer)),
                since: Duration::from_millis(row.last_delivered_ms as u64),
            })
            .collect())
    }

    /// The newest entry of a queue that was delivered; later entries are new.
    pub async fn last_delivered(self, queue: &QueueName) -> Result<String, BrokerError> {
        let group = self.workers_group(queue).await?;
        Ok(group.map_or_else(|| "0-0".to_owned(), |group| group.last_delivered_id))
    }

    /// Whether a worker has ever started to read a queue.
    pub async fn has_been_read(self, queue: &QueueName) -> Result<bool, BrokerError> {
        Ok(self.workers_group(queue).await?.is_some())
    }

    async fn workers_group(
        self,
        queue: &QueueName,
    ) -> Result<Option<StreamInfoGroup>, BrokerError> {
        let found: RedisResult<StreamInfoGroupsReply> = self
            .broker
            .shared()
            .xinfo_groups(self.broker.keys().queue(queue))
            .await;
        let groups = self.broker.if_present(found)?.map(|reply| reply.groups);
        let mut groups = groups.unwrap_or_default().into_iter();
        Ok(groups.find(|group| group.name == WORKERS_GROUP))
    }

    /// The last entry id of a queue, which Redis or a producer has chosen; `None` if the queue does not exist.
    pub async fn last_entry(self, queue: &QueueName) -> Result<Option<EntryId>, BrokerError> {
        let found: RedisResult<redis::streams::StreamInfoStreamReply> = self
            .broker
            .shared()
            .xinfo_stream(self.broker.keys().queue(queue))
            .await;
        let info = self.broker.if_present(found)?;
        Ok(info.map(|info| EntryId::new(queue, &info.last_generated_id)))
    }

    /// The message of an entry, if it is still in its queue.
    pub async fn message_at(self, entry_id: &EntryId) -> Result<Option<RawMessage>, BrokerError> {
        let (queue, entry) = entry_id.parts();
        let queue = QueueName::from_stored(queue);
        let found: Result<Vec<Row>, _> = self
            .broker
            .shared()
            .xrange(self.broker.keys().queue(&queue), entry, entry)
            .await;
        match found {
            Ok(rows) => Ok(rows
                .into_iter()
                .next()
                .map(|(_, fields)| self.broker.opened_message(RawMessage { fields }).0)),
            // The entry id does not have the form of a stream id.
            Err(error) if !error.is_io_error() && !error.is_timeout() => Ok(None),
            Err(error) => Err(self.broker.failed(error)),
        }
    }

    /// The checkpoint of a job that has none yet when its entry moves, so that it keeps the identity of its receipt.
    fn fresh_checkpoint(self, entry_id: &EntryId) -> Result<String, BrokerError> {
        let received = entry_id.received_at().unwrap_or_else(local_time);
        let fresh = Checkpoint::fresh(JobId::from_entry(entry_id), received);
        self.broker.checkpoint_json(&fresh)
    }
}
