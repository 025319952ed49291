//! Drafts the record of an attempt, and the event to record if its worker dies.

use chrono::{DateTime, Utc};
use longshore_policy::{
    cost::AnswerBound,
    routing::{Candidate, Decision, RoutingStage, StageName},
};
use longshore_protocol::{
    call::Usage,
    checkpoint::Checkpoint,
    envelope::Envelope,
    event::{AttemptRecord, DecisionRecord, DecisionStep, Event, SkippedRecord},
    id::AttemptId,
    serialized::Serialized,
    state::AttemptOutcome,
};

use crate::{
    context::Context,
    job::Job,
    record::{serialize, serialized},
    route::candidates::Usable,
};

/// The error of an attempt whose worker died.
const WORKER_DIED: &str = "the worker died during the call";

/// An attempt on one candidate.
pub(super) struct Draft {
    pub(super) record: Box<AttemptRecord>,
    pub(super) event_if_lost: Option<Serialized<Event>>,
}

/// What the drafts of one attempt have in common, whichever candidate it goes to.
pub(super) struct DraftContext<'d> {
    pub(super) job: &'d Job,
    pub(super) envelope: &'d Envelope,
    pub(super) checkpoint: Checkpoint,
    pub(super) attempt: AttemptId,
    pub(super) now: DateTime<Utc>,
    context: &'d Context,
}

impl<'d> DraftContext<'d> {
    pub(super) fn new(
        job: &'d Job,
        envelope: &'d Envelope,
        checkpoint: Checkpoint,
        context: &'d Context,
    ) -> Self {
        Self {
            job,
            envelope,
            checkpoint,
            attempt: AttemptId::new(),
            now: context.clock.now(),
            context,
        }
    }

    /// The checkpoint to keep if the job is parked: for a concurrency key, or for capacity of limits.
    pub(super) fn checkpoint_to_park(&self, for_capacity: bool) -> Option<Serialized<Checkpoint>> {
        let mut checkpoint = self.checkpoint.clone().moved();
        checkpoint.waited |= for_capacity;
        serialize(&checkpoint, self.context.broker.keyring())
    }

    pub(super) fn draft(&self, usable: &Usable<'_>, decision: Option<&DecisionRecord>) -> Draft {
        let candidate = &usable.candidate;
        let estimate = &usable.estimate;
        let labels = self.job.progress().labels(&self.job.delivery);
        let mut record = Box::new(AttemptRecord {
            attempt_id: self.attempt,
            labels: Some(labels),
            attempt: self.checkpoint.attempts + 1,
            worker: self.context.worker.clone(),
            platform: candidate.provider.name.to_string(),
            model: candidate.model.model.clone(),
            routing_reason: reason(candidate, &estimate.answer),
            decision: decision.cloned(),
            started_at: self.now,
            finished_at: None,
            outcome: AttemptOutcome::Lost,
            duplicate: false,
            error_class: None,
            error: Some(WORKER_DIED.to_owned()),
            status: None,
            usage: Usage::default(),
            usage_estimated: false,
            cost_usd: None,
            reserved_usd: estimate.answer.cost,
            reported_cost_usd: None,
            tokens_estimated: (!estimate.reservation.is_empty()).then_some(estimate.tokens),
            response_id: None,
            traceparent: self.envelope.traceparent.clone(),
        });
        let event_if_lost = serialized(Event::serialize_attempt(&record));
        record.error = None;
        // From here on the attempt is recorded together with its job, which carries the labels.
        record.labels = None;
        Draft {
            record,
            event_if_lost,
        }
    }
}

/// Why the candidate was chosen, and whether money limits its answer.
fn reason(candidate: &Candidate<'_>, answer: &AnswerBound) -> String {
    let reason = &candidate.reason;
    if answer.is_limited {
        format!(
            "{reason}; answer limited to {} tokens, so that the call costs at most ${}",
            answer.tokens, answer.cost
        )
    } else {
        reason.to_string()
    }
}

/// The routing decision to record; `None` if it was by cost alone, which the attempt's reason says already.
pub(super) fn decision_record(
    decision: &Decision<'_>,
    skipped: Vec<SkippedRecord>,
) -> Option<DecisionRecord> {
    let is_by_cost_alone = decision
        .steps
        .iter()
        .all(|step| step.step == StageName::Cost);
    if is_by_cost_alone && skipped.is_empty() {
        return None;
    }
    let step = |step: &RoutingStage<'_>| DecisionStep {
        step: step.step.to_string(),
        outcome: step.outcome.to_string(),
    };
    Some(DecisionRecord {
        steps: decision.steps.iter().map(step).collect(),
        skipped,
    })
}
