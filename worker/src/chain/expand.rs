//! A step fanned out over a list that an earlier step produced.

use longshore_protocol::{
    chain::{Instance, StepRef},
    checkpoint::Resume,
};
use serde_json::Value;

use crate::{deps::Deps, job::Job, patience::patiently, settle::json, verdict::Verdict};

/// Puts the items of a step in its place.
pub(super) async fn expand(job: &Job, step: &StepRef, items: Vec<Value>, deps: &Deps) -> Verdict {
    let now = deps.clock.now();
    let memories: Vec<String> = (0_u32..)
        .zip(items)
        .map(|(index, item)| {
            let reference = StepRef {
                index: Some(index),
                item: Some(item),
                ..step.clone()
            };
            let id = step.chain.job(&Instance::item(step.name.clone(), index));
            json(&Resume {
                step: Some(Box::new(reference)),
                ..Resume::fresh(id, now)
            })
        })
        .collect();
    tracing::debug!(chain = %step.chain, step = %step.name, items = memories.len(), "fans out");
    // Lost or not, it is done by somebody.
    let _fence = patiently("fan a step out", || {
        deps.broker
            .expand_step(&job.held, &step.chain, &step.name, &memories)
    })
    .await;
    Verdict::Gone
}
