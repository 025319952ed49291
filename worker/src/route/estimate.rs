//! Estimates what a call costs and reserves, before it is made.

use chrono::{DateTime, Utc};
use longshore_broker::MeterAmounts;
use longshore_policy::{
    cost::{AnswerBound, AnswerLimits, CostCap},
    limits::{CallBound, MeterAmount, Meters},
    routing::Candidate,
    tokens,
};
use longshore_protocol::{chain::StepRef, money::Usd};

use super::candidates::Query;
use crate::disposition::Discard;

/// Why a job is given up that would exceed a budget or its cost cap.
pub(crate) const BUDGET_EXCEEDED: &str = "budget_exceeded";

/// What a call may cost, and what it reserves.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    /// The longest answer, and the highest possible cost.
    pub(crate) answer: AnswerBound,
    /// The expected tokens of prompt and answer.
    pub(crate) tokens: u64,
    /// The amounts to reserve of meters.
    pub(crate) reservation: MeterAmounts,
    /// Those among them that are hard limits of money.
    pub(crate) money: Vec<MeterAmount>,
}

impl Estimate {
    /// With `left`, the answer is limited to what that allows, if it allows enough.
    pub(crate) fn new(
        query: Query<'_, '_>,
        candidate: &Candidate<'_>,
        step: Option<&StepRef>,
        left: Option<Usd>,
        now: DateTime<Utc>,
    ) -> Self {
        let Query {
            queue,
            envelope,
            length,
            policy,
            ..
        } = query;
        let model = candidate.model;
        let prompt = tokens::Prompt::of(envelope).upper_bound(model);
        let limits = AnswerLimits {
            prompt,
            max_tokens: envelope.params.max_tokens,
            left,
            floor: policy.config.routing.min_answer_tokens,
        };
        let answer = AnswerBound::new(model, limits, now);
        let typical_answer = envelope
            .params
            .max_tokens
            .unwrap_or(tokens::TYPICAL_ANSWER)
            .min(answer.tokens);
        let costs = CallBound {
            tokens: length.upper_bound + u64::from(typical_answer),
            upper_bound: answer.cost,
        };
        let mut amounts = policy.meters.amounts(
            candidate.provider,
            envelope.tenant.as_deref(),
            envelope.chain_id.as_deref(),
            &costs,
            now,
        );
        let caps = step.into_iter().flat_map(StepRef::caps);
        let caps = caps.map(|cap| Meters::chain_cap(&cap.chain, cap.max_cost, answer.cost));
        amounts.splice(0..0, caps);
        amounts.splice(0..0, policy.meters.of_queue(queue));
        let reservation = MeterAmounts::new(&amounts);
        amounts.retain(MeterAmount::is_hard_money);
        Self {
            answer,
            tokens: costs.tokens,
            reservation,
            money: amounts,
        }
    }
}

/// The reason for giving up a job whose next attempt could raise its cost to `possible`.
pub(crate) fn cap_exceeded(cap: CostCap, possible: Usd) -> Discard {
    let CostCap { amount, set_by } = cap;
    let error = format!(
        "the next attempt could raise the job's cost to ${possible}, but {set_by} allows ${amount}; \
         lower max_tokens or raise the cap"
    );
    Discard::new(BUDGET_EXCEEDED, error)
}
