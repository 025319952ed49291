//! The jobs in this worker's hands: which they are, and how one is told to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use longshore_broker::Broker;
use longshore_protocol::id::{JobId, Place};
use tokio_util::sync::CancellationToken;

use crate::job::Job;

/// The jobs in this worker's hands, from delivery to the last step.
#[derive(Debug, Default)]
pub struct Hands {
    jobs: Mutex<HashMap<Place, Arc<Job>>>,
}

impl Hands {
    fn jobs(&self) -> MutexGuard<'_, HashMap<Place, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.jobs().len()
    }

    /// Whether the job at this place is here.
    pub(crate) fn hold(&self, place: &Place) -> bool {
        self.jobs().contains_key(place)
    }

    pub(crate) fn take(&self, job: &Arc<Job>) {
        self.jobs().insert(job.held.place.clone(), job.clone());
    }

    /// The job has ended here. One that was lost and came back stays.
    pub(crate) fn let_go(&self, job: &Arc<Job>) {
        let mut jobs = self.jobs();
        if jobs
            .get(&job.held.place)
            .is_some_and(|held| Arc::ptr_eq(held, job))
        {
            jobs.remove(&job.held.place);
        }
    }

    /// Hears requests to running workers until `stop`; `other` hears those that are not to cancel a job, and
    /// `begun` whenever the hearing begins: what was said before was missed.
    pub(crate) async fn listen(
        &self,
        broker: &Broker,
        other: impl Fn(&str),
        begun: impl Fn(),
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            if let Err(error) = self.listen_once(broker, &other, &begun, &stop).await {
                tracing::warn!("requests to running jobs are not heard: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn listen_once(
        &self,
        broker: &Broker,
        other: &impl Fn(&str),
        begun: &impl Fn(),
        stop: &CancellationToken,
    ) -> Result<(), longshore_broker::BrokerError> {
        let mut control = broker.control().await?;
        begun();
        let mut messages = control.on_message();
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(message) = message else {
                return Ok(());
            };
            if let Ok(request) = message.get_payload::<String>()
                && !self.obey(&request)
            {
                other(&request);
            }
        }
    }

    /// Whether the request was for this.
    fn obey(&self, request: &str) -> bool {
        let Some(id) = request
            .strip_prefix("cancel ")
            .and_then(|id| JobId::parse(id).ok())
        else {
            return false;
        };
        for job in self.jobs().values().filter(|job| job.id() == id) {
            tracing::info!(job = %id, "cancelled on request");
            job.cancelled.cancel();
        }
        true
    }
}
