//! Prices of models. The invoice has its own table and its own arithmetic, so that it does not repeat a
//! mistake of the ledger that is checked against it.

use super::{
    Dialect::{self, Anthropic, Gemini, Openai},
    usage::Usage,
};

/// Pico-dollars (1e-12 USD) in a dollar. A price of one dollar per million tokens is exactly a
/// million pico-dollars per token, so every listed price is an integer.
const PICO: u128 = 1_000_000_000_000;

/// One model's prices, in pico-dollars per token. Reasoning is billed as output.
#[derive(Debug)]
pub(super) struct Price {
    pub(super) model: &'static str,
    pub(super) dialect: Dialect,
    input: u64,
    cached: u64,
    output: u64,
}

impl Price {
    const fn new(
        model: &'static str,
        dialect: Dialect,
        input: u64,
        cached: u64,
        output: u64,
    ) -> Self {
        Self {
            model,
            dialect,
            input,
            cached,
            output,
        }
    }

    /// The cost of one answer, in pico-dollars. Token counts have 32 bits and the most expensive token costs
    /// 75 million, so the sum always fits.
    pub(super) fn cost(&self, usage: Usage) -> u64 {
        let fresh = usage.input.saturating_sub(usage.cached);
        u64::from(fresh) * self.input
            + u64::from(usage.cached) * self.cached
            + u64::from(usage.output) * self.output
    }
}

/// The price of `model` where it is served through `dialect`.
pub(super) fn find(dialect: Dialect, model: &str) -> Option<&'static Price> {
    let at = TABLE
        .binary_search_by(|price| price.model.cmp(model))
        .ok()?;
    TABLE.get(at).filter(|price| price.dialect == dialect)
}

/// Pico-dollars as dollars, exactly: a decimal string with no trailing zeros.
pub(super) fn dollars(pico: u128) -> String {
    let (whole, part) = (pico / PICO, pico % PICO);
    if part == 0 {
        return whole.to_string();
    }
    let digits = format!("{whole}.{part:012}");
    digits.trim_end_matches('0').to_owned()
}

/// Input, cached input and output, sorted by model. Where a provider lists no price for cached input
/// the input price stands. Long-context surcharges are left out.
#[rustfmt::skip]
static TABLE: &[Price] = &[
    Price::new("MiniMax-M2", Openai, 300_000, 30_000, 1_200_000),
    Price::new("MiniMax-M2.5", Openai, 300_000, 30_000, 1_200_000),
    Price::new("MiniMax-M3", Openai, 300_000, 60_000, 1_200_000),
    Price::new("claude-3-5-haiku-20241022", Anthropic, 1_000_000, 1_000_000, 5_000_000),
    Price::new("claude-haiku-4-5", Anthropic, 1_000_000, 100_000, 5_000_000),
    Price::new("claude-haiku-5-5", Anthropic, 100_000, 10_000, 500_000),
    Price::new("claude-opus-4-20250514", Anthropic, 15_000_000, 1_500_000, 75_000_000),
    Price::new("claude-opus-4-5", Anthropic, 5_000_000, 500_000, 25_000_000),
    Price::new("claude-opus-4-8", Anthropic, 5_000_000, 500_000, 25_000_000),
    Price::new("claude-opus-5-5", Anthropic, 4_000_000, 200_000, 20_000_000),
    Price::new("claude-sonnet-4-5-20250929", Anthropic, 3_000_000, 300_000, 15_000_000),
    Price::new("claude-sonnet-4-6", Anthropic, 3_000_000, 300_000, 15_000_000),
    Price::new("claude-sonnet-5", Anthropic, 2_000_000, 200_000, 10_000_000),
    Price::new("claude-sonnet-5-5", Anthropic, 2_000_000, 100_000, 10_000_000),
    Price::new("deepseek-chat", Openai, 280_000, 28_000, 420_000),
    Price::new("deepseek-reasoner", Openai, 280_000, 28_000, 420_000),
    Price::new("deepseek-v4-flash", Openai, 300_000, 6_000, 1_200_000),
    Price::new("deepseek-v4-pro", Openai, 1_320_000, 44_000, 3_960_000),
    Price::new("gemini-2.0-flash", Gemini, 150_000, 150_000, 600_000),
    Price::new("gemini-2.5-flash", Gemini, 300_000, 30_000, 2_500_000),
    Price::new("gemini-2.5-flash-lite", Gemini, 100_000, 10_000, 400_000),
    Price::new("gemini-2.5-pro", Gemini, 1_250_000, 125_000, 10_000_000),
    Price::new("gemini-3-flash-preview", Gemini, 500_000, 50_000, 3_000_000),
    Price::new("gemini-3-pro-preview", Gemini, 2_000_000, 200_000, 12_000_000),
    Price::new("gemini-3.1-pro-preview", Gemini, 2_000_000, 200_000, 12_000_000),
    Price::new("gemini-3.5-flash", Gemini, 1_500_000, 150_000, 9_000_000),
    Price::new("gemini-3.8-flash", Gemini, 750_000, 75_000, 3_750_000),
    Price::new("gemini-4-argon", Gemini, 2_000_000, 100_000, 10_000_000),
    Price::new("glm-4.6", Openai, 600_000, 110_000, 2_200_000),
    Price::new("glm-4.7-flash", Openai, 0, 0, 0),
    Price::new("glm-5", Openai, 1_000_000, 200_000, 3_200_000),
    Price::new("glm-5.3", Openai, 1_400_000, 260_000, 4_400_000),
    Price::new("gpt-4.1", Openai, 2_000_000, 500_000, 8_000_000),
    Price::new("gpt-4.1-mini", Openai, 400_000, 100_000, 1_600_000),
    Price::new("gpt-4o", Openai, 2_500_000, 1_250_000, 10_000_000),
    Price::new("gpt-4o-mini", Openai, 150_000, 75_000, 600_000),
    Price::new("gpt-5", Openai, 1_250_000, 125_000, 10_000_000),
    Price::new("gpt-5-mini", Openai, 250_000, 25_000, 2_000_000),
    Price::new("gpt-5-nano", Openai, 50_000, 5_000, 400_000),
    Price::new("gpt-5.4", Openai, 2_500_000, 250_000, 15_000_000),
    Price::new("gpt-5.4-mini", Openai, 750_000, 75_000, 4_500_000),
    Price::new("gpt-5.5", Openai, 5_000_000, 500_000, 30_000_000),
    Price::new("gpt-5.6-terra", Openai, 2_000_000, 200_000, 12_000_000),
    Price::new("gpt-6-luna", Openai, 100_000, 10_000, 500_000),
    Price::new("gpt-6-sol", Openai, 2_000_000, 200_000, 10_000_000),
    Price::new("gpt-6.1-sol", Openai, 2_000_000, 100_000, 10_000_000),
    Price::new("gpt-6.1-terra", Openai, 1_000_000, 50_000, 5_000_000),
    Price::new("grok-4.3", Openai, 1_250_000, 200_000, 2_500_000),
    Price::new("grok-4.7", Openai, 2_000_000, 500_000, 6_000_000),
    Price::new("grok-code-fast-1", Openai, 1_000_000, 200_000, 2_000_000),
    Price::new("kimi-k2.5", Openai, 600_000, 100_000, 3_000_000),
    Price::new("kimi-k2.6", Openai, 950_000, 160_000, 4_000_000),
    Price::new("kimi-k3", Openai, 3_000_000, 300_000, 15_000_000),
    Price::new("kimi-k3.1-pro", Openai, 2_000_000, 200_000, 10_000_000),
    Price::new("llama3.1", Openai, 0, 0, 0),
    Price::new("llama3:70b", Openai, 0, 0, 0),
    Price::new("o3", Openai, 2_000_000, 500_000, 8_000_000),
    Price::new("o4-mini", Openai, 1_100_000, 275_000, 4_400_000),
    Price::new("openai/gpt-4o-mini", Openai, 150_000, 75_000, 600_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u32, cached: u32, output: u32) -> Usage {
        Usage {
            input,
            cached,
            output,
            reasoning: output / 2,
        }
    }

    #[test]
    fn the_table_is_sorted_and_serves_each_model_through_one_dialect() {
        assert!(TABLE.is_sorted_by(|a, b| a.model < b.model));
        assert!(find(Dialect::Openai, "gpt-4o-mini").is_some());
        assert!(find(Dialect::Anthropic, "gpt-4o-mini").is_none());
        assert!(find(Dialect::Gemini, "gemini-2.5-pro").is_some());
        assert!(find(Dialect::Openai, "gpt-nonesuch").is_none());
    }

    #[test]
    fn costs_are_exact_to_the_last_token() {
        let price = find(Dialect::Openai, "gpt-4o-mini").unwrap();
        // 100 × 0.15 + 900 × 0.075 + 50 × 0.6, per million.
        assert_eq!(
            dollars(price.cost(usage(1000, 900, 50)).into()),
            "0.0001125"
        );
        let price = find(Dialect::Openai, "deepseek-v4-flash").unwrap();
        assert_eq!(dollars(price.cost(usage(1, 1, 0)).into()), "0.000000006");
        let price = find(Dialect::Anthropic, "claude-opus-4-20250514").unwrap();
        assert_eq!(
            dollars(price.cost(usage(u32::MAX, 0, u32::MAX)).into()),
            "386547.05655"
        );
    }

    #[test]
    fn free_models_cost_nothing_and_whole_dollars_have_no_point() {
        let price = find(Dialect::Openai, "llama3:70b").unwrap();
        assert_eq!(dollars(price.cost(usage(10, 0, 10)).into()), "0");
        assert_eq!(dollars(3 * PICO), "3");
        assert_eq!(dollars(PICO + PICO / 10), "1.1");
    }
}
