//! The jobs that a job's answer is, put in with the job's last step.

use longshore_broker::Child;
use longshore_protocol::{
    chain::{StepRef, spawn::spawned},
    checkpoint::Resume,
    envelope::{Envelope, Limits},
    id::JobId,
};
use serde_json::Value;

use crate::settle::json;

/// The jobs that `answer` is, as the script puts them in; nothing of a job that does not spawn.
pub(crate) fn children(
    envelope: &Envelope,
    parent: &Resume,
    answer: &str,
    limits: &Limits,
    now: chrono::DateTime<chrono::Utc>,
) -> String {
    if !envelope.spawn {
        return String::new();
    }
    // The attempt would have failed with an answer that is none.
    let jobs = spawned(answer, limits).unwrap_or_default();
    let children: Vec<Child> = (0_u32..)
        .zip(jobs)
        .map(|(index, mut job)| {
            let id = id(parent, index);
            let step = parent.step.as_deref();
            let step = step.filter(|step| !step.after && step.index.is_none());
            let step = step.map(|step| Box::new(child_of(step, &parent.id, index)));
            if step.is_none() {
                let mut inherit = |name: &str, value: Option<&String>| {
                    if let Some(value) = value {
                        job.insert(name.to_owned(), Value::String(value.clone()));
                    }
                };
                inherit("tenant", envelope.tenant.as_ref());
                inherit("chain_id", envelope.chain_id.as_ref());
                inherit("parent_id", Some(&parent.id.to_string()));
            }
            let memory = Resume {
                step,
                ..Resume::fresh(id, now)
            };
            Child(json(&memory), Value::Object(job).to_string())
        })
        .collect();
    json(&children)
}

/// An item of the step that spawned it: the step ends with the last of them.
fn child_of(step: &StepRef, parent: &JobId, index: u32) -> StepRef {
    StepRef {
        index: Some(index),
        chain_name: step.chain_name.clone(),
        needed: step.needed,
        parent: Some(parent.clone()),
        tenant: step.tenant.clone(),
        deadline: step.deadline,
        max_cost: step.max_cost,
        ..StepRef::new(step.chain.clone(), step.name.clone())
    }
}

/// `PARENT/INDEX`; of a parent whose id is too long for that, one of its own.
fn id(parent: &Resume, index: u32) -> JobId {
    JobId::parse(&format!("{}/{index}", parent.id)).unwrap_or_else(|_| JobId::fresh())
}
