//! Plans the steps of a chain that starts.

use chrono::{DateTime, Utc};
use longshore_broker::StepPlan;
use longshore_policy::capabilities::Capability;
use longshore_protocol::{
    chain::{ChainCap, ChainId, Document, Instance, OnComplete, OnFailure, StepName, StepRef},
    checkpoint::Checkpoint,
    id::JobId,
    money::Usd,
};

/// Plans the steps of a chain.
pub(super) struct Planner<'a> {
    pub(super) id: &'a ChainId,
    pub(super) document: &'a Document,
    /// The trace context of its steps.
    pub(super) traceparent: Option<String>,
    pub(super) deadline: Option<DateTime<Utc>>,
    /// The most that the whole chain may cost.
    pub(super) max_cost: Option<Usd>,
    pub(super) tenant: Option<String>,
    pub(super) now: DateTime<Utc>,
    pub(super) around: Around,
}

/// What the steps of a recipe take from what is around it.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// The job that the recipe answers.
    pub(super) parent: Option<JobId>,
    /// How many recipes are around the steps.
    pub(super) recipes: u32,
    /// What the chains around may cost.
    pub(super) caps: Vec<ChainCap>,
    /// The chain of the recipe's last round.
    pub(super) last_round: Option<ChainId>,
}

impl Planner<'_> {
    pub(super) fn step_plans(&self) -> Vec<StepPlan> {
        let dependents = self.document.dependents();
        let mut plans: Vec<StepPlan> = self
            .document
            .steps
            .iter()
            .map(|step| {
                let reference = StepRef {
                    reads: step.work.reads.clone(),
                    reads_recipe: step.work.reads_recipe,
                    reads_last: step.work.reads_last.clone(),
                    templated: step.work.templated,
                    when: step.when.clone(),
                    foreach: step.foreach.clone(),
                    gather: step.gather.clone(),
                    models: step.models.clone(),
                    merge: step.merge.clone(),
                    not_by: step.not_by.clone(),
                    gate: step.gate.clone(),
                    extract: step.extract,
                    validate: step.validate.clone().map(Box::new),
                    person: step.person.clone(),
                    tools: step.tools.clone(),
                    escalate: step.on_failure == OnFailure::Escalate,
                    keeps_outcome: true,
                    parent: self.parent_of(&step.needs),
                    ..self.step_ref(step.name.clone())
                };
                let queue = Capability::of(&reference).map(Capability::queue);
                StepPlan {
                    name: Some(step.name.clone()),
                    checkpoint: self.checkpoint(reference),
                    message: step.work.job.clone(),
                    on_failure: step.on_failure,
                    min_success: step.least_items(),
                    ends_early: step.ends_early,
                    queue,
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
            queue: None,
            needs: Vec::new(),
            waits_for: 0,
            dependents: Vec::new(),
        }
    }

    /// The job of the first step that a step needs; of the first steps of a recipe, the job that it answers.
    fn parent_of(&self, needs: &[StepName]) -> Option<JobId> {
        match needs.first() {
            Some(need) => Some(self.id.job(&Instance::whole_step(need.clone()))),
            None => self.around.parent.clone(),
        }
    }

    fn step_ref(&self, name: StepName) -> StepRef {
        StepRef {
            chain_name: self.document.name.clone(),
            tenant: self.tenant.clone(),
            traceparent: self.traceparent.clone(),
            deadline: self.deadline,
            max_cost: self.max_cost,
            last_round: self.around.last_round.clone(),
            recipes_around: self.around.recipes,
            outer_caps: self.around.caps.clone(),
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
