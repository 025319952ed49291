//! Writes models as a file for `model_files`.

use longshore_protocol::platform::Tier;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_saphyr::FlowSeq;

use crate::catalog::{Capability, Catalog, Rates, models::ModelLayer};

#[derive(Serialize)]
struct Fragment<'a> {
    models: Vec<CatalogSettings<'a>>,
}

/// A model, in the format of `longshore.yaml`.
#[derive(Serialize)]
struct CatalogSettings<'a> {
    provider: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<FlowSeq<Vec<Capability>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(flatten)]
    rates: PerMillion,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_discount: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Above>,
}

/// A price band for long prompts.
#[derive(Serialize)]
struct Above {
    above_tokens: u64,
    #[serde(flatten)]
    rates: PerMillion,
}

/// Prices as text, so that no digit is lost.
#[derive(Serialize)]
struct PerMillion {
    #[serde(rename = "input_per_million")]
    input: String,
    #[serde(rename = "output_per_million")]
    output: String,
    #[serde(rename = "cached_per_million", skip_serializing_if = "Option::is_none")]
    cached: Option<String>,
    #[serde(
        rename = "cache_write_per_million",
        skip_serializing_if = "Option::is_none"
    )]
    cache_write: Option<String>,
    #[serde(
        rename = "cache_write_1h_per_million",
        skip_serializing_if = "Option::is_none"
    )]
    cache_write_1h: Option<String>,
    #[serde(
        rename = "reasoning_per_million",
        skip_serializing_if = "Option::is_none"
    )]
    reasoning: Option<String>,
    #[serde(rename = "audio_per_million", skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
    #[serde(
        rename = "cached_audio_per_million",
        skip_serializing_if = "Option::is_none"
    )]
    cached_audio: Option<String>,
}

impl From<&Rates> for PerMillion {
    fn from(rates: &Rates) -> Self {
        let text = |price: Option<Decimal>| price.map(|price| price.to_string());
        Self {
            input: rates.input.to_string(),
            output: rates.output.to_string(),
            cached: text(rates.cached),
            cache_write: text(rates.cache_write),
            cache_write_1h: text(rates.cache_write_1h),
            reasoning: text(rates.reasoning),
            audio: text(rates.audio),
            cached_audio: text(rates.cached_audio),
        }
    }
}

/// The models as YAML. Models of the catalog are written without capabilities, because the catalog
/// knows them better.
pub(super) fn write(
    parts: &[ModelLayer],
    catalog: &Catalog,
) -> Result<String, serde_saphyr::ser_error::Error> {
    let models = parts
        .iter()
        .filter_map(|part| {
            let prices = part.prices.first.as_ref()?;
            let is_new = catalog.entry(&part.provider, &part.model).is_none();
            let capabilities =
                is_new.then(|| FlowSeq([Tier::Standard.capabilities(), &part.supports].concat()));
            Some(CatalogSettings {
                provider: part.provider.as_str(),
                model: &part.model,
                capabilities,
                context_window: part.context_window,
                max_output_tokens: part.max_output_tokens,
                rates: (&prices.rates).into(),
                batch_discount: prices.batch_discount.map(|part| part.to_string()),
                steps: prices
                    .steps
                    .iter()
                    .map(|step| Above {
                        above_tokens: step.above_tokens,
                        rates: (&step.rates).into(),
                    })
                    .collect(),
            })
        })
        .collect();
    serde_saphyr::to_string(&Fragment { models })
}
