//! Lanes of parked jobs: promote, release, inspect.

mod parked;
mod release_now;

use std::time::Duration;

use longshore_protocol::id::EntryId;
use redis::AsyncCommands as _;

pub use self::{
    parked::{LanePosition, ParkedJob, TenantPosition},
    release_now::ReleasedNow,
};
use crate::{BrokerError, Lanes, scripts};

/// The result of releasing jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    /// Jobs that left their lanes.
    pub jobs: usize,
    /// When the next release is due; `None` if nothing is parked.
    pub again: Option<Duration>,
}

impl Released {
    /// Adds another result.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            again: self.again.into_iter().chain(other.again).min(),
        }
    }
}

impl From<(usize, f64)> for Released {
    /// The reply of the scripts: how many jobs, and ms until the next release (-1 = none).
    fn from((jobs, again_ms): (usize, f64)) -> Self {
        Self {
            jobs,
            again: Duration::try_from_secs_f64(again_ms / 1000.0).ok(),
        }
    }
}

impl Lanes<'_> {
    /// Every lane that is not empty, with the number of its jobs.
    pub async fn sizes(self) -> Result<Vec<(String, u64)>, BrokerError> {
        let mut lanes = Vec::new();
        for (name, key) in [
            ("time", self.broker.keys().time_lane()),
            ("version", self.broker.keys().version_lane()),
        ] {
            let held: u64 = self
                .broker
                .shared()
                .zcard(key)
                .await
                .map_err(|source| self.broker.failed(source))?;
            if held > 0 {
                lanes.push((name.to_owned(), held));
            }
        }
        for name in self.broker.pauses().lane_names().await? {
            let held: u64 = self
                .broker
                .shared()
                .zcard(format!("{}{name}", self.broker.keys().lane_prefix()))
                .await
                .map_err(|source| self.broker.failed(source))?;
            if held > 0 {
                lanes.push((name, held));
            }
        }
        for (kind, prefix) in [
            ("key", self.broker.keys().key_lane_prefix()),
            ("quota", self.broker.keys().quota_lane_prefix()),
            ("tenant", self.broker.keys().tenant_lane_prefix()),
        ] {
            for key in self.broker.scan(&format!("{prefix}*")).await? {
                let held: u64 = self
                    .broker
                    .shared()
                    .llen(&key)
                    .await
                    .map_err(|source| self.broker.failed(source))?;
                if let Some(name) = key.strip_prefix(&prefix) {
                    lanes.push((format!("{kind}:{name}"), held));
                }
            }
        }
        lanes.sort();
        Ok(lanes)
    }

    /// The jobs that wait for a time.
    pub async fn scheduled_count(self) -> Result<u64, BrokerError> {
        self.broker
            .shared()
            .zcard(self.broker.keys().time_lane())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// The entry ids of the first jobs of each lane, at most `most` each.
    pub async fn first_entry_ids(self, most: usize) -> Result<Vec<EntryId>, BrokerError> {
        let last = isize::try_from(most)
            .unwrap_or(isize::MAX)
            .saturating_sub(1);
        let mut ids: Vec<String> = Vec::new();
        let mut times = vec![
            self.broker.keys().time_lane(),
            self.broker.keys().version_lane(),
        ];
        let paused = self.broker.pauses().lane_names().await?;
        let prefix = self.broker.keys().lane_prefix();
        times.extend(paused.iter().map(|name| format!("{prefix}{name}")));
        for lane in times {
            let some: Vec<String> = self
                .broker
                .shared()
                .zrange(lane, 0, last)
                .await
                .map_err(|source| self.broker.failed(source))?;
            ids.extend(some);
        }
        for prefix in [
            self.broker.keys().key_lane_prefix(),
            self.broker.keys().quota_lane_prefix(),
            self.broker.keys().tenant_lane_prefix(),
        ] {
            for lane in self.broker.scan(&format!("{prefix}*")).await? {
                let some: Vec<String> = self
                    .broker
                    .shared()
                    .lrange(lane, 0, last)
                    .await
                    .map_err(|source| self.broker.failed(source))?;
                ids.extend(some);
            }
        }
        Ok(ids.iter().map(|id| EntryId::from_stored(id)).collect())
    }

    /// Promotes at most `limit` jobs that are due in the lanes of times and versions.
    pub async fn promote(self, limit: usize) -> Result<Released, BrokerError> {
        let mut call = scripts::PROMOTE.key(self.broker.keys().time_lane());
        call.key(self.broker.keys().version_lane())
            .arg(self.broker.keys().prefix())
            .arg(limit);
        let promoted: (usize, f64) = self.broker.run(&call).await?;
        Ok(promoted.into())
    }

    /// Releases at most `most` jobs whose limits have room again.
    pub async fn release(self, most: usize) -> Result<Released, BrokerError> {
        let mut call = scripts::RELEASE_LANES.key(self.broker.keys().lanes_due());
        call.arg(self.broker.keys().prefix()).arg(most);
        let some: (usize, f64) = self.broker.run(&call).await?;
        Ok(some.into())
    }

    /// Has the lanes of all limits tried again at once, because their configuration has changed.
    pub async fn retry_all(self) -> Result<(), BrokerError> {
        let mut call = scripts::RETRY_ALL_LANES.key(self.broker.keys().lanes_due());
        call.arg(self.broker.keys().prefix());
        self.broker.run(&call).await
    }

    /// Ends pauses that are over, and releases at most `limit` jobs of what is resumed.
    pub async fn release_resumed(self, limit: usize) -> Result<Released, BrokerError> {
        let mut call = scripts::RELEASE_RESUMED.key(self.broker.keys().paused());
        call.arg(self.broker.keys().prefix()).arg(limit);
        let some: (usize, f64) = self.broker.run(&call).await?;
        Ok(Released::from(some))
    }
}
