//! What goes to Redis of a job that is laid aside, wherever it waits.

use chrono::{DateTime, Utc};
use longshore_broker::Spent;
use longshore_protocol::{
    envelope::Concurrency,
    event::{AttemptRecord, Event},
    id::JobId,
    state::JobState,
};

use crate::{
    job::{Job, Progress},
    records::{self, Ended},
    settle::json,
};

/// What is sent of a job that is laid aside.
pub(crate) struct Aside {
    pub(crate) id: JobId,
    pub(crate) event: String,
    pub(crate) resume: String,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) spent: Spent,
}

impl Aside {
    pub(crate) fn of(
        job: &Job,
        progress: &Progress,
        attempt: Option<&AttemptRecord>,
        state: JobState,
        due: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let ended = Ended {
            due,
            ..Ended::default()
        };
        Self {
            id: progress.resume.id.clone(),
            event: json(&Event {
                job: Some(records::job_record(job, progress, state, now, &ended)),
                attempt: attempt.cloned(),
                ..Event::default()
            }),
            resume: json(&progress.resume.clone().moved()),
            concurrency: progress.concurrency().cloned(),
            spent: progress.spent,
        }
    }
}
