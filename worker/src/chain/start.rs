//! A message that is a chain: read, and begun in one step.

use chrono::{DateTime, Utc};
use longshore_broker::{ChainPlan, Started, StepPlan};
use longshore_protocol::{
    chain::{self, ChainId, Document, Instance, OnComplete, OnFailure, StepName, StepRef},
    checkpoint::Resume,
    dead_letter::Kept,
    envelope::{Malformed, MalformedCode},
    event::{DropRecord, Event},
    id::JobId,
};

use crate::{
    deps::Deps,
    job::Job,
    patience::patiently,
    settle::json,
    verdict::{Discard, Verdict},
};

/// Why a chain's message is a dead letter.
const BAD_CHAIN: &str = "bad_chain";

/// Begins the chain that the message is. Its steps are jobs; the message itself is none.
pub(crate) async fn start(job: &Job, text: Result<&str, Malformed>, deps: &Deps) -> Verdict {
    let text = match text {
        Ok(text) => text,
        Err(malformed) => {
            return Verdict::Discarded(Discard {
                kept: (malformed.code == MalformedCode::TooLarge)
                    .then(|| Kept::head(&job.message.fields)),
                ..Discard::new(malformed.code.as_str(), malformed.to_string())
            });
        }
    };
    let limits = deps.policy().config.limits;
    match chain::parse(text, &limits) {
        Ok(document) => begin(job, &document, text, deps).await,
        Err(bad) => Discard::new(BAD_CHAIN, bad.to_string()).into(),
    }
}

async fn begin(job: &Job, document: &Document, text: &str, deps: &Deps) -> Verdict {
    let id = document
        .id
        .clone()
        .unwrap_or_else(|| ChainId::of_place(&job.held.place));
    let received = job.progress().resume.enqueued_at;
    let common = Common {
        id: &id,
        document,
        deadline: document.deadline.map(|limit| limit.at(received)),
        now: deps.clock.now(),
    };
    let steps = common.steps();
    let drop_event = json(&Event {
        dropped: Some(DropRecord {
            place: job.held.place.clone(),
            job_id: id.outcome(),
            at: common.now,
        }),
        ..Event::default()
    });
    let waits: Vec<(StepName, usize)> = document
        .steps
        .iter()
        .map(|step| (step.name.clone(), step.waits_for()))
        .collect();
    let plan = ChainPlan {
        id: &id,
        hash: document.hash(),
        document: text,
        name: document.name.as_deref(),
        max_parallel: document.max_parallel,
        fail_fast: document.fail_fast,
        reply: document.reply,
        steps: &steps,
        waits: &waits,
        drop_event: &drop_event,
    };
    match patiently("start a chain", || {
        deps.broker.start_chain(&job.held, &plan)
    })
    .await
    {
        Started::Yes => {
            metrics::counter!("longshore_chains_started_total").increment(1);
            tracing::info!(chain = %id, steps = document.steps.len(), "a chain begins");
            Verdict::Gone
        }
        Started::Lost => Verdict::Gone,
        Started::Duplicate => {
            metrics::counter!("longshore_messages_dropped_total").increment(1);
            tracing::info!(chain = %id, place = %job.held.place, "dropped: the same chain came before");
            Verdict::Gone
        }
        Started::Conflict => Verdict::Discarded(Discard {
            letter_id: Some(JobId::of_place(&job.held.place)),
            ..Discard::new(
                "id_conflict",
                format!(
                    "id `{id}` belongs to another chain, which has other content; use another id, or none"
                ),
            )
        }),
    }
}

/// What all steps of a chain have in common.
struct Common<'a> {
    id: &'a ChainId,
    document: &'a Document,
    deadline: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

impl Common<'_> {
    fn steps(&self) -> Vec<StepPlan> {
        let needed = self.document.needed();
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
                    escalate: step.on_failure == OnFailure::Escalate,
                    needed: needed.contains(&step.name),
                    parent: step
                        .needs
                        .first()
                        .map(|need| self.id.job(&Instance::of(need.clone()))),
                    ..self.reference(step.name.clone())
                };
                StepPlan {
                    name: Some(step.name.clone()),
                    memory: self.memory(reference),
                    message: step.work.job.clone(),
                    on_failure: step.on_failure,
                    min_success: step.foreach.as_ref().and(step.min_success),
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
                .map(|what| self.after(what)),
        );
        plans
    }

    /// What follows the chain's end.
    fn after(&self, what: &OnComplete) -> StepPlan {
        let reference = StepRef {
            after: true,
            ..self.reference(StepName::on_complete())
        };
        let (message, reference) = match what {
            OnComplete::Job(work) => (
                work.job.clone(),
                StepRef {
                    reads: work.reads.clone(),
                    templated: work.templated,
                    ..reference
                },
            ),
            OnComplete::Webhook(url) => (
                // The message of a job that no model answers.
                r#"{"type":"webhook","prompt":"Tell that the chain has ended."}"#.to_owned(),
                StepRef {
                    webhook: Some(url.clone()),
                    ..reference
                },
            ),
        };
        StepPlan {
            name: None,
            memory: self.memory(reference),
            message,
            on_failure: OnFailure::Fail,
            min_success: None,
            dependents: Vec::new(),
        }
    }

    fn reference(&self, name: StepName) -> StepRef {
        StepRef {
            chain_name: self.document.name.clone(),
            tenant: self.document.tenant.clone(),
            deadline: self.deadline,
            max_cost: self.document.max_cost,
            ..StepRef::new(self.id.clone(), name)
        }
    }

    fn memory(&self, step: StepRef) -> String {
        let id = self.id.job(&step.instance());
        json(&Resume {
            step: Some(Box::new(step)),
            ..Resume::fresh(id, self.now)
        })
    }
}
