//! What a call costs.

use rust_decimal::Decimal;

use crate::{call::Usage, money::Usd};

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// Prompt tokens.
    pub input: Decimal,
    /// Answer tokens, thinking included.
    pub output: Decimal,
    /// Prompt tokens read from the cache; as `input` if absent.
    pub cached: Option<Decimal>,
    /// Prompt tokens written to the cache; as `input` if absent.
    pub cache_write: Option<Decimal>,
    /// Prompt tokens written to the cache for an hour; as `cache_write` if absent.
    pub cache_write_1h: Option<Decimal>,
}

impl Prices {
    fn cached(&self) -> Decimal {
        self.cached.unwrap_or(self.input)
    }

    fn cache_write(&self) -> Decimal {
        self.cache_write.unwrap_or(self.input)
    }

    fn cache_write_1h(&self) -> Decimal {
        self.cache_write_1h.unwrap_or_else(|| self.cache_write())
    }

    /// What these tokens cost, exactly.
    pub fn cost(&self, usage: &Usage) -> Usd {
        [
            (usage.input, self.input),
            (usage.cached, self.cached()),
            (usage.cache_write, self.cache_write()),
            (usage.cache_write_1h, self.cache_write_1h()),
            (usage.output, self.output),
            (usage.reasoning, self.output),
        ]
        .into_iter()
        .map(|(tokens, price)| Usd::for_tokens(tokens, price))
        .sum()
    }

    /// The most that a call of so many tokens can cost, however its prompt is billed.
    pub fn upper_bound(&self, input_tokens: u64, output_tokens: u64) -> Usd {
        let dearest = self
            .input
            .max(self.cached())
            .max(self.cache_write())
            .max(self.cache_write_1h());
        Usd::for_tokens(input_tokens, dearest) + Usd::for_tokens(output_tokens, self.output)
    }

    /// What an ordinary call costs, for comparing models: 1,000 tokens in, 500 out.
    pub fn nominal(&self) -> Usd {
        Usd::for_tokens(1_000, self.input) + Usd::for_tokens(500, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn plain() -> Prices {
        Prices {
            input: decimal("3"),
            output: decimal("15"),
            cached: None,
            cache_write: None,
            cache_write_1h: None,
        }
    }

    const USAGE: Usage = Usage {
        input: 1,
        cached: 10,
        cache_write: 100,
        cache_write_1h: 1_000,
        output: 10_000,
        reasoning: 100_000,
    };

    #[test]
    fn each_kind_of_token_has_its_price() {
        let prices = Prices {
            cached: Some(decimal("0.3")),
            cache_write: Some(decimal("3.75")),
            cache_write_1h: Some(decimal("6")),
            ..plain()
        };
        // 3 + 3 + 375 + 6,000 + 150,000 + 1,500,000 millionths.
        assert_eq!(prices.cost(&USAGE).to_string(), "1.656381");
    }

    #[test]
    fn an_absent_price_is_that_of_the_next_kind() {
        assert_eq!(plain().cost(&USAGE).to_string(), "1.653333");
        let prices = Prices {
            cache_write: Some(decimal("4")),
            ..plain()
        };
        // A hundred tokens and a thousand, each a millionth of a dollar dearer.
        assert_eq!(prices.cost(&USAGE).to_string(), "1.654433");
    }

    #[test]
    fn a_free_cache_is_not_an_absent_price() {
        let prices = Prices {
            cached: Some(Decimal::ZERO),
            ..plain()
        };
        let usage = Usage {
            cached: 1_000_000,
            ..Usage::default()
        };
        assert_eq!(prices.cost(&usage), Usd::ZERO);
    }

    #[test]
    fn no_usage_costs_more_than_the_bound() {
        let prices = Prices {
            cached: Some(decimal("0.3")),
            cache_write: Some(decimal("3.75")),
            cache_write_1h: Some(decimal("6")),
            ..plain()
        };
        let bound = prices.upper_bound(USAGE.total_input(), USAGE.total_output());
        assert!(prices.cost(&USAGE) <= bound);
        assert_eq!(prices.upper_bound(1_000_000, 1_000_000).to_string(), "21");
    }

    #[test]
    fn an_absurd_usage_is_still_a_number() {
        let prices = Prices {
            input: decimal("100000"),
            output: decimal("99999.999999999"),
            ..plain()
        };
        let all = Usage {
            input: u64::MAX,
            cached: u64::MAX,
            cache_write: u64::MAX,
            cache_write_1h: u64::MAX,
            output: u64::MAX,
            reasoning: u64::MAX,
        };
        assert!(prices.cost(&all) > Usd::ZERO);
    }
}
