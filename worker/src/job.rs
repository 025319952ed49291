//! A job in flight: its delivery, its message, its checkpoint and its progress.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use longshore_broker::{Consumed, DeliveredEntry, Delivery, Fence};
use longshore_protocol::{
    chain::Validation,
    checkpoint::{Checkpoint, PastAttempt, Spent},
    encryption::{Keyring, UnopenedField},
    envelope::{Concurrency, Envelope, MessageLimits, RawMessage, reply_to},
    event::{AttemptRecord, Event, JobLabels},
    id::{AttemptId, EntryId, JobId},
    money::Usd,
    outcome::Merged,
    reply::ReplyTo,
    state::AttemptOutcome,
};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{Authors, RecipeResult},
    context::Context,
    gate::FinishedGate,
    review::{Asked, ReviewRun},
};

/// A delivered job, shared by the stages that run it and the settle layer.
#[derive(Debug)]
pub(crate) struct Job {
    /// This worker's hold on the entry.
    pub(crate) delivery: Delivery,
    /// The id of its receipt: the entry that the producer enqueued, whatever lanes the job has left since.
    pub(crate) receipt: JobId,
    pub(crate) message: Arc<RawMessage>,
    /// The first field of the message that no key decrypts.
    pub(crate) unopened: Option<UnopenedField>,
    /// Whether the message carries a reserved field that only the server may write.
    pub(crate) forged: bool,
    /// How many workers died with this entry before they began it.
    pub(crate) unbegun: u32,
    /// Cancelled when somebody asks for the job to be cancelled.
    pub(crate) cancelled: CancellationToken,
    progress: Mutex<Progress>,
}

/// What changes while a job runs.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) checkpoint: Checkpoint,
    /// The message, once it is parsed.
    pub(crate) envelope: Option<Arc<Envelope>>,
    /// What is to be said of the message.
    pub(crate) message_remarks: Vec<String>,
    /// What is to be said of the last call, such as what it went without.
    pub(crate) remarks: Vec<String>,
    /// The attempt that is journalled and not yet recorded.
    pub(crate) open_attempt: Option<Box<AttemptRecord>>,
    /// The attempt that the current step records, without its routing decision.
    unacknowledged: Option<Box<AttemptRecord>>,
    /// The journaled attempt that was given up before its call. It is not recorded, but its reservation is
    /// returned under its id.
    pub(crate) withdrawn: Option<AttemptId>,
    /// The provider and the model of the last attempt.
    pub(crate) last_called: Option<(String, String)>,
    /// Who may not answer the step.
    pub(crate) authors: Option<Arc<Authors>>,
    /// What the step makes of the answers of several models.
    pub(crate) merged: Option<Box<Merged>>,
    /// What the step says about the answer that it checks.
    pub(crate) validation: Option<Box<Validation>>,
    /// How its recipe answered the job.
    pub(crate) recipe: Option<Box<RecipeResult>>,
    /// How the step's gate ended, and what its command printed.
    pub(crate) gate: Option<Box<FinishedGate>>,
    /// What the step asks a person.
    pub(crate) asked: Option<Asked>,
    /// The review of the job.
    pub(crate) review: Option<Box<ReviewRun>>,
    /// Whether Redis keeps anything about this entry.
    pub(crate) is_in_redis: bool,
    /// Whether the open attempt reserved amounts of meters.
    pub(crate) has_reserved: bool,
    /// What the last attempt consumed of its reservation.
    pub(crate) consumed: Consumed,
}

impl Job {
    /// A job as it was delivered at `now`, by the server's clock. Fails if its checkpoint, which only Longshore
    /// writes, cannot be parsed.
    pub(crate) fn new(
        delivered: DeliveredEntry,
        keyring: &Keyring,
        now: DateTime<Utc>,
    ) -> Result<Self, serde_json::Error> {
        let received = received_at(&delivered.delivery.entry_id, now);
        let mut checkpoint = match &delivered.checkpoint {
            Some(checkpoint) => keyring.opened(checkpoint.parse()?),
            None => Checkpoint::fresh(JobId::from_entry(&delivered.delivery.entry_id), received),
        };
        if checkpoint.step.is_some() && !checkpoint.admitted {
            // The time of a step starts when the step becomes ready, not when its chain does.
            checkpoint.enqueued_at = received;
        }
        checkpoint.count_crashes(delivered.crashes);
        Ok(Self {
            // Until its admission, a job goes by its receipt.
            receipt: checkpoint.id.clone(),
            progress: Mutex::new(Progress {
                is_in_redis: delivered.checkpoint.is_some()
                    || delivered.crashes > 0
                    || delivered.unbegun > 0,
                checkpoint,
                envelope: None,
                message_remarks: Vec::new(),
                remarks: Vec::new(),
                open_attempt: None,
                unacknowledged: None,
                withdrawn: None,
                last_called: None,
                authors: None,
                merged: None,
                validation: None,
                recipe: None,
                gate: None,
                asked: None,
                review: None,
                has_reserved: false,
                consumed: Consumed::NothingTaken,
            }),
            delivery: delivered.delivery,
            message: delivered.message,
            unopened: delivered.unopened,
            forged: delivered.forged,
            unbegun: delivered.unbegun,
            cancelled: CancellationToken::new(),
        })
    }

    /// Locks the progress. Never hold the guard across an await.
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> JobId {
        self.progress().checkpoint.id.clone()
    }

    /// Where the producer asked for a reply, be the message valid or not.
    pub(crate) fn reply_to(&self, limits: &MessageLimits) -> Option<ReplyTo> {
        let envelope = self.progress().envelope.clone();
        match envelope {
            Some(envelope) => envelope.reply.clone(),
            None => reply_to(&self.message, limits),
        }
    }

    /// Closes the open attempt. The step that records it keeps it until Redis acknowledges the step:
    /// [`Progress::keep_until_acknowledged`], [`acknowledge`](Self::acknowledge).
    pub(crate) fn close_attempt(&self) -> Option<Box<AttemptRecord>> {
        self.progress().close_attempt()
    }

    /// Remembers the attempt that was closed, in case Redis loses the step that it has acknowledged.
    pub(crate) fn acknowledge(&self, fence: Fence, context: &Context) {
        let attempt = self.progress().unacknowledged.take();
        if let Some(mut attempt) = attempt {
            attempt.duplicate = fence == Fence::Lost;
            context.recent_attempts.remember(attempt);
        }
    }
}

/// When the server received an entry. A producer can choose entry ids, and a step of the server's clock can
/// leave some in the future: those count as received now, or their times would never come.
pub(crate) fn received_at(entry_id: &EntryId, now: DateTime<Utc>) -> DateTime<Utc> {
    entry_id.received_at().map_or(now, |at| at.min(now))
}

impl Progress {
    /// The concurrency key of the job, if it has one.
    pub(crate) fn concurrency(&self) -> Option<&Concurrency> {
        self.envelope
            .as_ref()
            .and_then(|envelope| envelope.concurrency.as_ref())
    }

    /// The labels that every recorded fact about this job carries.
    pub(crate) fn labels(&self, delivery: &Delivery) -> JobLabels {
        let step = self.checkpoint.step.as_deref();
        JobLabels {
            step: step.map(|step| step.instance().to_string()),
            ..JobLabels::new(
                self.checkpoint.id.clone(),
                delivery.queue.base(),
                self.envelope.as_deref(),
            )
        }
    }

    /// Keeps the attempt that the event of a step records, if it records one, with the labels of its job.
    pub(crate) fn keep_until_acknowledged(&mut self, event: Event) {
        if let Some(mut attempt) = event.into_labelled_attempt() {
            // By far the largest part.
            attempt.decision = None;
            self.unacknowledged = Some(attempt);
        }
    }

    /// What the job has spent: its own attempts, and those of its recipe.
    pub(crate) fn spent(&self) -> Spent {
        let own = self.checkpoint.spent();
        self.recipe
            .as_ref()
            .map_or(own, |recipe| own.plus(recipe.spent))
    }

    /// What the outcome warns of.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let all = self.message_remarks.iter().chain(&self.remarks);
        all.cloned().collect()
    }

    /// The attempt that ends with the job's next step: `closed`, or one that was never called.
    pub(crate) fn ending_attempt(&self, closed: Option<&AttemptRecord>) -> Option<AttemptId> {
        closed.map(|attempt| attempt.attempt_id).or(self.withdrawn)
    }

    /// Closes the open attempt and adds its usage, cost and failure to the checkpoint.
    fn close_attempt(&mut self) -> Option<Box<AttemptRecord>> {
        let attempt = self.open_attempt.take()?;
        self.checkpoint.usage = self.checkpoint.usage + attempt.usage;
        self.checkpoint.cost = self.checkpoint.cost + attempt.cost_usd.unwrap_or(Usd::ZERO);
        self.checkpoint.cost_estimated |= attempt
            .cost_usd
            .is_none_or(|cost| attempt.usage_estimated && cost > Usd::ZERO);
        // A completed job leaves in Redis only what was there before.
        if attempt.outcome == AttemptOutcome::Completed {
            return Some(attempt);
        }
        self.is_in_redis = true;
        if let Some(class) = attempt.error_class {
            self.checkpoint.remember(PastAttempt {
                attempt_id: attempt.attempt_id,
                at: attempt.started_at,
                platform: attempt.platform.clone(),
                model: attempt.model.clone(),
                error_class: class,
                error: attempt.error.clone().unwrap_or_default(),
                cost: attempt.cost_usd,
            });
        }
        Some(attempt)
    }
}
