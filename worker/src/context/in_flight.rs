//! The jobs that this worker runs now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use longshore_protocol::id::{EntryId, JobId};

use crate::job::Job;

/// The jobs in flight, from delivery until they are settled, by entry id.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    jobs: Mutex<HashMap<EntryId, Arc<Job>>>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<EntryId, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn contains(&self, entry_id: &EntryId) -> bool {
        self.lock().contains_key(entry_id)
    }

    pub(crate) fn insert(&self, job: &Arc<Job>) {
        self.lock()
            .insert(job.delivery.entry_id.clone(), job.clone());
    }

    /// Removes a job that ended here. If its entry was recovered and delivered here again, the new delivery
    /// stays.
    pub(crate) fn remove(&self, job: &Arc<Job>) {
        let mut jobs = self.lock();
        let entry_id = &job.delivery.entry_id;
        if jobs
            .get(entry_id)
            .is_some_and(|current| Arc::ptr_eq(current, job))
        {
            jobs.remove(entry_id);
        }
    }

    /// Cancels every job in flight with this id.
    pub(crate) fn cancel(&self, id: &JobId) {
        for job in self.lock().values().filter(|job| job.id() == *id) {
            tracing::info!(job_id = %id, "job cancelled on request");
            job.cancelled.cancel();
        }
    }
}
