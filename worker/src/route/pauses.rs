//! The pauses that are in force, as all workers know them.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_policy::pause::{Pause, PausedLane, Pauses, Target};
use longshore_protocol::{id::QueueName, platform::PlatformName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the pauses are refreshed even without a control message, because one may have been lost.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// The pauses in force.
#[derive(Debug, Default)]
pub(crate) struct KnownPauses {
    known: RwLock<Arc<Pauses>>,
    refresh_requested: Notify,
    changed: Notify,
}

impl KnownPauses {
    fn known(&self) -> Arc<Pauses> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Refreshes on request and every few seconds, until `stop`.
    pub(crate) async fn follow(&self, broker: &Broker, stop: &CancellationToken) {
        loop {
            if let Err(error) = self.refresh(broker).await {
                tracing::warn!("pause refresh failed: {error}; retrying in {REFRESH_EVERY:?}");
            }
            tokio::select! {
                () = tokio::time::sleep(REFRESH_EVERY) => {}
                () = self.refresh_requested.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the pauses from Redis.
    pub(crate) async fn refresh(&self, broker: &Broker) -> Result<(), BrokerError> {
        let fresh = broker.pauses().list().await?;
        if *self.known() == fresh {
            return Ok(());
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Makes [`follow`](Self::follow) refresh at once.
    pub(crate) fn refresh_soon(&self) {
        self.refresh_requested.notify_one();
    }

    /// Which of the queues are paused.
    pub(crate) fn paused_queues(&self, all: &[QueueName], now: DateTime<Utc>) -> Vec<QueueName> {
        let known = self.known();
        if known.is_empty() {
            return Vec::new();
        }
        let now_ms = now.timestamp_millis();
        all.iter()
            .filter(|queue| known.get(&Target::queue(queue), now_ms).is_some())
            .cloned()
            .collect()
    }

    /// The lane for jobs of this type, if the type is paused.
    pub(crate) fn task_type_lane(&self, name: &str, now: DateTime<Utc>) -> Option<PausedLane> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known.get(&Target::task_type(name), now.timestamp_millis())?;
        Some(PausedLane::of_type(name))
    }

    /// The pause of a provider, if it is paused.
    pub(crate) fn provider_pause(&self, name: &PlatformName, now: DateTime<Utc>) -> Option<Pause> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known
            .get(&Target::provider(name), now.timestamp_millis())
            .cloned()
    }

    /// Waits until the pauses change, or `longest` has passed.
    pub(crate) async fn changed_within(&self, longest: Duration) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(longest) => {}
        }
    }
}
