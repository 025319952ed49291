//! Prepares a chain step to run: evaluates its condition, renders its templates, fans out its list or its models.

use std::{fmt, ops::ControlFlow, sync::Arc};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::{ChatMessage, Role},
    chain::{
        SKIPPED, StepRef,
        template::{TemplateError, TemplateScope, render_envelope, render_person},
    },
    checkpoint::Checkpoint,
    envelope::{Envelope, Limit, MalformedCode},
};
use serde_json::Value;

use super::{
    authors::Authors,
    merge::{MergeStep, begin_merge, question},
    scope::load_scope,
    validate::{begin_validation, checked_answer, is_validator},
};
use crate::{
    backoff::retry_until_answered,
    blocking,
    context::Context,
    disposition::{Discard, Disposition, OrDispose as _, Stage},
    job::Job,
    review::Asked,
    route,
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
    if let Some(only) = &step.only {
        envelope.platform = Some(only.platform.clone());
        envelope.model = Some(only.model.clone());
        envelope.fallback = false;
    }
    if let Some(of_chain) = step.deadline {
        let own = envelope.deadline.map(|limit| limit.at(received));
        envelope.deadline = Some(Limit::At(own.map_or(of_chain, |own| own.min(of_chain))));
    }
}

/// The envelope to run; `None` if the step's own is to run as it is. Ends the run of a step that is skipped, fanned out,
/// merged without a model, or invalid.
pub(crate) async fn prepare(
    job: &Job,
    step: &StepRef,
    envelope: &Envelope,
    context: &Context,
) -> Stage<Option<Envelope>> {
    // An item of a list does not evaluate the condition again.
    let condition = step.when.as_ref().filter(|_| step.index.is_none());
    let reads =
        step.templated || condition.is_some() || step.not_by.is_some() || step.validate.is_some();
    let asks_or_merges = step.merge.is_some() || step.person.is_some();
    if !reads && !step.is_to_fan_out() && !asks_or_merges {
        return ControlFlow::Continue(None);
    }
    let scope = load_scope(step, context).await?;
    if let Some(not_by) = &step.not_by {
        job.progress().authors = Some(Arc::new(Authors::of(not_by, &scope)));
    }
    let to_check = step.validate.as_deref().filter(|_| is_validator(step));
    let checked = to_check.and_then(|validate| checked_answer(validate, &scope));
    let condition = condition.cloned();
    let (templates, unrendered) = (step.clone(), envelope.clone());
    let evaluated = blocking::TEMPLATES
        .run(move || evaluate(&scope, condition, &templates, &unrendered))
        .await;
    let evaluated = match evaluated {
        Ok(evaluated) => evaluated.map_err(|error| invalid_template(step, &error)),
        Err(stopped) => Err(invalid_template(step, &stopped)),
    };
    let rendered = match evaluated.or_dispose()? {
        Evaluated::Skipped(condition) => {
            return ControlFlow::Break(Disposition::Cancelled {
                reason: SKIPPED,
                error: format!("condition not met: {condition}"),
            });
        }
        Evaluated::Items(items) => {
            let items = items.into_iter().map(|item| StepRef {
                item: Some(item),
                ..step.clone()
            });
            return ControlFlow::Break(fan_out(job, step, items, context).await);
        }
        Evaluated::Unchanged => None,
        Evaluated::Rendered(rendered) => Some(*rendered),
        Evaluated::Asked(asked) => {
            let mut envelope = envelope.clone();
            envelope.messages = vec![ChatMessage::new(Role::User, asked.question.clone())];
            let artefact = asked.artefact.as_ref().map_or(0, String::len);
            check_size(step, asked.question.len() + artefact, context).or_dispose()?;
            job.progress().asked = Some(asked);
            return ControlFlow::Continue(Some(envelope));
        }
    };
    if let Some(models) = step.models.as_ref().filter(|_| step.is_to_fan_out()) {
        let envelope = rendered.as_ref().unwrap_or(envelope);
        let asked = route::several(job, models, envelope, &context.policy()).or_dispose()?;
        let items = asked.into_iter().map(|model| StepRef {
            only: Some(model),
            ..step.clone()
        });
        return ControlFlow::Break(fan_out(job, step, items, context).await);
    }
    let rendered = match &step.merge {
        None => rendered,
        Some(of) => match begin_merge(job, step, of, context).await? {
            MergeStep::Chosen(answer) => {
                return ControlFlow::Break(Disposition::Answered(*answer));
            }
            MergeStep::Ask(outcomes) => {
                let envelope = rendered.unwrap_or_else(|| envelope.clone());
                Some(question(job, &of.merge, envelope, outcomes))
            }
        },
    };
    let rendered = match to_check {
        None => rendered,
        Some(validate) => {
            let envelope = rendered.unwrap_or_else(|| envelope.clone());
            Some(begin_validation(job, validate, checked, envelope).await?)
        }
    };
    if let Some(rendered) = &rendered {
        check_size(step, size_of(rendered), context).or_dispose()?;
    }
    ControlFlow::Continue(rendered)
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
    /// It asks a person.
    Asked(Asked),
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
    if let Some(person) = &step.person {
        let (question, artefact) = render_person(person, scope)?;
        return Ok(Evaluated::Asked(Asked { question, artefact }));
    }
    if !step.templated {
        return Ok(Evaluated::Unchanged);
    }
    let rendered = render_envelope(envelope, scope)?;
    Ok(Evaluated::Rendered(Box::new(rendered)))
}

/// Replaces a step by its items.
async fn fan_out(
    job: &Job,
    step: &StepRef,
    items: impl Iterator<Item = StepRef>,
    context: &Context,
) -> Disposition {
    let now = context.clock.now();
    let checkpoints: Vec<Checkpoint> = (0_u32..)
        .zip(items)
        .map(|(index, item)| {
            let reference = StepRef {
                index: Some(index),
                ..item
            };
            let id = step.chain.job(&reference.instance());
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

/// The size of the texts of an envelope, in bytes.
fn size_of(envelope: &Envelope) -> usize {
    let texts = envelope.messages.iter().flat_map(ChatMessage::texts);
    let texts = texts.map(str::len);
    texts.sum::<usize>() + envelope.system.as_ref().map_or(0, String::len)
}

/// Rendered texts may be as large as a message.
fn check_size(step: &StepRef, size: usize, context: &Context) -> Result<(), Discard> {
    let limit = context.policy().config.limits.max_bytes;
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
