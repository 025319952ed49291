//! A step of a chain, made ready to run: its condition asked, its texts filled in, its list fanned out.

use longshore_protocol::{
    chain::{
        SKIPPED, StepRef,
        template::{TemplateError, render_envelope},
    },
    envelope::{Envelope, Limit, MalformedCode},
};

use super::{expand::expand, scope::scope};
use crate::{
    deps::Deps,
    job::Job,
    verdict::{Discard, Verdict},
};

/// Why a step is given up whose texts cannot be filled in.
const BAD_TEMPLATE: &str = "bad_template";

/// What its chain says of every step, where its own message does not.
pub(crate) fn inherit(
    envelope: &mut Envelope,
    step: &StepRef,
    received: chrono::DateTime<chrono::Utc>,
) {
    if envelope.chain_id.is_none() {
        envelope.chain_id = Some(step.chain.to_string());
    }
    if envelope.parent_id.is_none() {
        envelope.parent_id = step.parent.as_ref().map(ToString::to_string);
    }
    if envelope.tenant.is_none() {
        envelope.tenant.clone_from(&step.tenant);
    }
    if let Some(chain) = step.deadline {
        let own = envelope.deadline.map(|limit| limit.at(received));
        envelope.deadline = Some(Limit::At(own.map_or(chain, |own| own.min(chain))));
    }
}

/// The envelope as it is to be run, or what becomes of the step instead.
pub(crate) async fn prepare(
    job: &Job,
    step: &StepRef,
    envelope: &Envelope,
    deps: &Deps,
) -> Result<Option<Envelope>, Verdict> {
    let decides = step.index.is_none() && step.when.is_some();
    if !step.templated && !decides && !step.is_to_fan_out() {
        return Ok(None);
    }
    let scope = scope(step, deps).await?;
    if let Some(condition) = step.when.as_ref().filter(|_| decides)
        && !scope.holds(condition).map_err(|wrong| bad(step, &wrong))?
    {
        return Err(Verdict::Cancelled {
            reason: SKIPPED,
            error: format!("its condition does not hold: {condition}"),
        });
    }
    if let Some(list) = step.foreach.as_ref().filter(|_| step.is_to_fan_out()) {
        let items = scope.list(list).map_err(|wrong| bad(step, &wrong))?;
        return Err(expand(job, step, items, deps).await);
    }
    if !step.templated {
        return Ok(None);
    }
    let filled = render_envelope(envelope, &scope).map_err(|wrong| bad(step, &wrong))?;
    check_size(step, &filled, deps)?;
    Ok(Some(filled))
}

/// What is filled in may be as large as a message.
fn check_size(step: &StepRef, envelope: &Envelope, deps: &Deps) -> Result<(), Verdict> {
    let most = deps.policy().config.limits.max_bytes;
    let texts = envelope
        .messages
        .iter()
        .map(|message| message.content.len());
    let size: usize = texts.sum::<usize>() + envelope.system.as_ref().map_or(0, String::len);
    if size <= most {
        return Ok(());
    }
    let error = format!(
        "step `{}`: with the answers filled in its texts have {size} bytes; at most {most} are allowed \
         (`limits.max_message_bytes`): use `.summary`, or a field of `.json`",
        step.name
    );
    Err(Discard::new(MalformedCode::TooLarge.as_str(), error).into())
}

fn bad(step: &StepRef, wrong: &TemplateError) -> Verdict {
    Discard::new(BAD_TEMPLATE, format!("step `{}`: {wrong}", step.name)).into()
}
