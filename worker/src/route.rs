//! Route: decides which providers may answer a job, and which of them can be called now.

pub(crate) mod account_holds;
pub(crate) mod candidates;
pub(crate) mod circuits;
pub(crate) mod estimate;
pub(crate) mod pauses;
pub(crate) mod policy;

use longshore_policy::routing::Decision;
use longshore_protocol::{call::ErrorClass, envelope::Envelope};

use self::{
    account_holds::AccountHolds, circuits::Circuits, estimate::BUDGET_EXCEEDED,
    pauses::KnownPauses, policy::Policy,
};
use crate::{clock::Clock, disposition::Discard, job::Job};

/// Which providers can take calls now, as all workers know it.
pub(crate) struct Availability {
    pub(crate) circuits: Circuits,
    pub(crate) account_holds: AccountHolds,
    pub(crate) pauses: KnownPauses,
    pub(crate) clock: Clock,
}

/// Who may answer the job. A job that exceeded a context window goes to models with larger ones.
pub(crate) fn decide<'a>(
    job: &Job,
    envelope: &Envelope,
    policy: &'a Policy,
) -> Result<Decision<'a>, Discard> {
    let mut prompt = policy.router.measure(envelope);
    let (exceeded_window, failed_tier) = {
        let progress = job.progress();
        (progress.checkpoint.outgrew, progress.checkpoint.above)
    };
    if let Some(window) = exceeded_window {
        prompt.upper_bound = prompt.upper_bound.max(window + 1);
    }
    match failed_tier.and_then(|failed| policy.router.escalate(envelope, prompt, failed)) {
        Some(higher) => Ok(higher),
        None => policy.router.decide(envelope, prompt).map_err(|error| {
            // Providers have said so, whatever the routing rules say of the models that are left.
            let reason = match exceeded_window {
                Some(_) => ErrorClass::ContextTooLong.as_str(),
                None if error.is_too_dear => BUDGET_EXCEEDED,
                None => ErrorClass::BadRequest.as_str(),
            };
            Discard::new(reason, error.to_string())
        }),
    }
}

/// For a step that escalates: who of a higher tier may answer what the models of `decision` could not.
pub(crate) fn escalate<'a>(
    job: &Job,
    envelope: &Envelope,
    decision: &Decision<'a>,
    policy: &'a Policy,
) -> Option<Decision<'a>> {
    let mut progress = job.progress();
    let checkpoint = &mut progress.checkpoint;
    if !checkpoint.step.as_ref().is_some_and(|step| step.escalate) {
        return None;
    }
    let failed = decision.tier()?;
    let prompt = policy.router.measure(envelope);
    let higher = policy.router.escalate(envelope, prompt, failed)?;
    checkpoint.above = Some(failed);
    checkpoint.exhausted.clear();
    checkpoint.tries.clear();
    checkpoint.earlier_tries.clear();
    checkpoint.repairs = 0;
    checkpoint.fault = None;
    checkpoint.token_limit = None;
    Some(higher)
}
