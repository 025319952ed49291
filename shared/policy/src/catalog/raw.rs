//! Providers and models as they are written in `catalog.yaml` and `longshore.yaml`.

use std::fmt;

use longshore_settings::{Entries, Text};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::limits::RawAccountLimits;

/// A catalog by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCatalog {
    pub(super) providers: Entries<Option<RawProvider>>,
    pub(super) models: Vec<RawModel>,
}

/// A file of models alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawModels {
    pub(super) models: Vec<RawModel>,
}

/// A provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProvider {
    pub(super) dialect: Option<Text>,
    pub(super) base_url: Option<Text>,
    pub(super) api_key: Option<Text>,
    pub(super) default_model: Option<Text>,
    pub(super) price: Option<RawPrice>,
    pub(super) enabled: Option<Text>,
    pub(super) billing: Option<Text>,
    pub(super) cost_from: Option<Text>,
    pub(super) local: Option<Text>,
    pub(super) timeout: Option<Text>,
    pub(super) rate_limit_delay: Option<RawPace>,
    pub(super) min_delay: Option<Text>,
    pub(super) max_delay: Option<Text>,
    pub(super) account: Option<Text>,
    pub(super) limits: Option<RawAccountLimits>,
    pub(super) command: Option<Vec<Text>>,
    pub(super) env: Option<Vec<Text>>,
    /// Read only to be refused key by key, see `nested.rs`.
    pub(super) settings: Option<Entries<IgnoredAny>>,
}

impl RawProvider {
    /// Its key, as it is written.
    pub fn key(&self) -> Option<&Text> {
        self.api_key.as_ref()
    }

    /// This, and what it leaves out from `base`. The default model and its price are one thing.
    pub(super) fn over(self, base: Self) -> Self {
        Self {
            price: match self.default_model {
                Some(_) => self.price,
                None => self.price.or(base.price),
            },
            dialect: self.dialect.or(base.dialect),
            base_url: self.base_url.or(base.base_url),
            api_key: self.api_key.or(base.api_key),
            default_model: self.default_model.or(base.default_model),
            enabled: self.enabled.or(base.enabled),
            billing: self.billing.or(base.billing),
            cost_from: self.cost_from.or(base.cost_from),
            local: self.local.or(base.local),
            timeout: self.timeout.or(base.timeout),
            rate_limit_delay: self.rate_limit_delay.or(base.rate_limit_delay),
            min_delay: self.min_delay.or(base.min_delay),
            max_delay: self.max_delay.or(base.max_delay),
            account: self.account.or(base.account),
            limits: self.limits.or(base.limits),
            command: self.command.or(base.command),
            env: self.env.or(base.env),
            settings: self.settings.or(base.settings),
        }
    }
}

/// The price of a provider's default model, in short.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPrice {
    pub(super) input: Option<Text>,
    pub(super) output: Option<Text>,
    pub(super) cached: Option<Text>,
}

/// A random wait: whether there is one, or from when to when.
#[derive(Debug, Clone)]
pub(super) enum RawPace {
    Flag(bool),
    Between(RawBetween),
}

/// From when to when.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBetween {
    pub(super) min: Option<Text>,
    pub(super) max: Option<Text>,
}

impl<'de> Deserialize<'de> for RawPace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagOrBetween;

        impl<'de> Visitor<'de> for FlagOrBetween {
            type Value = RawPace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or {min: 1s, max: 10s} for `rate_limit_delay`")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(RawPace::Flag(flag))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                RawBetween::deserialize(MapAccessDeserializer::new(map)).map(RawPace::Between)
            }
        }

        deserializer.deserialize_any(FlagOrBetween)
    }
}

/// The prices that a struct of the file has, and the words before and after their names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawRates<'a> {
    pub(super) suffix: &'static str,
    pub(super) input: Option<&'a Text>,
    pub(super) output: Option<&'a Text>,
    pub(super) cached: Option<&'a Text>,
    pub(super) cache_write: Option<&'a Text>,
    pub(super) cache_write_1h: Option<&'a Text>,
    pub(super) reasoning: Option<&'a Text>,
}

impl<'a> RawRates<'a> {
    /// Any of them, for its line.
    pub(super) fn any(&self) -> Option<&'a Text> {
        self.input
            .or(self.output)
            .or(self.cached)
            .or(self.cache_write)
            .or(self.cache_write_1h)
            .or(self.reasoning)
    }
}

impl RawPrice {
    pub(super) fn rates(&self) -> RawRates<'_> {
        RawRates {
            input: self.input.as_ref(),
            output: self.output.as_ref(),
            cached: self.cached.as_ref(),
            ..RawRates::default()
        }
    }
}

/// A struct with prices among its fields: serde cannot both flatten and refuse unknown fields.
macro_rules! priced {
    ($(#[$doc:meta])* $visibility:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        $visibility struct $name {
            $(pub(super) $field: Option<$type>,)*
            input_per_million: Option<Text>,
            output_per_million: Option<Text>,
            cached_per_million: Option<Text>,
            cache_write_per_million: Option<Text>,
            cache_write_1h_per_million: Option<Text>,
            reasoning_per_million: Option<Text>,
        }

        impl $name {
            /// Its prices.
            pub(super) fn rates(&self) -> RawRates<'_> {
                RawRates {
                    suffix: "_per_million",
                    input: self.input_per_million.as_ref(),
                    output: self.output_per_million.as_ref(),
                    cached: self.cached_per_million.as_ref(),
                    cache_write: self.cache_write_per_million.as_ref(),
                    cache_write_1h: self.cache_write_1h_per_million.as_ref(),
                    reasoning: self.reasoning_per_million.as_ref(),
                }
            }
        }
    };
}

priced! {
    /// A model.
    pub struct RawModel {
        provider: Text,
        model: Text,
        tier: Text,
        capabilities: Vec<Text>,
        context_window: Text,
        max_output_tokens: Text,
        withdrawn: Text,
        steps: Vec<RawStep>,
        batch_discount: Text,
        price_changes: Vec<RawChange>,
    }
}

priced! {
    /// Other prices for long prompts.
    pub(crate) struct RawStep { above_tokens: Text }
}

priced! {
    /// Prices from a day on.
    pub(crate) struct RawChange { valid_from: Text, steps: Vec<RawStep>, batch_discount: Text }
}

impl RawModel {
    /// Any value of it, for its line.
    pub(super) fn first_text(&self) -> Option<&Text> {
        [
            &self.model,
            &self.provider,
            &self.tier,
            &self.context_window,
            &self.max_output_tokens,
            &self.withdrawn,
        ]
        .into_iter()
        .find_map(Option::as_ref)
        .or_else(|| self.rates().any())
    }
}
