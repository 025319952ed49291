//! Starts the chain that a message describes, in one step.

use chrono::{DateTime, Utc};
use longshore_broker::{ChainPlan, ChainStarted, StepPlan};
use longshore_protocol::{
    chain::{self, ChainId, Document, Instance, OnComplete, OnFailure, StepName, StepRef},
    checkpoint::Checkpoint,
    dead_letter::StoredMessage,
    encryption::Metadata,
    envelope::{Malformed, MalformedCode},
    event::{DropRecord, Event},
    serialized::Serialized,
};
use longshore_service::instruments::{CHAINS_STARTED, MESSAGES_DROPPED};

use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition},
    job::Job,
    record::serialize,
    trace::Traced,
};

/// Why the message of an invalid chain becomes a dead letter.
const BAD_CHAIN: &str = "bad_chain";

/// Starts the chain that the message describes. Its steps are jobs; the message itself is not.
pub(crate) async fn start(
    job: &Job,
    document: Result<&str, Malformed>,
    context: &Context,
) -> Disposition {
    let json = match document {
        Ok(json) => json,
        Err(malformed) => {
            return Disposition::Discarded(Discard {
                kept: (malformed.code == MalformedCode::TooLarge)
                    .then(|| StoredMessage::head(&job.message.fields)),
                ..Discard::new(malformed.code.as_str(), malformed.to_string())
            });
        }
    };
    let limits = context.policy().config.limits;
    match chain::parse(json, &limits) {
        Ok(document) => start_parsed(job, &document, json, context).await,
        Err(error) => Discard::new(BAD_CHAIN, error.to_string()).into(),
    }
}

async fn start_parsed(
    job: &Job,
    document: &Document,
    json: &str,
    context: &Context,
) -> Disposition {
    let id = document
        .id
        .clone()
        .unwrap_or_else(|| ChainId::from_receipt(&job.receipt));
    let received = job.progress().checkpoint.enqueued_at;
    let traceparent = document
        .traceparent
        .clone()
        .or_else(|| Traced::Chain(id.as_str()).begin(received, context));
    let planner = Planner {
        id: &id,
        document,
        traceparent: Traced::Chain(id.as_str()).below(traceparent.as_deref(), context),
        deadline: document.deadline.map(|limit| limit.at(received)),
        now: context.clock.now(),
    };
    let steps = planner.step_plans();
    let keyring = context.broker.keyring();
    let drop_event = Event {
        dropped: Some(DropRecord {
            entry_id: job.delivery.entry_id.clone(),
            job_id: id.outcome(),
            at: planner.now,
        }),
        ..Event::default()
    };
    let drop_event = serialize(&drop_event, keyring);
    let metadata = document.metadata.clone().map(Metadata);
    let metadata = metadata.and_then(|metadata| serialize(&metadata, keyring));
    let plan = ChainPlan {
        id: &id,
        hash: document.hash(),
        document: json,
        name: document.name.as_deref(),
        max_parallel: document.max_parallel,
        fail_fast: document.fail_fast,
        reply: document.reply.as_ref(),
        metadata: metadata.as_ref().map(Serialized::as_str),
        traceparent: traceparent.as_deref(),
        steps: &steps,
        drop_event: drop_event.as_ref(),
    };
    let started = retry_until_answered("start chain", || {
        context.broker.chains().start(&job.delivery, &plan)
    })
    .await;
    match started {
        ChainStarted::Yes => {
            CHAINS_STARTED.add([], 1);
            tracing::info!(chain_id = %id, steps = document.steps.len(), "chain started");
            Disposition::Gone
        }
        ChainStarted::Lost => Disposition::Gone,
        ChainStarted::Duplicate => {
            MESSAGES_DROPPED.add([], 1);
            tracing::info!(chain_id = %id, entry_id = %job.delivery.entry_id, "duplicate chain dropped");
            Disposition::Gone
        }
        ChainStarted::Conflict => Disposition::Discarded(Discard {
            dead_letter_id: Some(job.receipt.clone()),
            ..Discard::new(
                "id_conflict",
                format!(
                    "id `{id}` belongs to another chain, which has other content; use another id, or none"
                ),
            )
        }),
    }
}

/// Plans the steps of a chain.
struct Planner<'a> {
    id: &'a ChainId,
    document: &'a Document,
    /// The trace context of its steps.
    traceparent: Option<String>,
    deadline: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

impl Planner<'_> {
    fn step_plans(&self) -> Vec<StepPlan> {
        let dependents = self.document.dependents();
        let mut plans: Vec<StepPlan> = self
            .document
            .steps
            .iter()
            .map(|step| {
                let reference = StepRef {
                    reads: step.work.reads.clone(),
                    templated: step.work.templated,
                    when: step.when.clone(),
                    foreach: step.foreach.clone(),
                    gather: step.gather.clone(),
                    models: step.models.clone(),
                    merge: step.merge.clone(),
                    not_by: step.not_by.clone(),
                    escalate: step.on_failure == OnFailure::Escalate,
                    keeps_outcome: true,
                    parent: step
                        .needs
                        .first()
                        .map(|need| self.id.job(&Instance::whole_step(need.clone()))),
                    ..self.step_ref(step.name.clone())
                };
                StepPlan {
                    name: Some(step.name.clone()),
                    checkpoint: self.checkpoint(reference),
                    message: step.work.job.clone(),
                    on_failure: step.on_failure,
                    min_success: step.least_items(),
                    ends_early: step.ends_early,
                    needs: step.needs.clone(),
                    waits_for: step.waits_for(),
                    dependents: dependents
                        .get(&step.name)
                        .into_iter()
                        .flatten()
                        .map(|other| (other.name.clone(), other.quorum().is_some()))
                        .collect(),
                }
            })
            .collect();
        plans.extend(
            self.document
                .on_complete
                .as_ref()
                .map(|on_complete| self.on_complete_plan(on_complete)),
        );
        plans
    }

    /// The plan of what runs after the chain has ended.
    fn on_complete_plan(&self, on_complete: &OnComplete) -> StepPlan {
        let reference = StepRef {
            after: true,
            ..self.step_ref(StepName::on_complete())
        };
        let (message, reference) = match on_complete {
            OnComplete::Job(work) => (
                work.job.clone(),
                StepRef {
                    reads: work.reads.clone(),
                    templated: work.templated,
                    ..reference
                },
            ),
            OnComplete::Webhook(url) => (
                // A job that no model answers still needs a valid message.
                r#"{"type":"webhook","prompt":"Notify the webhook that the chain has ended."}"#
                    .to_owned(),
                StepRef {
                    webhook: Some(url.clone()),
                    ..reference
                },
            ),
        };
        StepPlan {
            name: None,
            checkpoint: self.checkpoint(reference),
            message,
            on_failure: OnFailure::Fail,
            min_success: None,
            ends_early: false,
            needs: Vec::new(),
            waits_for: 0,
            dependents: Vec::new(),
        }
    }

    fn step_ref(&self, name: StepName) -> StepRef {
        StepRef {
            chain_name: self.document.name.clone(),
            tenant: self.document.tenant.clone(),
            traceparent: self.traceparent.clone(),
            deadline: self.deadline,
            max_cost: self.document.max_cost,
            ..StepRef::new(self.id.clone(), name)
        }
    }

    fn checkpoint(&self, step: StepRef) -> Checkpoint {
        let id = self.id.job(&step.instance());
        Checkpoint {
            step: Some(Box::new(step)),
            ..Checkpoint::fresh(id, self.now)
        }
    }
}
