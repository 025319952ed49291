//! Changes the next call where the same one would fail again: says what was wrong with the last answer, or allows a
//! longer one.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use longshore_config::Config;
use longshore_policy::{cost::CostCap, tokens};
use longshore_protocol::{
    call::{ChatMessage, Remedy, Role},
    envelope::Envelope,
    money::Usd,
};

use crate::{call::FailedCall, job::Job};

/// The envelope of the next call: if the last answer was of the wrong form, with a message that says so; if the token
/// limit was too small, with the larger one.
pub(crate) fn changed(job: &Job, envelope: &Arc<Envelope>) -> Arc<Envelope> {
    let (fault, limit) = {
        let progress = job.progress();
        let checkpoint = &progress.checkpoint;
        (checkpoint.fault.clone(), checkpoint.token_limit)
    };
    if fault.is_none() && limit.is_none() {
        return envelope.clone();
    }
    let mut envelope = Envelope::clone(envelope);
    envelope.params.max_tokens = limit.or(envelope.params.max_tokens);
    if let Some(fault) = fault {
        let words = format!(
            "A previous attempt ended with this error: {fault}. Answer again, in the form that is asked for."
        );
        envelope.messages.push(ChatMessage::new(Role::User, words));
    }
    Arc::new(envelope)
}

/// The token limit for the next call, if a larger one is what the failure asks for: twice that of the envelope, as far as
/// the model and what is left of the job's cost cap allow. `None` if that is no more than it had.
pub(crate) fn larger_limit(
    job: &Job,
    envelope: &Envelope,
    failed: &FailedCall<'_>,
    config: &Config,
    now: DateTime<Utc>,
) -> Option<u32> {
    if failed.error.remedy != Remedy::LargerLimit {
        return None;
    }
    let limit = envelope.params.max_tokens?;
    let model = failed.candidate.model;
    let prompt = tokens::Prompt::of(envelope).upper_bound(model);
    let window = model.context_window.saturating_sub(prompt.tokens);
    let larger = limit
        .saturating_mul(2)
        .min(model.max_output_tokens)
        .min(u32::try_from(window).unwrap_or(u32::MAX));
    let spent = {
        let progress = job.progress();
        let open = progress.open_attempt.as_ref();
        let last = open.map_or(Usd::ZERO, |open| open.cost_usd.unwrap_or(open.reserved_usd));
        progress.checkpoint.cost + last
    };
    let is_paid_for = |tokens: u32| {
        let cap = CostCap::for_job(envelope, &config.routing);
        cap.is_none_or(|cap| model.upper_bound(prompt, tokens.into(), now) <= cap.left(spent))
    };
    // Half of the way, if money does not allow twice as much.
    [larger, limit.saturating_add(limit / 2).min(larger)]
        .into_iter()
        .find(|larger| *larger > limit && is_paid_for(*larger))
}
