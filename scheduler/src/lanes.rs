//! Promotes jobs that are due, and releases parked jobs whose limit, provider or queue is available again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{Broker, BrokerError};
use longshore_service::backoff::{Backoff, Schedule};
use longshore_service::instruments::JOBS_PROMOTED;
use tokio::sync::Notify;

use crate::duty::Background;

/// Jobs that one script call promotes. It blocks Redis for 1 to 2 ms, and for less than 10 ms if Redis shares
/// its processor.
const PROMOTE_BATCH: usize = 100;

/// Calls in a row while more jobs are due, before the other duties run.
const PROMOTE_CALLS: usize = 50;

/// Jobs that one script call releases from the lanes of limits.
const RELEASE_BATCH: usize = 250;

/// When the lanes are scanned next.
pub(crate) struct Lanes {
    /// `None` means at once.
    due: Option<Instant>,
    scan_every: Duration,
}

impl Lanes {
    /// Scans the lanes at least this often: a job is never later by more, even if the server's clock is set or a
    /// wake-up is lost.
    pub(crate) fn scanned_every(scan_every: Duration) -> Self {
        Self {
            due: None,
            scan_every,
        }
    }

    /// Makes the lanes due at once.
    pub(crate) fn wake(&mut self) {
        self.due = None;
    }

    /// Whether more jobs are due than the last scan released.
    pub(crate) fn has_more(&self) -> bool {
        self.due.is_none()
    }

    pub(crate) fn due_in(&self) -> Duration {
        self.due.map_or(Duration::ZERO, |due| {
            due.saturating_duration_since(Instant::now())
        })
    }

    /// Promotes and releases jobs, if the lanes are due.
    pub(crate) async fn release_jobs(&mut self, broker: &Broker) -> Result<(), BrokerError> {
        if self.due.is_some_and(|due| due > Instant::now()) {
            return Ok(());
        }
        let mut released = broker
            .lanes()
            .release(RELEASE_BATCH)
            .await?
            .and(broker.lanes().release_resumed(RELEASE_BATCH).await?);
        let mut more = released.jobs >= RELEASE_BATCH;
        for _ in 0..PROMOTE_CALLS {
            let promoted = broker.lanes().promote(PROMOTE_BATCH).await?;
            released = released.and(promoted);
            if promoted.jobs < PROMOTE_BATCH {
                break;
            }
            more = true;
        }
        JOBS_PROMOTED.add([], released.jobs as u64);
        let due_in = released.again.unwrap_or(self.scan_every);
        self.due = (!more).then(|| Instant::now() + due_in.min(self.scan_every));
        Ok(())
    }
}

/// Notifies `wake` when a job becomes due before the next scan of the lanes.
pub(crate) async fn listen_for_wake_ups(background: Background, wake: Arc<Notify>) {
    let listen = async {
        let mut backoff = Backoff::new(Schedule::RESUBSCRIBE);
        loop {
            match background.broker.leader().subscribe_wake_ups().await {
                Ok(mut subscription) => {
                    backoff.reset();
                    // Wake-ups were lost before the subscription.
                    wake.notify_one();
                    while subscription.next().await.is_some() {
                        wake.notify_one();
                    }
                }
                Err(error) => tracing::warn!("wake-up subscription lost: {error}"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    };
    background.stop.run_until_cancelled(listen).await;
}
