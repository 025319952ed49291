//! Estimates what a call costs and reserves, before it is made; and the cap on what a job may cost.

use chrono::{DateTime, Utc};
use longshore_broker::MeterAmounts;
use longshore_config::Config;
use longshore_policy::{
    limits::{CallBound, Meters},
    routing::Candidate,
    tokens,
};
use longshore_protocol::{chain::StepRef, envelope::Envelope, money::Usd};

use super::policy::Policy;
use crate::disposition::Discard;

/// Why a job is given up that would exceed a budget or its cost cap.
pub(crate) const BUDGET_EXCEEDED: &str = "budget_exceeded";

/// What a call may cost, and what it reserves.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    /// The highest possible cost: every byte of the prompt counts as a token, and the answer is as long as
    /// allowed.
    pub(crate) upper_bound: Usd,
    /// The expected tokens of prompt and answer.
    pub(crate) tokens: u64,
    /// The amounts to reserve of meters.
    pub(crate) reservation: MeterAmounts,
}

impl Estimate {
    pub(crate) fn new(
        envelope: &Envelope,
        candidate: &Candidate<'_>,
        step: Option<&StepRef>,
        policy: &Policy,
        now: DateTime<Utc>,
    ) -> Self {
        let model = candidate.model;
        let prompt = tokens::upper_bound(&envelope.messages, envelope.system.as_deref());
        let longest_answer = envelope
            .max_tokens
            .map_or(model.max_output_tokens, |limit| {
                limit.min(model.max_output_tokens)
            });
        let upper_bound = model.upper_bound(prompt, u64::from(longest_answer), now);
        let typical_answer = envelope
            .max_tokens
            .unwrap_or(tokens::TYPICAL_ANSWER)
            .min(longest_answer);
        let costs = CallBound {
            tokens: policy.router.measure(envelope).upper_bound + u64::from(typical_answer),
            upper_bound,
        };
        let mut amounts = policy.meters.amounts(
            candidate.provider,
            envelope.tenant.as_deref(),
            envelope.chain_id.as_deref(),
            &costs,
            now,
        );
        if let Some((step, cap)) = step.and_then(|step| Some((step, step.max_cost?))) {
            amounts.insert(0, Meters::chain_cap(&step.chain, cap, upper_bound));
        }
        Self {
            upper_bound,
            tokens: costs.tokens,
            reservation: MeterAmounts::new(&amounts),
        }
    }
}

/// The most that a job may cost in all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CostCap {
    pub(crate) amount: Usd,
    /// The field or the setting that sets it.
    set_by: &'static str,
}

impl CostCap {
    /// The job's own cap or the configured one, whichever is lower.
    pub(crate) fn for_job(envelope: &Envelope, config: &Config) -> Option<Self> {
        let cap = |amount: Option<Usd>, set_by| amount.map(|amount| Self { amount, set_by });
        let own = cap(envelope.max_cost, "max_cost_usd");
        let configured = cap(
            config.routing.max_cost_per_task,
            "routing.max_cost_per_task",
        );
        own.into_iter()
            .chain(configured)
            .min_by_key(|cap| cap.amount)
    }

    /// The reason for giving up a job whose next attempt could raise its cost to `possible`.
    pub(crate) fn exceeded(self, possible: Usd) -> Discard {
        let Self { amount, set_by } = self;
        let error = format!(
            "the next attempt could raise the job's cost to ${possible}, but {set_by} allows ${amount}; \
             lower max_tokens or raise the cap"
        );
        Discard::new(BUDGET_EXCEEDED, error)
    }
}
