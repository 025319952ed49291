//! How many jobs a queue has, and how long the oldest has waited.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    id::{EntryId, QueueName},
    keys::{RETURNED, WORKERS_GROUP},
};
use redis::{AsyncCommands as _, RedisResult};

use crate::{BrokerError, Queues};

/// The most tenants whose parked jobs are counted.
const MOST_TENANTS: isize = 10_000;

/// The depth of a queue.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QueueDepth {
    pub queue: QueueName,
    /// Jobs that no worker has: in the queue, or parked until it is the turn of their tenant.
    pub available: u64,
    /// Jobs in flight.
    pub running: u64,
    /// When the oldest available job was enqueued.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Jobs that no worker has.
#[derive(Debug, Default)]
struct Available {
    jobs: u64,
    /// The first of them, by their entries: one may be the oldest.
    first: Vec<EntryId>,
}

impl Queues<'_> {
    /// The depth of a queue, including its released jobs and those parked by tenant.
    pub async fn depth(self, queue: &QueueName) -> Result<QueueDepth, BrokerError> {
        let (mut available, running) = self.stream_depth(queue).await?;
        let (ready, ready_running) = self.stream_depth(&queue.ready()).await?;
        let parked = self.parked_by_tenant(queue).await?;
        for other in [ready, parked] {
            available.jobs += other.jobs;
            available.first.extend(other.first);
        }
        Ok(QueueDepth {
            queue: queue.clone(),
            available: available.jobs,
            running: running + ready_running,
            oldest_at: self.oldest(&available.first).await?,
        })
    }

    /// The available jobs of a stream, and how many are in flight.
    async fn stream_depth(self, stream: &QueueName) -> Result<(Available, u64), BrokerError> {
        let key = self.broker.keys().queue(stream);
        let length: u64 = self
            .broker
            .shared()
            .xlen(&key)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let info: RedisResult<redis::streams::StreamInfoConsumersReply> = self
            .broker
            .shared()
            .xinfo_consumers(&key, WORKERS_GROUP)
            .await;
        let consumers = self.broker.if_present(info)?.map(|info| info.consumers);
        let running = consumers
            .unwrap_or_default()
            .iter()
            .filter(|consumer| consumer.name != RETURNED)
            .map(|consumer| consumer.pending as u64)
            .sum();
        let jobs = length.saturating_sub(running);
        let first = if jobs > 0 {
            self.first_available(stream).await?
        } else {
            Vec::new()
        };
        Ok((Available { jobs, first }, running))
    }

    /// The first entry that was never delivered, and the first that was handed back.
    async fn first_available(self, stream: &QueueName) -> Result<Vec<EntryId>, BrokerError> {
        let after = format!("({}", self.last_delivered(stream).await?);
        let new = self.entries(stream, &after, "+", 1, false).await?;
        let returned: RedisResult<redis::streams::StreamPendingCountReply> = self
            .broker
            .shared()
            .xpending_consumer_count(
                self.broker.keys().queue(stream),
                WORKERS_GROUP,
                "-",
                "+",
                1,
                RETURNED,
            )
            .await;
        let returned = self.broker.if_present(returned)?.map(|reply| reply.ids);
        let returned = returned.unwrap_or_default();
        let entries = new.iter().map(|(entry, _)| entry);
        Ok(entries
            .chain(returned.iter().map(|pending| &pending.id))
            .map(|entry| EntryId::new(stream, entry))
            .collect())
    }

    /// The jobs of a queue that wait for the turn of their tenant.
    async fn parked_by_tenant(self, queue: &QueueName) -> Result<Available, BrokerError> {
        let tenants: Vec<String> = self
            .broker
            .shared()
            .zrange(self.broker.keys().tenants(queue), 0, MOST_TENANTS - 1)
            .await
            .map_err(|source| self.broker.failed(source))?;
        if tenants.is_empty() {
            return Ok(Available::default());
        }
        let mut pipe = redis::pipe();
        for tenant in &tenants {
            let lane = self.broker.keys().tenant_lane(queue, tenant);
            pipe.llen(&lane).lindex(&lane, 0);
        }
        let lanes: Vec<(u64, Option<String>)> = pipe
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let first = lanes.iter().filter_map(|(_, first)| first.as_deref());
        Ok(Available {
            jobs: lanes.iter().map(|(jobs, _)| jobs).sum(),
            first: first.map(EntryId::from_stored).collect(),
        })
    }

    /// When the oldest of these entries' jobs was enqueued. An entry that came from a lane is younger than its job.
    async fn oldest(self, entry_ids: &[EntryId]) -> Result<Option<DateTime<Utc>>, BrokerError> {
        /// What is read of a checkpoint. One that cannot be read does not hide the depth.
        #[derive(serde::Deserialize)]
        struct Received {
            enqueued_at: DateTime<Utc>,
        }
        let checkpoints = self.broker.keys().checkpoints();
        let texts = self
            .broker
            .values_of_entries(checkpoints, entry_ids)
            .await?;
        let enqueued = entry_ids.iter().zip(texts).filter_map(|(entry_id, text)| {
            let received = serde_json::from_str::<Received>(&text.unwrap_or_default());
            received.map_or_else(|_| entry_id.received_at(), |known| Some(known.enqueued_at))
        });
        Ok(enqueued.min())
    }
}
