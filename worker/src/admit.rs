//! Admit: decides whether a delivered message is a job that may run now.

mod checks;
pub(crate) mod encrypted;
mod identity;
mod message;

use std::{ops::ControlFlow, sync::Arc};

use longshore_protocol::envelope::{Envelope, Parsed, chain_text};

use crate::{
    chain,
    context::Context,
    disposition::{Disposition, Stage},
    job::Job,
    trace::Traced,
};

/// The envelope of a job that may run now. What few jobs need is boxed, because every job holds memory for the largest
/// branch.
pub(crate) async fn admit(job: &Job, context: &Context) -> Stage<Arc<Envelope>> {
    message::refuse_forged(job)?;
    checks::check_unbegun(job)?;
    encrypted::refuse_unopened(job)?;
    if let Some(document) = chain_text(&job.message, &context.policy().config.limits) {
        return ControlFlow::Break(Box::pin(chain::start(job, document, context)).await);
    }
    let Parsed {
        mut envelope,
        hash,
        unknown,
    } = message::parse_message(job, context)?;
    let step = job.progress().checkpoint.step.clone();
    if let Some(step) = &step {
        chain::inherit(&mut envelope, step, job.progress().checkpoint.enqueued_at);
    }
    if envelope.traceparent.is_none() && context.traces.is_on() {
        let progress = job.progress();
        let checkpoint = &progress.checkpoint;
        let id = envelope.id.as_ref().unwrap_or(&checkpoint.id);
        envelope.traceparent = Traced::Job(id.as_str()).begin(checkpoint.enqueued_at, context);
    }
    let envelope = Arc::new(envelope);
    if envelope.tenant.is_some() {
        let now = context.clock.now();
        context.tenant_activity.record(now.timestamp_millis());
    }
    let is_admitted = {
        let mut progress = job.progress();
        progress.envelope = Some(envelope.clone());
        progress.message_remarks = message::remarks(&unknown);
        if let Some(id) = &envelope.id {
            progress.checkpoint.id = id.clone();
        }
        progress.checkpoint.waits_since = None;
        progress.checkpoint.admitted
    };
    if !is_admitted {
        if envelope.id.is_some() || envelope.unique.is_some() {
            let step = step.as_deref();
            Box::pin(identity::claim_identity(
                job,
                &envelope,
                hash.as_ref(),
                step,
                context,
            ))
            .await?;
        }
        job.progress().checkpoint.admitted = true;
    }
    checks::check_crashes(job)?;
    let now = context.clock.now();
    checks::check_times(job, &envelope, now)?;
    let pauses = &context.availability.pauses;
    if let Some(lane) = pauses.task_type_lane(&envelope.task_type, now) {
        return ControlFlow::Break(Disposition::Paused(lane));
    }
    let Some(step) = step else {
        return ControlFlow::Continue(envelope);
    };
    let Some(rendered) = Box::pin(chain::prepare(job, &step, &envelope, context)).await? else {
        return ControlFlow::Continue(envelope);
    };
    let rendered = Arc::new(rendered);
    job.progress().envelope = Some(rendered.clone());
    ControlFlow::Continue(rendered)
}
