//! Prepares a chain step to run: evaluates its condition, renders its templates, fans out its list.

use std::{fmt, ops::ControlFlow};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::ChatMessage,
    chain::{
        Instance, SKIPPED, StepRef,
        template::{TemplateError, TemplateScope, render_envelope},
    },
    checkpoint::Checkpoint,
    envelope::{Envelope, Limit, MalformedCode},
};
use serde_json::Value;

use super::scope::load_scope;
use crate::{
    backoff::retry_until_answered,
    blocking,
    context::Context,
    disposition::{Discard, Disposition, OrDispose as _, Stage},
    job::Job,
};

/// Why a step is given up whose templates cannot be rendered.
const BAD_TEMPLATE: &str = "bad_template";

/// Fills in what the chain says about every step and the step's own message does not.
pub(crate) fn inherit(envelope: &mut Envelope, step: &StepRef, received: DateTime<Utc>) {
    if envelope.chain_id.is_none() {
        envelope.chain_id = Some(step.chain.to_string());
    }
    if envelope.parent_id.is_none() {
        envelope.parent_id = step.parent.as_ref().map(ToString::to_string);
    }
    if envelope.tenant.is_none() {
        envelope.tenant.clone_from(&step.tenant);
    }
    if envelope.traceparent.is_none() {
        envelope.traceparent.clone_from(&step.traceparent);
    }
    if let Some(of_chain) = step.deadline {
        let own = envelope.deadline.map(|limit| limit.at(received));
        envelope.deadline = Some(Limit::At(own.map_or(of_chain, |own| own.min(of_chain))));
    }
}

/// The rendered envelope; `None` if the envelope is to run as it is. Ends the run of a step that is skipped,
/// fanned out or invalid.
pub(crate) async fn prepare(
    job: &Job,
    step: &StepRef,
    envelope: &Envelope,
    context: &Context,
) -> Stage<Option<Envelope>> {
    // An item of a list does not evaluate the condition again.
    let condition = step.when.as_ref().filter(|_| step.index.is_none());
    if !step.templated && condition.is_none() && !step.is_to_fan_out() {
        return ControlFlow::Continue(None);
    }
    let scope = load_scope(step, context).await?;
    let condition = condition.cloned();
    let (templates, envelope) = (step.clone(), envelope.clone());
    let evaluated = blocking::TEMPLATES
        .run(move || evaluate(&scope, condition, &templates, &envelope))
        .await;
    let evaluated = match evaluated {
        Ok(evaluated) => evaluated.map_err(|error| invalid_template(step, &error)),
        Err(stopped) => Err(invalid_template(step, &stopped)),
    };
    match evaluated.or_dispose()? {
        Evaluated::Skipped(condition) => ControlFlow::Break(Disposition::Cancelled {
            reason: SKIPPED,
            error: format!("condition not met: {condition}"),
        }),
        Evaluated::Items(items) => ControlFlow::Break(fan_out(job, step, items, context).await),
        Evaluated::Unchanged => ControlFlow::Continue(None),
        Evaluated::Rendered(rendered) => {
            check_size(step, &rendered, context).or_dispose()?;
            ControlFlow::Continue(Some(*rendered))
        }
    }
}

/// What a step's expressions and templates say.
enum Evaluated {
    /// Its condition is false.
    Skipped(String),
    /// The items that it fans out to.
    Items(Vec<Value>),
    /// It has no templates.
    Unchanged,
    Rendered(Box<Envelope>),
}

fn evaluate(
    scope: &TemplateScope,
    condition: Option<String>,
    step: &StepRef,
    envelope: &Envelope,
) -> Result<Evaluated, TemplateError> {
    if let Some(condition) = condition
        && !scope.holds(&condition)?
    {
        return Ok(Evaluated::Skipped(condition));
    }
    if let Some(list) = step.foreach.as_ref().filter(|_| step.is_to_fan_out()) {
        return scope.list(list).map(Evaluated::Items);
    }
    if !step.templated {
        return Ok(Evaluated::Unchanged);
    }
    let rendered = render_envelope(envelope, scope)?;
    Ok(Evaluated::Rendered(Box::new(rendered)))
}

/// Replaces a step by its items.
async fn fan_out(job: &Job, step: &StepRef, items: Vec<Value>, context: &Context) -> Disposition {
    let now = context.clock.now();
    let checkpoints: Vec<Checkpoint> = (0_u32..)
        .zip(items)
        .map(|(index, item)| {
            let reference = StepRef {
                index: Some(index),
                item: Some(item),
                ..step.clone()
            };
            let id = step.chain.job(&Instance::item(step.name.clone(), index));
            Checkpoint {
                step: Some(Box::new(reference)),
                ..Checkpoint::fresh(id, now)
            }
        })
        .collect();
    tracing::debug!(chain_id = %step.chain, step = %step.name, items = checkpoints.len(), "step fanned out");
    // If the fence is lost, another worker fans the step out.
    let _fence = retry_until_answered("fan out step", || {
        context
            .broker
            .chains()
            .expand_step(&job.delivery, &step.chain, &step.name, &checkpoints)
    })
    .await;
    Disposition::Gone
}

/// Rendered texts may be as large as a message.
fn check_size(step: &StepRef, envelope: &Envelope, context: &Context) -> Result<(), Discard> {
    let limit = context.policy().config.limits.max_bytes;
    let texts = envelope.messages.iter().flat_map(ChatMessage::texts);
    let texts = texts.map(str::len);
    let size: usize = texts.sum::<usize>() + envelope.system.as_ref().map_or(0, String::len);
    if size <= limit {
        return Ok(());
    }
    let error = format!(
        "step `{}`: the rendered texts have {size} bytes; at most {limit} are allowed \
         (`limits.max_message_bytes`): use `.summary` or a field of `.json`",
        step.name
    );
    Err(Discard::new(MalformedCode::TooLarge.as_str(), error))
}

fn invalid_template(step: &StepRef, error: &impl fmt::Display) -> Discard {
    Discard::new(BAD_TEMPLATE, format!("step `{}`: {error}", step.name))
}
