//! One model of the price file.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::platform::PlatformName;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::value::RawValue;

use crate::catalog::{
    Capability, PriceBand, Prices, Rates,
    models::ModelLayer,
    pricing::{DECIMALS, HIGHEST, PriceLayer},
};

/// The reason for models that are billed in another way or have no price.
pub(in crate::catalog) const NO_PRICE: &str = "it has no price per token";

pub(super) struct Entry {
    pub(super) part: ModelLayer,
    /// Whether a price had too many decimals.
    pub(super) rounded: bool,
}

/// Why an entry is skipped.
pub(super) enum Skipped {
    /// Not a chat model.
    Kind,
    /// Not a requested provider.
    Provider,
    /// Malformed, or without a price per token.
    Unreadable(&'static str),
}

/// Reads an entry by its name in the file.
pub(super) fn read(
    name: &str,
    value: &RawValue,
    platform: impl Fn(&str) -> Option<PlatformName>,
) -> Result<Entry, Skipped> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(value.get())
        .map_err(|_| Skipped::Unreadable("it is no JSON object"))?;
    let mut fields = Fields {
        fields,
        rounded: false,
    };
    if fields.text("mode").as_deref() != Some("chat") {
        return Err(Skipped::Kind);
    }
    let litellm = fields.text("litellm_provider").unwrap_or_default();
    let provider = platform(&litellm).ok_or(Skipped::Provider)?;
    let model = name
        .strip_prefix(&litellm)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(name);
    let prices = fields.prices(&litellm)?;
    let legacy = fields.tokens("max_tokens");
    let supports = [
        ("supports_function_calling", Capability::Tools),
        ("supports_response_schema", Capability::JsonSchema),
        ("supports_reasoning", Capability::Reasoning),
        ("supports_vision", Capability::Vision),
        ("supports_pdf_input", Capability::Files),
        ("supports_audio_input", Capability::Audio),
    ]
    .into_iter()
    .filter(|(name, _)| fields.is_true(name))
    .map(|(_, capability)| capability)
    .collect();
    let part = ModelLayer {
        supports,
        context_window: fields.tokens("max_input_tokens").or(legacy),
        max_output_tokens: fields
            .tokens("max_output_tokens")
            .or(legacy)
            .and_then(|tokens| u32::try_from(tokens).ok()),
        prices: PriceLayer {
            first: Some(prices),
            changes: Vec::new(),
        },
        ..ModelLayer::named(provider, model.to_owned())
    };
    Ok(Entry {
        part,
        rounded: fields.rounded,
    })
}

/// The price fields of the file, by kind of token.
const INPUT: &str = "input_cost_per_token";
const OUTPUT: &str = "output_cost_per_token";
const CACHED: &str = "cache_read_input_token_cost";
const CACHE_WRITE: &str = "cache_creation_input_token_cost";
const CACHE_WRITE_1H: &str = "cache_creation_input_token_cost_above_1hr";
const REASONING: &str = "output_cost_per_reasoning_token";
const AUDIO: &str = "input_cost_per_audio_token";
const CACHED_AUDIO: &str = "cache_read_input_audio_token_cost";
const KINDS: [&str; 8] = [
    INPUT,
    OUTPUT,
    CACHED,
    CACHE_WRITE,
    CACHE_WRITE_1H,
    REASONING,
    AUDIO,
    CACHED_AUDIO,
];

/// The fields of an entry, and whether one of its prices was rounded.
struct Fields<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    rounded: bool,
}

impl Fields<'_> {
    fn prices(&mut self, litellm: &str) -> Result<Prices, Skipped> {
        if let Some(tiers) = self.fields.get("tiered_pricing") {
            return self.tiered(tiers);
        }
        let rates = self.rates()?;
        let mut steps = Vec::new();
        for thousands in self.thresholds() {
            steps.push(self.step(litellm, thousands, &rates)?);
        }
        Ok(Prices {
            batch_discount: self.batch_discount(&rates)?,
            rates,
            steps,
        })
    }

    /// Prices by ranges of prompt tokens, each complete; the first range must begin at zero.
    fn tiered(&mut self, tiers: &RawValue) -> Result<Prices, Skipped> {
        let wrong = Skipped::Unreadable("its tiered prices are of another form");
        let Ok(tiers) = serde_json::from_str::<Vec<BTreeMap<String, &RawValue>>>(tiers.get())
        else {
            return Err(wrong);
        };
        let mut steps = Vec::new();
        for fields in tiers {
            let mut tier = Fields {
                fields,
                rounded: false,
            };
            let (Some(above_tokens), rates) = (tier.start(), tier.rates()?) else {
                return Err(wrong);
            };
            self.rounded |= tier.rounded;
            steps.push(PriceBand {
                above_tokens,
                rates,
            });
        }
        steps.sort_by_key(|step| step.above_tokens);
        if steps.first().is_none_or(|first| first.above_tokens > 0) {
            return Err(wrong);
        }
        Ok(Prices {
            rates: steps.remove(0).rates,
            steps,
            batch_discount: None,
        })
    }

    /// The start of a tier's `range`.
    fn start(&self) -> Option<u64> {
        let range: Vec<&RawValue> = serde_json::from_str(self.fields.get("range")?.get()).ok()?;
        u64::try_from(decimal(range.first()?.get())?).ok()
    }

    fn rates(&mut self) -> Result<Rates, Skipped> {
        let (Some(input), Some(output)) = (self.price(INPUT)?, self.price(OUTPUT)?) else {
            return Err(Skipped::Unreadable(NO_PRICE));
        };
        Ok(Rates {
            input,
            output,
            cached: self.price(CACHED)?,
            cache_write: self.price(CACHE_WRITE)?,
            cache_write_1h: self.price(CACHE_WRITE_1H)?,
            reasoning: self.price(REASONING)?.filter(|price| *price != output),
            audio: self.price(AUDIO)?,
            cached_audio: self.price(CACHED_AUDIO)?,
        })
    }

    /// The `N` of all fields that end in `_above_{N}k_tokens`.
    fn thresholds(&self) -> BTreeSet<u64> {
        self.fields
            .keys()
            .filter_map(|field| {
                let (kind, threshold) = field.rsplit_once("_above_")?;
                let thousands = threshold.strip_suffix("k_tokens")?;
                KINDS.contains(&kind).then(|| thousands.parse().ok())?
            })
            .collect()
    }

    /// A price band; missing prices come from the band below.
    fn step(&mut self, litellm: &str, thousands: u64, below: &Rates) -> Result<PriceBand, Skipped> {
        let mut above = |kind: &str| self.price(&format!("{kind}_above_{thousands}k_tokens"));
        let output = above(OUTPUT)?.unwrap_or(below.output);
        let rates = Rates {
            input: above(INPUT)?.unwrap_or(below.input),
            output,
            cached: above(CACHED)?.or(below.cached),
            cache_write: above(CACHE_WRITE)?.or(below.cache_write),
            cache_write_1h: above(CACHE_WRITE_1H)?.or(below.cache_write_1h),
            reasoning: above(REASONING)?
                .or(below.reasoning)
                .filter(|price| *price != output),
            audio: above(AUDIO)?.or(below.audio),
            cached_audio: above(CACHED_AUDIO)?.or(below.cached_audio),
        };
        // xAI's band includes the prompt with exactly this many tokens.
        let inclusive = u64::from(litellm == "xai");
        Ok(PriceBand {
            above_tokens: thousands.saturating_mul(1_000).saturating_sub(inclusive),
            rates,
        })
    }

    /// The smaller of the discounts on input and output.
    fn batch_discount(&mut self, rates: &Rates) -> Result<Option<Decimal>, Skipped> {
        let mut discount = |kind: &str, full: Decimal| -> Result<Option<Decimal>, Skipped> {
            let batched = self.price(&format!("{kind}_batches"))?;
            Ok(batched.and_then(|batched| {
                let part = Decimal::ONE - batched.checked_div(full)?;
                let part = part.round_dp_with_strategy(DECIMALS, RoundingStrategy::ToZero);
                (part > Decimal::ZERO).then(|| part.normalize())
            }))
        };
        let input = discount(INPUT, rates.input)?;
        let output = discount(OUTPUT, rates.output)?;
        Ok(input.zip(output).map(|(input, output)| input.min(output)))
    }

    /// A price in dollars per million tokens.
    fn price(&mut self, field: &str) -> Result<Option<Decimal>, Skipped> {
        let Some(text) = self.number(field) else {
            return Ok(None);
        };
        let exact = decimal(text)
            .and_then(|per_token| per_token.checked_mul(Decimal::from(1_000_000)))
            .filter(|price| *price >= Decimal::ZERO && *price <= Decimal::from(HIGHEST))
            .ok_or(Skipped::Unreadable(
                "a price is no number, or out of bounds",
            ))?
            .normalize();
        let price = exact.round_dp_with_strategy(DECIMALS, RoundingStrategy::MidpointAwayFromZero);
        self.rounded |= price != exact;
        Ok(Some(price.normalize()))
    }

    /// A number of tokens, if it is valid.
    fn tokens(&self, field: &str) -> Option<u64> {
        let tokens = u64::try_from(decimal(self.number(field)?)?).ok()?;
        (1..=1_000_000_000).contains(&tokens).then_some(tokens)
    }

    /// A number as written, with or without quotes.
    fn number(&self, field: &str) -> Option<&str> {
        let text = self.fields.get(field)?.get().trim_matches('"');
        (text != "null").then_some(text)
    }

    fn text(&self, field: &str) -> Option<String> {
        serde_json::from_str(self.fields.get(field)?.get()).ok()
    }

    fn is_true(&self, field: &str) -> bool {
        self.fields
            .get(field)
            .is_some_and(|value| value.get() == "true")
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
}
