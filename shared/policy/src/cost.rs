//! What a job may cost at most, and how long an answer that allows.

use chrono::{DateTime, Utc};
use longshore_protocol::{envelope::Envelope, money::Usd};

use crate::{
    catalog::{ModelEntry, PromptBound},
    routing::Routing,
};

/// The most that a job may cost in all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostCap {
    pub amount: Usd,
    /// The field or the setting that sets it.
    pub set_by: &'static str,
}

impl CostCap {
    /// The job's own cap or the configured one, whichever is lower.
    pub fn for_job(envelope: &Envelope, routing: &Routing) -> Option<Self> {
        let cap = |amount: Option<Usd>, set_by| amount.map(|amount| Self { amount, set_by });
        let own = cap(envelope.max_cost, "max_cost_usd");
        let configured = cap(routing.max_cost_per_task, "routing.max_cost_per_task");
        own.into_iter()
            .chain(configured)
            .min_by_key(|cap| cap.amount)
    }

    /// What is left of it for a job that has cost so much.
    pub fn left(&self, spent: Usd) -> Usd {
        Usd(self.amount.0.saturating_sub(spent.0).max(Usd::ZERO.0))
    }
}

/// The longest answer of a call, and the most that the call can cost with it: every byte of the prompt counts
/// as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBound {
    pub tokens: u32,
    pub cost: Usd,
    /// Whether money allows no longer answer: the provider must be told.
    pub is_limited: bool,
}

/// What limits the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimits {
    /// The most tokens that the prompt can have.
    pub prompt: PromptBound,
    /// The most tokens that the job allows.
    pub max_tokens: Option<u32>,
    /// The most that the call may cost.
    pub left: Option<Usd>,
    /// Money limits no answer to fewer tokens than this: a cut answer would be paid for and useless.
    pub floor: u32,
}

impl AnswerBound {
    /// The longest answer that the limits allow. If money does not even allow the floor, the longest that the job and
    /// the model allow, which costs more than what is left.
    pub fn new(model: &ModelEntry, limits: AnswerLimits, at: DateTime<Utc>) -> Self {
        let most = model.max_output_tokens;
        let tokens = limits.max_tokens.map_or(most, |limit| limit.min(most));
        let cost = |tokens: u32| model.upper_bound(limits.prompt, u64::from(tokens), at);
        let longest = Self {
            tokens,
            cost: cost(tokens),
            is_limited: false,
        };
        // `fits` costs `left` at most, `exceeds` costs more.
        let (mut fits, mut exceeds) = (limits.floor.min(tokens), tokens);
        let Some(left) = limits.left.filter(|left| longest.cost > *left) else {
            return longest;
        };
        if cost(fits) > left {
            return longest;
        }
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if cost(middle) <= left {
                fits = middle;
            } else {
                exceeds = middle;
            }
        }
        Self {
            tokens: fits,
            cost: cost(fits),
            is_limited: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::platform::{PlatformName, Tier};
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{PriceBook, Rates};

    fn model(input: u32, output: u32) -> ModelEntry {
        let rates = Rates {
            input: input.into(),
            output: output.into(),
            ..Rates::FREE
        };
        ModelEntry {
            provider: PlatformName::from_stored("p"),
            model: "m".to_owned(),
            tier: Tier::Fast,
            capabilities: Vec::new(),
            untold: true,
            context_window: 1_000_000,
            max_output_tokens: 100_000,
            withdrawn: None,
            prices: PriceBook::new(rates.into(), Vec::new()),
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_the_longest_that_is_paid_for(
            prices in (0_u32..20, 0_u32..90),
            prompt in 0_u64..50_000,
            max_tokens in proptest::option::of(1_u32..200_000),
            floor in 1_u32..10_000,
            left in 0_u64..2_000_000_000,
        ) {
            let (model, left, at) = (model(prices.0, prices.1), Usd::from_nanos(left), DateTime::UNIX_EPOCH);
            let prompt = PromptBound::of_text(prompt);
            let cost = |tokens: u32| model.upper_bound(prompt, u64::from(tokens), at);
            let limits = AnswerLimits { prompt, max_tokens, left: None, floor };
            let longest = AnswerBound::new(&model, limits, at);
            let least = floor.min(longest.tokens);
            let answer = AnswerBound::new(&model, AnswerLimits { left: Some(left), ..limits }, at);
            if cost(least) > left {
                prop_assert!(answer.cost > left);
                prop_assert_eq!(answer, longest);
            } else {
                prop_assert!(answer.cost <= left && answer.cost == cost(answer.tokens));
                prop_assert!((least..=longest.tokens).contains(&answer.tokens));
                let is_longest = answer.tokens == longest.tokens || cost(answer.tokens + 1) > left;
                prop_assert!(is_longest, "{answer:?}");
                prop_assert_eq!(answer.is_limited, answer.tokens < longest.tokens);
            }
        }
    }
}
