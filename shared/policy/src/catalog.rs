//! The providers and models that can answer jobs, and their prices.
//!
//! `catalog.yaml` is the built-in catalog (`catalog.json` is generated from it); the user's `longshore.yaml` extends and
//! overrides it by name.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use longshore_protocol::{
    call::Usage,
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};
use longshore_settings::suggest::closest;
use secrecy::SecretString;
use url::Url;

use crate::limits::AccountLimits;

pub use book::PriceBook;
pub use litellm::{NotAPriceFile, PriceImport, UnreadModel};
pub use models::ModelLayer;
pub use prices::{PriceBand, Prices, PromptBound, Rates};
pub use pricing::PriceLayer;
pub use service::Service;
pub use tool::SEEN_BY_TOOLS;
pub use words::{Billing, CostSource, DialectName, UnknownPrice};

pub use forms::{missing, word};
pub use raw::{RawModel, RawProvider};
pub use read::CatalogSettings;

mod access;
mod book;
mod files;
mod forms;
mod litellm;
mod models;
mod nested;
mod prices;
mod pricing;
mod providers;
mod raw;
mod read;
mod service;
mod tool;
mod words;

/// Aliases of platform names, accepted in jobs and in the file.
const ALIASES: [(&str, &str); 11] = [
    ("claude", "anthropic"),
    ("claude_code", "anthropic"),
    ("claude-code", "anthropic"),
    ("chatgpt", "openai"),
    ("codex", "openai"),
    ("google", "gemini"),
    ("grok", "xai"),
    ("kimi", "moonshot"),
    ("glm", "zhipu"),
    ("zai", "zhipu"),
    ("open_router", "openrouter"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enabled {
    On,
    /// The reason, for people.
    Off(String),
}

/// A provider: its address, its API and its account.
#[derive(Debug, Clone)]
pub struct ProviderEntry {
    pub name: PlatformName,
    /// The API format of the provider.
    pub dialect: DialectName,
    /// The base address of the dialect's paths; `cli:PROGRAM` for a command-line tool.
    pub base_url: Url,
    /// The API key; private servers may need none.
    pub key: Option<SecretString>,
    /// The model of jobs that name none.
    pub default_model: String,
    pub enabled: Enabled,
    /// The environment variable of the API key.
    pub key_variable: Option<String>,
    pub billing: Billing,
    /// What the cost of its answers comes from.
    pub cost_from: CostSource,
    /// Whether it runs on this machine or in this network.
    pub local: bool,
    /// The longest time of one call, whatever the job allows. Default: the job's timeout.
    pub timeout: Option<Duration>,
    /// A random delay before each call, for services that detect automated use (`rate_limit_delay`).
    pub pace: Option<CallDelay>,
    /// The account that its calls count against: its own name, unless several providers share an
    /// account.
    pub account: PlatformName,
    /// The limits of the account.
    pub limits: AccountLimits,
    /// The program and arguments of a command-line tool. `{prompt}` and `{model}` in an argument are
    /// replaced; without `{prompt}`, the prompt goes to standard input.
    pub command: Vec<String>,
    /// The whole environment of a command-line tool.
    pub env: Vec<(String, SecretString)>,
}

/// A random delay before each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallDelay {
    pub min: Duration,
    pub max: Duration,
}

impl ProviderEntry {
    pub fn is_on(&self) -> bool {
        self.enabled == Enabled::On
    }

    /// Whether it can be called, and if not, why, as a sentence.
    pub fn state(&self) -> String {
        match &self.enabled {
            Enabled::On => format!("platform `{}` is on", self.name),
            Enabled::Off(reason) => format!("platform `{}` is off: {reason}", self.name),
        }
    }

    /// The cost of an answer for which the provider reported this one; `None` if it follows from the prices.
    pub fn reported_cost(&self, reported: Option<Usd>) -> Option<Usd> {
        reported.filter(|_| self.cost_from == CostSource::Provider && self.billing != Billing::Free)
    }
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    pub provider: PlatformName,
    /// The provider's own name of the model.
    pub model: String,
    pub tier: Tier,
    pub capabilities: Vec<Capability>,
    /// Whether the features of its API (tools, JSON schemas) are unknown: routing then assumes that it
    /// has them.
    pub untold: bool,
    /// The most tokens of prompt and answer together.
    pub context_window: u64,
    /// The most tokens of an answer.
    pub max_output_tokens: u32,
    /// The day (UTC) on which the provider withdraws the model: from then on, only jobs that name it
    /// use it.
    pub withdrawn: Option<NaiveDate>,
    pub prices: PriceBook,
}

/// A model that is not offered because its price is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpriced {
    pub provider: PlatformName,
    /// The provider's own name of the model.
    pub model: String,
}

impl ModelEntry {
    /// The exact cost of these tokens at the prices of a day.
    pub fn cost(&self, usage: &Usage, at: DateTime<Utc>) -> Usd {
        self.prices.at(at.date_naive()).cost(usage)
    }

    /// Whether that cost is exact: the prices of a day name one for each kind of these tokens.
    pub fn is_exact(&self, usage: &Usage, at: DateTime<Utc>) -> bool {
        self.prices.at(at.date_naive()).is_exact(usage)
    }

    /// The most that a call with these token limits can cost on a day, however its prompt is billed.
    pub fn upper_bound(&self, prompt: PromptBound, output_tokens: u64, at: DateTime<Utc>) -> Usd {
        let prices = self.prices.at(at.date_naive());
        prices.upper_bound(prompt, output_tokens)
    }

    /// Whether the provider has withdrawn the model by this day.
    pub fn is_withdrawn(&self, day: NaiveDate) -> bool {
        self.withdrawn.is_some_and(|from| from <= day)
    }
}

/// A platform name that is not in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("platform `{name}` is not known; expected one of {known}")]
pub struct UnknownPlatform {
    name: String,
    known: String,
}

/// A model that the catalog cannot offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoModel {
    #[error("model `{name}` is not in the catalog; {}", model_remedy(.near.as_deref()))]
    Unknown {
        name: String,
        /// The closest name in the catalog.
        near: Option<String>,
    },
    #[error(
        "model `{0}` has no price; add `input_per_million` and `output_per_million` to it under \
         `models:` in longshore.yaml, or set `unknown_price: zero`"
    )]
    Unpriced(String),
}

fn model_remedy(near: Option<&str>) -> String {
    near.map_or_else(
        || "add it under `models:` in longshore.yaml, with its prices".to_owned(),
        |near| format!("did you mean `{near}`? `longshore models list` shows all"),
    )
}

#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// All providers, including disabled ones.
    pub providers: Vec<ProviderEntry>,
    /// All models, including those of disabled providers.
    pub models: Vec<ModelEntry>,
    /// The models with an unknown price, if such models are refused.
    pub unpriced: Vec<Unpriced>,
}

impl Catalog {
    /// The platform with this name or alias, enabled or not; ignores case.
    pub fn platform(&self, name: &str) -> Option<&ProviderEntry> {
        let names = self.providers.iter().map(|provider| provider.name.as_str());
        let name = canonical(name, names)?;
        self.providers
            .iter()
            .find(|provider| provider.name.as_str() == name)
    }

    /// As [`Catalog::platform`], with an error that lists the known names.
    pub fn require_platform(&self, name: &str) -> Result<&ProviderEntry, UnknownPlatform> {
        self.platform(name).ok_or_else(|| UnknownPlatform {
            name: name.chars().take(80).collect(),
            known: list(self.providers.iter().map(|provider| provider.name.as_str())),
        })
    }

    /// Every model with this name, in catalog order. `name` is `model`, at any provider, or
    /// `provider/model`, which comes first.
    pub fn model(&self, name: &str) -> Vec<&ModelEntry> {
        let pinned = name.split_once('/').and_then(|(platform, model)| {
            let platform = self.platform(platform)?;
            self.entry(&platform.name, model)
        });
        let named = self.models.iter().filter(|entry| entry.model == name);
        pinned.into_iter().chain(named).collect()
    }

    /// As [`Catalog::model`], with an error that states how to fix it.
    pub fn require_model(&self, name: &str) -> Result<Vec<&ModelEntry>, NoModel> {
        let found = self.model(name);
        if !found.is_empty() {
            return Ok(found);
        }
        let bare = name.split_once('/').and_then(|(platform, model)| {
            let platform = self.platform(platform)?;
            Some((&platform.name, model))
        });
        let unpriced = self.unpriced.iter().any(|entry| {
            entry.model == name || bare == Some((&entry.provider, entry.model.as_str()))
        });
        Err(if unpriced {
            NoModel::Unpriced(name.to_owned())
        } else {
            let known = self.models.iter().map(|entry| entry.model.as_str());
            NoModel::Unknown {
                name: name.to_owned(),
                near: closest(name, known).map(str::to_owned),
            }
        })
    }

    /// The model with exactly this provider and name.
    pub fn entry(&self, provider: &PlatformName, model: &str) -> Option<&ModelEntry> {
        self.models
            .iter()
            .find(|entry| entry.provider == *provider && entry.model == model)
    }

    pub fn models_of<'a>(
        &'a self,
        provider: &'a PlatformName,
    ) -> impl Iterator<Item = &'a ModelEntry> {
        self.models
            .iter()
            .filter(move |entry| entry.provider == *provider)
    }

    /// A warning for each enabled provider whose default model is withdrawn, or will be within 14 days.
    pub fn farewells(&self, today: NaiveDate) -> Vec<String> {
        let soon = today.checked_add_days(Days::new(14)).unwrap_or(today);
        let leaving = |provider: &ProviderEntry| {
            let entry = self.entry(&provider.name, &provider.default_model)?;
            let from = entry.withdrawn.filter(|from| *from <= soon)?;
            Some(format!(
                "`providers.{}.default_model`: `{}` is withdrawn from {from} on, and no job that does not \
                 name it goes to it then; name another",
                provider.name, entry.model
            ))
        };
        self.enabled().filter_map(leaving).collect()
    }

    pub fn enabled(&self) -> impl Iterator<Item = &ProviderEntry> {
        self.providers.iter().filter(|provider| provider.is_on())
    }
}

/// Sorts models by the price of a call with 1,000 tokens in and 500 out on a day, cheapest first.
pub fn cheapest(models: &mut [&ModelEntry], day: NaiveDate) {
    models.sort_by_key(|entry| entry.prices.at(day).nominal());
}

/// Resolves a name or alias to a known name. An exact name takes precedence over an alias.
fn canonical<'a>(name: &str, mut known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    if known.clone().any(|other| other == name) {
        return Some(name);
    }
    let (_, target) = ALIASES.iter().find(|(alias, _)| *alias == name)?;
    known
        .any(|other| other == *target)
        .then(|| (*target).to_owned())
}

pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
