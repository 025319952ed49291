//! Providers and models as they are written in `catalog.yaml` and `longshore.yaml`.

use serde::Deserialize;

use crate::config::{Entries, RawAccountLimits, Text};

/// A catalog by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCatalog {
    pub(super) providers: Entries<Option<RawProvider>>,
    pub(super) models: Vec<RawModel>,
}

/// A provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawProvider {
    pub(super) dialect: Option<Text>,
    pub(super) base_url: Option<Text>,
    pub(super) api_key: Option<Text>,
    pub(super) default_model: Option<Text>,
    pub(super) enabled: Option<Text>,
    pub(super) account: Option<Text>,
    pub(super) limits: Option<RawAccountLimits>,
    pub(super) command: Option<Vec<Text>>,
    pub(super) env: Option<Vec<Text>>,
}

impl RawProvider {
    /// Its key, as it is written.
    pub(crate) fn key(&self) -> Option<&Text> {
        self.api_key.as_ref()
    }

    /// This, and what it leaves out from `base`.
    pub(super) fn over(self, base: Self) -> Self {
        Self {
            dialect: self.dialect.or(base.dialect),
            base_url: self.base_url.or(base.base_url),
            api_key: self.api_key.or(base.api_key),
            default_model: self.default_model.or(base.default_model),
            enabled: self.enabled.or(base.enabled),
            account: self.account.or(base.account),
            limits: self.limits.or(base.limits),
            command: self.command.or(base.command),
            env: self.env.or(base.env),
        }
    }
}

/// A model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawModel {
    pub(super) provider: Option<Text>,
    pub(super) model: Option<Text>,
    pub(super) tier: Option<Text>,
    pub(super) context_window: Option<Text>,
    pub(super) max_output_tokens: Option<Text>,
    pub(super) input_per_million: Option<Text>,
    pub(super) output_per_million: Option<Text>,
    pub(super) cached_per_million: Option<Text>,
    pub(super) cache_write_per_million: Option<Text>,
    pub(super) cache_write_1h_per_million: Option<Text>,
}

impl RawModel {
    /// Any value of it, for its line.
    pub(super) fn somewhere(&self) -> Option<&Text> {
        [
            &self.model,
            &self.provider,
            &self.tier,
            &self.context_window,
            &self.max_output_tokens,
            &self.input_per_million,
            &self.output_per_million,
        ]
        .into_iter()
        .find_map(Option::as_ref)
    }

    /// This, and what it leaves out from `base`. The prices are one thing: with a new price for input,
    /// the old one for cached input would be wrong.
    pub(super) fn over(self, base: Self) -> Self {
        let prices = if self.has_prices() {
            self.clone()
        } else {
            base.clone()
        };
        Self {
            provider: self.provider.or(base.provider),
            model: self.model.or(base.model),
            tier: self.tier.or(base.tier),
            context_window: self.context_window.or(base.context_window),
            max_output_tokens: self.max_output_tokens.or(base.max_output_tokens),
            ..prices
        }
    }

    fn has_prices(&self) -> bool {
        [
            &self.input_per_million,
            &self.output_per_million,
            &self.cached_per_million,
            &self.cache_write_per_million,
            &self.cache_write_1h_per_million,
        ]
        .into_iter()
        .any(Option::is_some)
    }
}
