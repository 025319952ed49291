//! Providers and models as they are written in `catalog.yaml` and `longshore.yaml`.

use longshore_settings::{At, Entries, Found, Node, Part, Text, part};

use crate::limits::RawAccountLimits;

part! {
    /// A catalog by itself.
    pub(super) struct RawCatalog {
        pub(super) providers: Option<Entries<Option<RawProvider>>>,
        pub(super) models: Option<Vec<RawModel>>,
    }
}

part! {
    /// A file of models alone.
    pub(super) struct RawModels {
        pub(super) models: Option<Vec<RawModel>>,
    }
}

part! {
    /// A provider.
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
        pub(super) settings: Option<Entries<Node>>,
    }
}

impl RawProvider {
    /// Its key, as it is written.
    pub fn key(&self) -> Option<&Text> {
        self.api_key.as_ref()
    }

    /// This, and what it leaves out from `base`. The default model and its price are one thing.
    pub(super) fn over(self, base: Self) -> Self {
        Self {
            place: self.place,
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

part! {
    /// The price of a provider's default model, in short.
    pub(super) struct RawPrice {
        pub(super) input: Option<Text>,
        pub(super) output: Option<Text>,
        pub(super) cached: Option<Text>,
    }
}

/// A random wait: whether there is one, or from when to when.
#[derive(Debug, Clone)]
pub(super) enum RawPace {
    Flag(Text),
    Between(RawBetween),
}

part! {
    /// From when to when.
    pub(super) struct RawBetween {
        pub(super) min: Option<Text>,
        pub(super) max: Option<Text>,
    }
}

impl Part for RawPace {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        if node.as_text().is_some() {
            Self::Flag(Part::read(node, at, found))
        } else {
            Self::Between(Part::read(node, at, found))
        }
    }

    fn unreadable(line: Option<usize>) -> Self {
        Self::Flag(Text::unreadable(line))
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
    pub(super) audio: Option<&'a Text>,
    pub(super) cached_audio: Option<&'a Text>,
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
            .or(self.audio)
            .or(self.cached_audio)
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

/// A part with prices among its fields.
macro_rules! priced {
    ($(#[$doc:meta])* $visibility:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        part! {
            $(#[$doc])*
            $visibility struct $name {
                $(pub(super) $field: Option<$type>,)*
                input_per_million: Option<Text>,
                output_per_million: Option<Text>,
                cached_per_million: Option<Text>,
                cache_write_per_million: Option<Text>,
                cache_write_1h_per_million: Option<Text>,
                reasoning_per_million: Option<Text>,
                audio_per_million: Option<Text>,
                cached_audio_per_million: Option<Text>,
            }
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
                    audio: self.audio_per_million.as_ref(),
                    cached_audio: self.cached_audio_per_million.as_ref(),
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
