//! Prices of models, as text and JSON.

use longshore_policy::catalog::{Prices, Rates};
use longshore_protocol::money::Usd;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::render::money::exact;

/// The price of a thousand tokens in dollars, with at least six decimals.
pub(super) fn per_thousand(per_million: Decimal) -> String {
    let Usd(price) = Usd::for_tokens(1_000, per_million);
    let digits = price.scale().max(6) as usize;
    format!("${price:.digits$}")
}

/// The JSON of a model's prices: US dollars per million tokens.
#[derive(Debug, Serialize)]
pub(super) struct PriceDocument {
    #[serde(flatten)]
    rates: PerMillion,
    steps: Vec<TierPrice>,
    #[serde(serialize_with = "exact")]
    batch_discount: Usd,
}

#[derive(Debug, Serialize)]
struct TierPrice {
    above_tokens: u64,
    #[serde(flatten)]
    rates: PerMillion,
}

#[derive(Debug, Serialize)]
struct PerMillion {
    #[serde(rename = "input_per_million", serialize_with = "exact")]
    input: Usd,
    #[serde(rename = "output_per_million", serialize_with = "exact")]
    output: Usd,
    #[serde(rename = "cached_per_million", serialize_with = "exact")]
    cached: Usd,
    #[serde(rename = "cache_write_per_million", serialize_with = "exact")]
    cache_write: Usd,
    #[serde(rename = "cache_write_1h_per_million", serialize_with = "exact")]
    cache_write_1h: Usd,
    #[serde(rename = "reasoning_per_million", serialize_with = "exact")]
    reasoning: Usd,
    #[serde(rename = "audio_per_million", serialize_with = "exact")]
    audio: Usd,
    #[serde(rename = "cached_audio_per_million", serialize_with = "exact")]
    cached_audio: Usd,
}

impl From<&Rates> for PerMillion {
    fn from(rates: &Rates) -> Self {
        Self {
            input: Usd(rates.input),
            output: Usd(rates.output),
            cached: Usd(rates.cached()),
            cache_write: Usd(rates.cache_write()),
            cache_write_1h: Usd(rates.cache_write_1h()),
            reasoning: Usd(rates.reasoning()),
            audio: Usd(rates.audio()),
            cached_audio: Usd(rates.cached_audio()),
        }
    }
}

impl From<&Prices> for PriceDocument {
    fn from(prices: &Prices) -> Self {
        Self {
            rates: (&prices.rates).into(),
            steps: prices
                .steps
                .iter()
                .map(|step| TierPrice {
                    above_tokens: step.above_tokens,
                    rates: (&step.rates).into(),
                })
                .collect(),
            batch_discount: Usd(prices.batch_discount.unwrap_or_default()),
        }
    }
}
