//! What stands in the queues and lanes.

use longshore_protocol::{
    id::QueueName,
    keys::{RETURNED, WORKERS_GROUP},
};
use redis::AsyncCommands as _;

use super::{Broker, BrokerError, LetGo, scripts, workers::is_missing};

/// How full a queue is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QueueDepth {
    /// The queue.
    pub queue: QueueName,
    /// Jobs that nobody has yet.
    pub available: u64,
    /// Jobs in workers' hands.
    pub running: u64,
}

impl Broker {
    /// The queues that exist.
    pub async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let mut queues: Vec<QueueName> =
            self.streams().await?.iter().map(QueueName::base).collect();
        queues.dedup();
        Ok(queues)
    }

    /// The queues that workers have read; unlike [`Self::queues`] it asks for no look through all keys, of
    /// which each outcome is one.
    pub async fn read_queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let names: Vec<String> = self
            .shared()
            .smembers(self.keys().queues())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(names
            .iter()
            .map(|name| QueueName::from_record(name))
            .collect())
    }

    /// The streams of the queues: of each the one that is read first, and that of new jobs.
    pub async fn streams(&self) -> Result<Vec<QueueName>, BrokerError> {
        let prefix = self.keys().queue_prefix();
        let mut streams: Vec<QueueName> = self
            .scan(&format!("{prefix}*"))
            .await?
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix))
            .map(QueueName::from_record)
            .filter(|name| QueueName::parse(name.base().as_str()).is_ok())
            .collect();
        streams.sort_by_key(|name| (name.base(), !name.is_ready()));
        Ok(streams)
    }

    /// How full a queue is, with the jobs that came out of a lane.
    pub async fn depth(&self, queue: &QueueName) -> Result<QueueDepth, BrokerError> {
        let (new, ready) = (
            self.stream_depth(queue).await?,
            self.stream_depth(&queue.ready()).await?,
        );
        Ok(QueueDepth {
            queue: queue.clone(),
            available: new.available + ready.available,
            running: new.running + ready.running,
        })
    }

    async fn stream_depth(&self, queue: &QueueName) -> Result<QueueDepth, BrokerError> {
        let key = self.keys().queue(queue);
        let length: u64 = self
            .shared()
            .xlen(&key)
            .await
            .map_err(|source| self.failed(source))?;
        let info: Result<redis::streams::StreamInfoConsumersReply, _> =
            self.shared().xinfo_consumers(&key, WORKERS_GROUP).await;
        let running = match info {
            Ok(reply) => reply
                .consumers
                .iter()
                .filter(|consumer| consumer.name != RETURNED)
                .map(|consumer| consumer.pending as u64)
                .sum(),
            Err(error) if is_missing(&error) => 0,
            Err(error) => return Err(self.failed(error)),
        };
        Ok(QueueDepth {
            queue: queue.clone(),
            available: length.saturating_sub(running),
            running,
        })
    }

    /// Every lane that holds something, and how many jobs.
    pub async fn lanes(&self) -> Result<Vec<(String, u64)>, BrokerError> {
        let mut lanes = Vec::new();
        for (name, key) in [
            ("time", self.keys().time_lane()),
            ("version", self.keys().version_lane()),
        ] {
            let held: u64 = self
                .shared()
                .zcard(key)
                .await
                .map_err(|source| self.failed(source))?;
            if held > 0 {
                lanes.push((name.to_owned(), held));
            }
        }
        for name in self.paused_lanes().await? {
            let held: u64 = self
                .shared()
                .zcard(format!("{}{name}", self.keys().lane_prefix()))
                .await
                .map_err(|source| self.failed(source))?;
            if held > 0 {
                lanes.push((name, held));
            }
        }
        for (kind, prefix) in [
            ("key", self.keys().key_lane_prefix()),
            ("quota", self.keys().quota_lane_prefix()),
            ("tenant", self.keys().tenant_lane_prefix()),
        ] {
            for key in self.scan(&format!("{prefix}*")).await? {
                let held: u64 = self
                    .shared()
                    .llen(&key)
                    .await
                    .map_err(|source| self.failed(source))?;
                if let Some(name) = key.strip_prefix(&prefix) {
                    lanes.push((format!("{kind}:{name}"), held));
                }
            }
        }
        lanes.sort();
        Ok(lanes)
    }

    /// Lets go of at most `limit` jobs that are due in the lanes of time and of versions.
    pub async fn promote(&self, limit: usize) -> Result<LetGo, BrokerError> {
        let mut call = scripts::PROMOTE.key(self.keys().time_lane());
        call.key(self.keys().version_lane())
            .arg(self.keys().prefix())
            .arg(limit);
        let promoted: (usize, f64) = self.step(&call).await?;
        Ok(promoted.into())
    }

    /// Subscribes to what wakes the scheduler.
    pub async fn wakes(&self) -> Result<redis::aio::PubSub, BrokerError> {
        self.subscribe(&self.keys().wake()).await
    }

    /// Forgets requests to cancel jobs that nobody has seen since `before_ms`: their ids were mistaken, or
    /// their outcomes are gone.
    pub async fn forget_cancels(&self, before_ms: i64) -> Result<usize, BrokerError> {
        self.shared()
            .zrembyscore(self.keys().cancelled(), "-inf", before_ms)
            .await
            .map_err(|source| self.failed(source))
    }

    /// All keys of a pattern, by `SCAN`.
    pub(crate) async fn scan(&self, pattern: &str) -> Result<Vec<String>, BrokerError> {
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

    /// Those of the next thousand keys that a pattern has, and where it goes on (0 = it does not). One may be
    /// found twice.
    pub(crate) async fn scan_page(
        &self,
        pattern: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<String>), BrokerError> {
        // The braces of the hash tag are plain in a pattern.
        redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))
    }
}
