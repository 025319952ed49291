//! Route: decides which providers may answer a job, and which of them can be called now.

pub(crate) mod account_holds;
pub(crate) mod candidates;
pub(crate) mod circuits;
pub(crate) mod estimate;
pub(crate) mod pauses;
pub(crate) mod policy;

use longshore_policy::routing::{Candidate, Decision, PromptTokens};
use longshore_protocol::{
    call::ErrorClass,
    chain::{ModelName, Models},
    envelope::Envelope,
};

use self::{
    account_holds::AccountHolds, circuits::Circuits, estimate::BUDGET_EXCEEDED,
    pauses::KnownPauses, policy::Policy,
};

use crate::{chain::Authors, clock::Clock, disposition::Discard, job::Job};

/// Why a step is given up that only the authors of earlier answers could answer.
const NO_OTHER_MODEL: &str = "no_other_model";

/// Which providers can take calls now, as all workers know it.
pub(crate) struct Availability {
    pub(crate) circuits: Circuits,
    pub(crate) account_holds: AccountHolds,
    pub(crate) pauses: KnownPauses,
    pub(crate) clock: Clock,
}

/// Who may answer the job, whose prompt has this length. A job that exceeded a context window goes to models with
/// larger ones.
pub(crate) fn decide<'a>(
    job: &Job,
    envelope: &Envelope,
    mut prompt: PromptTokens,
    policy: &'a Policy,
) -> Result<Decision<'a>, Discard> {
    let (exceeded_window, failed_tier) = {
        let progress = job.progress();
        (progress.checkpoint.outgrew, progress.checkpoint.above)
    };
    if let Some(window) = exceeded_window {
        prompt.upper_bound = prompt.upper_bound.max(window + 1);
    }
    let authors = job.progress().authors.clone();
    let decision =
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
        };
    match authors {
        None => decision,
        Some(authors) => without_authors(decision?, &authors)
            .ok_or_else(|| Discard::new(NO_OTHER_MODEL, authors.refusal())),
    }
}

/// The decision without candidates that `not_by` leaves out; `None` if none is left.
fn without_authors<'a>(mut decision: Decision<'a>, authors: &Authors) -> Option<Decision<'a>> {
    decision
        .candidates
        .retain(|candidate| authors.may_answer(candidate));
    (!decision.candidates.is_empty()).then_some(decision)
}

/// The models that a step asks at once, in order.
pub(crate) fn several(
    job: &Job,
    models: &Models,
    envelope: &Envelope,
    policy: &Policy,
) -> Result<Vec<ModelName>, Discard> {
    let authors = job.progress().authors.clone();
    let prompt = policy.router.measure(envelope);
    let may_answer = |candidate: &Candidate<'_>| {
        authors
            .as_ref()
            .is_none_or(|authors| authors.may_answer(candidate))
    };
    let found = policy.router.several(models, envelope, prompt, may_answer);
    found.map_err(|error| {
        let reason = if error.is_too_dear {
            BUDGET_EXCEEDED
        } else {
            ErrorClass::BadRequest.as_str()
        };
        Discard::new(reason, error.to_string())
    })
}

/// For a step that escalates: who of a higher tier may answer what the models of `decision` could not.
pub(crate) fn escalate<'a>(
    job: &Job,
    envelope: &Envelope,
    prompt: PromptTokens,
    decision: &Decision<'a>,
    policy: &'a Policy,
) -> Option<Decision<'a>> {
    let mut progress = job.progress();
    if !progress
        .checkpoint
        .step
        .as_ref()
        .is_some_and(|step| step.escalate)
    {
        return None;
    }
    let failed = decision.tier()?;
    let mut higher = policy.router.escalate(envelope, prompt, failed)?;
    if let Some(authors) = &progress.authors {
        higher = without_authors(higher, authors)?;
    }
    let checkpoint = &mut progress.checkpoint;
    checkpoint.above = Some(failed);
    checkpoint.exhausted.clear();
    checkpoint.tries.clear();
    checkpoint.earlier_tries.clear();
    checkpoint.repairs = 0;
    checkpoint.fault = None;
    checkpoint.token_limit = None;
    Some(higher)
}
