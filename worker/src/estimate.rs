//! What a call may come to, before it is made.

use chrono::{DateTime, Utc};
use longshore_broker::Takes;
use longshore_policy::{
    limits::{Costs, Meters},
    routing::Candidate,
    tokens,
};
use longshore_protocol::{chain::StepRef, envelope::Envelope, money::Usd};

use crate::policy::Policy;

/// What a call may come to.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    /// The most that it can cost: as if each byte of the prompt were a token, and the answer as long as it
    /// may be.
    pub(crate) upper_bound: Usd,
    /// The tokens that it is taken to have.
    pub(crate) tokens: u64,
    /// What it takes of limits.
    pub(crate) takes: Takes,
}

impl Estimate {
    /// Of a call to a candidate.
    pub(crate) fn of(
        envelope: &Envelope,
        candidate: &Candidate<'_>,
        step: Option<&StepRef>,
        policy: &Policy,
        now: DateTime<Utc>,
    ) -> Self {
        let model = candidate.model;
        let prompt = tokens::upper_bound(&envelope.messages, envelope.system.as_deref());
        let answer = envelope.max_tokens.map_or(model.max_output_tokens, |most| {
            most.min(model.max_output_tokens)
        });
        let upper_bound = model.upper_bound(prompt, u64::from(answer), now);
        let typical = envelope
            .max_tokens
            .unwrap_or(tokens::TYPICAL_ANSWER)
            .min(answer);
        let costs = Costs {
            tokens: policy.router.measure(envelope).upper_bound + u64::from(typical),
            upper_bound,
        };
        let mut takes = policy.meters.takes(
            candidate.provider,
            envelope.tenant.as_deref(),
            envelope.chain_id.as_deref(),
            &costs,
            now,
        );
        if let Some((step, most)) = step.and_then(|step| Some((step, step.max_cost?))) {
            takes.insert(0, Meters::chain_cap(&step.chain, most, upper_bound));
        }
        Self {
            upper_bound,
            tokens: costs.tokens,
            takes: Takes::new(&takes),
        }
    }
}
