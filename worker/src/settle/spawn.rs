//! The jobs that an answer spawns, enqueued in the settle step of their parent.

use longshore_broker::SpawnedJob;
use longshore_protocol::{
    chain::{StepRef, spawn::spawned},
    checkpoint::Checkpoint,
    id::JobId,
};
use serde_json::Value;

use crate::{context::Context, job::Job, trace::Traced};

/// The jobs that `answer` lists; empty for a job that does not spawn.
pub(super) fn spawned_jobs(job: &Job, answer: &str, context: &Context) -> Vec<SpawnedJob> {
    let progress = job.progress();
    let Some(envelope) = progress
        .envelope
        .as_deref()
        .filter(|envelope| envelope.spawn)
    else {
        return Vec::new();
    };
    let parent = &progress.checkpoint;
    let limits = context.policy().config.limits;
    let now = context.clock.now();
    let received = envelope.traceparent.as_deref();
    let traceparent = Traced::Job(parent.id.as_str()).below(received, context);
    // The call stage has checked the list already.
    let jobs = spawned(answer, &limits).unwrap_or_default();
    (0_u32..)
        .zip(jobs)
        .map(|(index, mut message)| {
            let id = child_id(&parent.id, index);
            let step = parent.step.as_deref();
            let step = step.filter(|step| !step.after && step.index.is_none());
            let step = step.map(|step| Box::new(child_step(step, &parent.id, index)));
            if step.is_none() {
                let mut inherit = |name: &str, value: Option<&String>| {
                    if let Some(value) = value {
                        message.insert(name.to_owned(), Value::String(value.clone()));
                    }
                };
                inherit("tenant", envelope.tenant.as_ref());
                inherit("chain_id", envelope.chain_id.as_ref());
                inherit("parent_id", Some(&parent.id.to_string()));
                inherit("traceparent", traceparent.as_ref());
            }
            let checkpoint = Checkpoint {
                step,
                ..Checkpoint::fresh(id, now)
            };
            SpawnedJob {
                checkpoint,
                message: Value::Object(message).to_string(),
            }
        })
        .collect()
}

/// The child as an item of the step that spawned it: the step ends with the last of them.
fn child_step(step: &StepRef, parent: &JobId, index: u32) -> StepRef {
    StepRef {
        index: Some(index),
        chain_name: step.chain_name.clone(),
        keeps_outcome: step.keeps_outcome,
        parent: Some(parent.clone()),
        tenant: step.tenant.clone(),
        traceparent: step.traceparent.clone(),
        deadline: step.deadline,
        max_cost: step.max_cost,
        last_round: step.last_round.clone(),
        recipes_around: step.recipes_around,
        outer_caps: step.outer_caps.clone(),
        ..StepRef::new(step.chain.clone(), step.name.clone())
    }
}

/// `PARENT/INDEX`, or a new id if that is too long.
fn child_id(parent: &JobId, index: u32) -> JobId {
    JobId::parse(&format!("{parent}/{index}")).unwrap_or_else(|_| JobId::fresh())
}
