//! The cost of a call.

use longshore_protocol::{call::Usage, money::Usd};
use rust_decimal::Decimal;

/// Prices by kind of token, in US dollars per million.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    pub input: Decimal,
    pub output: Decimal,
    /// Prompt tokens read from the cache; `input` if absent.
    pub cached: Option<Decimal>,
    /// Prompt tokens written to the cache; `input` if absent.
    pub cache_write: Option<Decimal>,
    /// Prompt tokens written to the cache for an hour; `cache_write` if absent.
    pub cache_write_1h: Option<Decimal>,
    /// Reasoning tokens; `output` if absent.
    pub reasoning: Option<Decimal>,
    /// Prompt tokens of sound; `input` if absent.
    pub audio: Option<Decimal>,
    /// Prompt tokens of sound read from the cache; `cached` if absent, and without that `audio`.
    pub cached_audio: Option<Decimal>,
}

impl Rates {
    pub const FREE: Self = Self {
        input: Decimal::ZERO,
        output: Decimal::ZERO,
        cached: None,
        cache_write: None,
        cache_write_1h: None,
        reasoning: None,
        audio: None,
        cached_audio: None,
    };

    /// The price of prompt tokens read from the cache.
    pub fn cached(&self) -> Decimal {
        self.cached.unwrap_or(self.input)
    }

    /// The price of prompt tokens written to the cache.
    pub fn cache_write(&self) -> Decimal {
        self.cache_write.unwrap_or(self.input)
    }

    /// The price of prompt tokens written to the cache for an hour.
    pub fn cache_write_1h(&self) -> Decimal {
        self.cache_write_1h.unwrap_or_else(|| self.cache_write())
    }

    /// The price of reasoning tokens.
    pub fn reasoning(&self) -> Decimal {
        self.reasoning.unwrap_or(self.output)
    }

    /// The price of prompt tokens of sound.
    pub fn audio(&self) -> Decimal {
        self.audio.unwrap_or(self.input)
    }

    /// The price of prompt tokens of sound read from the cache.
    pub fn cached_audio(&self) -> Decimal {
        self.cached_audio
            .or(self.cached)
            .unwrap_or_else(|| self.audio())
    }

    /// Whether the price of this sound is known, and not only that of text.
    fn knows_price_of_sound(&self, usage: &Usage) -> bool {
        let is_free = self.input.is_zero();
        usage.audio + usage.cached_audio == 0 || is_free || self.audio.is_some()
    }

    fn cost(&self, usage: &Usage) -> Usd {
        let audio = usage.audio.min(usage.input);
        let cached_audio = usage.cached_audio.min(usage.cached);
        [
            (usage.input - audio, self.input),
            (audio, self.audio()),
            (usage.cached - cached_audio, self.cached()),
            (cached_audio, self.cached_audio()),
            (usage.cache_write, self.cache_write()),
            (usage.cache_write_1h, self.cache_write_1h()),
            (usage.output, self.output),
            (usage.reasoning, self.reasoning()),
        ]
        .into_iter()
        .map(|(tokens, price)| Usd::for_tokens(tokens, price))
        .sum()
    }

    fn upper_bound(&self, prompt: PromptBound, output_tokens: u64) -> Usd {
        let mut input = self
            .input
            .max(self.cached())
            .max(self.cache_write())
            .max(self.cache_write_1h());
        if prompt.has_sound {
            input = input.max(self.audio()).max(self.cached_audio());
        }
        let output = self.output.max(self.reasoning());
        Usd::for_tokens(prompt.tokens, input) + Usd::for_tokens(output_tokens, output)
    }
}

/// The most tokens of a prompt, for the most that a call can cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptBound {
    pub tokens: u64,
    /// Whether some of them may be sound, which has prices of its own.
    pub has_sound: bool,
}

impl PromptBound {
    /// The bound of a prompt without sound.
    pub fn of_text(tokens: u64) -> Self {
        Self {
            tokens,
            has_sound: false,
        }
    }
}

/// Other prices for long prompts. They apply to the whole call, not only to the tokens above the
/// threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBand {
    /// For prompts with more tokens than this, however they are billed.
    pub above_tokens: u64,
    pub rates: Rates,
}

/// The prices of a model at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// For prompts below every band.
    pub rates: Rates,
    /// For longer prompts, lowest threshold first.
    pub steps: Vec<PriceBand>,
    /// The discount of the provider's own batch API: 0.5 halves the price. Default: none.
    pub batch_discount: Option<Decimal>,
}

impl From<Rates> for Prices {
    fn from(rates: Rates) -> Self {
        Self {
            rates,
            steps: Vec::new(),
            batch_discount: None,
        }
    }
}

impl Prices {
    /// The prices for a prompt with this many tokens.
    fn of_prompt(&self, tokens: u64) -> &Rates {
        self.steps
            .iter()
            .rfind(|step| tokens > step.above_tokens)
            .map_or(&self.rates, |step| &step.rates)
    }

    /// The exact cost of these tokens.
    pub fn cost(&self, usage: &Usage) -> Usd {
        self.of_prompt(usage.total_input()).cost(usage)
    }

    /// Whether the cost of these tokens is that of their prices: sound is billed as text where its price is unknown.
    pub fn is_exact(&self, usage: &Usage) -> bool {
        let rates = self.of_prompt(usage.total_input());
        rates.knows_price_of_sound(usage)
    }

    /// The most that a call with these token limits can cost, however its prompt is billed and
    /// whichever band applies.
    pub fn upper_bound(&self, prompt: PromptBound, output_tokens: u64) -> Usd {
        self.steps
            .iter()
            .filter(|step| prompt.tokens > step.above_tokens)
            .map(|step| &step.rates)
            .chain([&self.rates])
            .map(|rates| rates.upper_bound(prompt, output_tokens))
            .max()
            .unwrap_or_default()
    }

    /// The cost of a typical call, used to compare models: 1,000 tokens in, 500 out.
    pub fn nominal(&self) -> Usd {
        Usd::for_tokens(1_000, self.rates.input) + Usd::for_tokens(500, self.rates.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn plain() -> Rates {
        Rates {
            input: decimal("3"),
            output: decimal("15"),
            ..Rates::FREE
        }
    }

    /// Prices with a cache, and a band from 1,000 tokens with a higher input and a lower output price.
    fn stepped() -> Prices {
        Prices {
            rates: Rates {
                cached: Some(decimal("0.3")),
                ..plain()
            },
            steps: vec![
                PriceBand {
                    above_tokens: 1_000,
                    rates: Rates {
                        input: decimal("6"),
                        output: decimal("10"),
                        ..plain()
                    },
                },
                PriceBand {
                    above_tokens: 2_000,
                    rates: plain(),
                },
            ],
            batch_discount: None,
        }
    }

    const USAGE: Usage = Usage {
        input: 1,
        cached: 10,
        cache_write: 100,
        cache_write_1h: 1_000,
        output: 10_000,
        reasoning: 100_000,
        audio: 0,
        cached_audio: 0,
    };

    #[test]
    fn each_kind_of_token_has_its_price() {
        let prices = Rates {
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
        let prices = Rates {
            cache_write: Some(decimal("4")),
            ..plain()
        };
        // 1,100 tokens, each a millionth of a dollar more expensive.
        assert_eq!(prices.cost(&USAGE).to_string(), "1.654433");
    }

    #[test]
    fn a_free_cache_is_not_an_absent_price() {
        let prices = Rates {
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
        let prices = Rates {
            cached: Some(decimal("0.3")),
            cache_write: Some(decimal("3.75")),
            cache_write_1h: Some(decimal("6")),
            ..plain()
        };
        let bound = prices.upper_bound(
            PromptBound::of_text(USAGE.total_input()),
            USAGE.total_output(),
        );
        assert!(prices.cost(&USAGE) <= bound);
        assert_eq!(
            prices
                .upper_bound(PromptBound::of_text(1_000_000), 1_000_000)
                .to_string(),
            "21"
        );
    }

    #[test]
    fn an_absurd_usage_is_still_a_number() {
        let rates = Rates {
            input: decimal("100000"),
            output: decimal("99999.999999999"),
            ..plain()
        };
        let prices = Prices::from(rates);
        let all = Usage {
            input: u64::MAX,
            cached: u64::MAX,
            cache_write: u64::MAX,
            cache_write_1h: u64::MAX,
            output: u64::MAX,
            reasoning: u64::MAX,
            audio: u64::MAX,
            cached_audio: u64::MAX,
        };
        assert!(prices.cost(&all) > Usd::ZERO);
    }

    #[test]
    fn thinking_has_a_price_of_its_own_or_that_of_the_answer() {
        let prices = Rates {
            reasoning: Some(decimal("30")),
            ..plain()
        };
        let usage = Usage {
            output: 1,
            reasoning: 10,
            ..Usage::default()
        };
        assert_eq!(prices.cost(&usage).to_string(), "0.000315");
        assert_eq!(plain().cost(&usage).to_string(), "0.000165");
        assert_eq!(
            prices.upper_bound(PromptBound::of_text(0), 11).to_string(),
            "0.00033"
        );
    }

    #[test]
    fn sound_has_prices_of_its_own() {
        let usage = Usage {
            input: 100,
            audio: 60,
            cached: 10,
            cached_audio: 4,
            ..Usage::default()
        };
        let with = |audio: Option<&str>, cached: Option<&str>, cached_audio: Option<&str>| Rates {
            audio: audio.map(decimal),
            cached: cached.map(decimal),
            cached_audio: cached_audio.map(decimal),
            ..plain()
        };
        for (rates, cost, is_exact) in [
            // 40 × 3 + 60 × 10 + 6 × 0.3 + 4 × 1 millionths.
            (with(Some("10"), Some("0.3"), Some("1")), "0.0007258", true),
            (with(Some("10"), Some("0.3"), None), "0.000723", true),
            (with(Some("10"), None, None), "0.000778", true),
            (with(None, Some("0.3"), None), "0.000303", false),
            (Rates::FREE, "0", true),
        ] {
            let bound = |has_sound| {
                let tokens = usage.total_input();
                rates.upper_bound(PromptBound { tokens, has_sound }, 0)
            };
            let prices = Prices::from(rates.clone());
            assert_eq!(prices.cost(&usage).to_string(), cost);
            assert_eq!(prices.is_exact(&usage), is_exact);
            assert!(prices.cost(&usage) <= bound(true));
            assert!(bound(false) <= bound(true));
        }
        // More sound than prompt is the provider's mistake.
        let usage = Usage {
            audio: 200,
            ..usage
        };
        let prices = Prices::from(with(Some("10"), None, None));
        assert_eq!(prices.cost(&usage).to_string(), "0.001058");
        assert!(prices.is_exact(&Usage::default()));
    }

    #[test]
    fn a_step_is_the_price_of_the_whole_call_and_goes_by_the_whole_prompt() {
        for (input, cached, cost) in [
            // 1,000 prompt tokens are not above 1,000.
            (600, 400, "0.00342"),
            (601, 400, "0.007006"),
            (2_000, 0, "0.013"),
            (2_001, 0, "0.007503"),
        ] {
            let usage = Usage {
                input,
                cached,
                output: 100,
                ..Usage::default()
            };
            assert_eq!(stepped().cost(&usage).to_string(), cost, "{input}+{cached}");
        }
    }

    #[test]
    fn the_bound_holds_on_every_step_below_it() {
        let prices = stepped();
        for bound in [0, 1, 999, 1_000, 1_001, 1_500, 2_000, 2_001, 5_000] {
            for input in (0..=bound).step_by(37).chain([bound]) {
                for output in [0, 1_000] {
                    let usage = Usage {
                        input,
                        output,
                        ..Usage::default()
                    };
                    assert!(
                        prices.cost(&usage)
                            <= prices.upper_bound(PromptBound::of_text(bound), 1_000),
                        "{input} of {bound}"
                    );
                }
            }
        }
    }
}
