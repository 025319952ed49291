//! A job in a worker's hands: its message, what is remembered of it, and what is happening to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use longshore_broker::{Delivered, Held, Spent};
use longshore_protocol::{
    checkpoint::{PastAttempt, Resume},
    envelope::{Concurrency, Envelope, RawMessage},
    event::{AttemptRecord, JobLabels},
    id::JobId,
    money::Usd,
    state::AttemptOutcome,
};
use tokio_util::sync::CancellationToken;

/// One delivered entry, shared by the handler and by the layer that settles.
#[derive(Debug)]
pub struct Job {
    /// Where it stands.
    pub held: Held,
    /// The message as it came.
    pub message: RawMessage,
    /// Whether the message bears our mark falsely.
    pub forged: bool,
    /// Set when somebody asks for the job to be cancelled.
    pub cancelled: CancellationToken,
    progress: Mutex<Progress>,
}

/// What is happening to a job.
#[derive(Debug)]
pub struct Progress {
    /// What will be remembered of it.
    pub resume: Resume,
    /// What its producer said, once it is understood.
    pub envelope: Option<Arc<Envelope>>,
    /// The attempt that was journalled and not yet recorded.
    pub open: Option<AttemptRecord>,
    /// Who was asked last, and which model.
    pub asked: Option<(String, String)>,
    /// Whether Redis remembers anything of this place.
    pub remembered: bool,
    /// Whether the open attempt took anything of limits.
    pub taken: bool,
    /// What the last attempt came to, for what it took.
    pub spent: Spent,
}

impl Job {
    /// A job as it was delivered; the resume text is our own record.
    pub fn new(delivered: Delivered) -> Result<Self, serde_json::Error> {
        let received = delivered.held.place.received_at().unwrap_or_else(Utc::now);
        let mut resume = match &delivered.resume {
            Some(text) => serde_json::from_str(text)?,
            None => Resume::fresh(JobId::of_place(&delivered.held.place), received),
        };
        if resume.step.is_some() && !resume.admitted {
            // Its time begins when it was ready, not when its chain was.
            resume.enqueued_at = received;
        }
        resume.count_crashes(delivered.crashes);
        Ok(Self {
            progress: Mutex::new(Progress {
                remembered: delivered.resume.is_some() || delivered.crashes > 0,
                resume,
                envelope: None,
                open: None,
                asked: None,
                taken: false,
                spent: Spent::NothingTaken,
            }),
            held: delivered.held,
            message: delivered.message,
            forged: delivered.forged,
            cancelled: CancellationToken::new(),
        })
    }

    /// What is happening to it; locked for a moment, never across a wait.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.progress().resume.id.clone()
    }
}

impl Progress {
    /// The key of which only so many may be in flight.
    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.envelope
            .as_ref()
            .and_then(|envelope| envelope.concurrency.as_ref())
    }

    /// What is recorded with everything of this job.
    pub fn labels(&self, held: &Held) -> JobLabels {
        let step = self.resume.step.as_deref();
        JobLabels {
            step: step.map(|step| step.instance().to_string()),
            ..JobLabels::new(
                self.resume.id.clone(),
                held.queue.base(),
                self.envelope.as_deref(),
            )
        }
    }

    /// Adds up an attempt that ended, successful or not.
    pub fn count(&mut self, attempt: &AttemptRecord) {
        self.resume.usage = self.resume.usage + attempt.usage;
        self.resume.cost = self.resume.cost + attempt.cost_usd.unwrap_or(Usd::ZERO);
        self.remembered = true;
        if attempt.outcome == AttemptOutcome::Completed {
            return;
        }
        if let Some(class) = attempt.error_class {
            self.resume.remember(PastAttempt {
                attempt_id: attempt.attempt_id,
                at: attempt.started_at,
                platform: attempt.platform.clone(),
                model: attempt.model.clone(),
                error_class: class,
                error: attempt.error.clone().unwrap_or_default(),
                cost: attempt.cost_usd,
            });
        }
    }
}
