//! What is paused, as all workers know it; and how a job that waits for a pause's end is laid aside.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, Fence, PAUSED_MESSAGE, Paused, Pausing};
use longshore_policy::pause::{Pause, PausedLane, Pauses, Target, order};
use longshore_protocol::{
    event::AttemptRecord, id::QueueName, platform::PlatformName, state::JobState,
};
use tokio::sync::Notify;

use crate::{aside::Aside, deps::Deps, job::Job, patience::patiently, settle};

/// Whoever missed what was said learns it after this long.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is paused.
#[derive(Debug, Default)]
pub struct KnownPauses {
    known: RwLock<Arc<Pauses>>,
    told: Notify,
    changed: Notify,
}

impl KnownPauses {
    fn known(&self) -> Arc<Pauses> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks what is paused.
    pub(crate) async fn learn(&self, broker: &Broker) -> Result<(), BrokerError> {
        let fresh = broker.pauses().await?;
        if *self.known() == fresh {
            return Ok(());
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Hears that something was paused or resumed; whether the message says so.
    pub(crate) fn obey(&self, message: &str) -> bool {
        let heard = message == PAUSED_MESSAGE;
        if heard {
            self.look();
        }
        heard
    }

    /// Has it looked at soon what is paused.
    pub(crate) fn look(&self) {
        self.told.notify_one();
    }

    /// Which of the queues are paused.
    pub(crate) fn queues(&self, all: &[QueueName], now: DateTime<Utc>) -> Vec<QueueName> {
        let known = self.known();
        if known.is_empty() {
            return Vec::new();
        }
        let now_ms = now.timestamp_millis();
        all.iter()
            .filter(|queue| known.of(&Target::queue(queue), now_ms).is_some())
            .cloned()
            .collect()
    }

    /// The lane of a type's jobs, if it is paused.
    pub(crate) fn type_lane(&self, name: &str, now: DateTime<Utc>) -> Option<PausedLane> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known.of(&Target::task_type(name), now.timestamp_millis())?;
        Some(PausedLane::of_type(name))
    }

    /// The pause of a provider, if it is paused.
    pub(crate) fn provider(&self, name: &PlatformName, now: DateTime<Utc>) -> Option<Pause> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known
            .of(&Target::provider(name), now.timestamp_millis())
            .cloned()
    }

    /// Waits until something else is paused than before, or `most` is over.
    pub(crate) async fn change(&self, most: Duration) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }
}

/// Learns what is paused whenever something is said, and now and then, until the worker drains.
pub(crate) async fn follow(deps: Arc<Deps>) {
    loop {
        if let Err(error) = deps.pauses.learn(&deps.broker).await {
            tracing::warn!("what is paused is not known: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = deps.pauses.told.notified() => {}
            () = deps.drain.cancelled() => return,
        }
    }
}

/// Lays a job aside until something is resumed.
pub(crate) async fn park(
    job: &Job,
    attempt: Option<AttemptRecord>,
    lane: &PausedLane,
    deps: &Deps,
) -> Fence {
    let (aside, order) = {
        let progress = job.progress();
        let state = if progress.resume.attempts > 0 {
            JobState::Retryable
        } else {
            JobState::Scheduled
        };
        let received = progress.resume.enqueued_at.timestamp_millis();
        let order = order(received, &progress.resume.id, &job.held.place);
        let aside = Aside::of(
            job,
            &progress,
            attempt.as_ref(),
            state,
            None,
            deps.clock.now(),
        );
        (aside, order)
    };
    let pausing = Pausing {
        attempt: attempt.as_ref().map(|attempt| attempt.attempt_id),
        event: &aside.event,
        lane,
        order: &order,
        concurrency: aside.concurrency.as_ref(),
        resume: &aside.resume,
        spent: aside.spent,
    };
    let parked = patiently("lay aside until it is resumed", || {
        deps.broker.park_paused(&job.held, &aside.id, &pausing)
    })
    .await;
    match parked {
        Paused::Yes => Fence::Held,
        Paused::Lost => Fence::Lost,
        Paused::Resumed => settle::hand_back(job, attempt, deps).await,
        Paused::Cancelled => settle::cancel_on_request(job, attempt, deps).await,
    }
}
