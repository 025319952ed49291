//! The providers and models that jobs can go to, and what they cost.
//!
//! The built-in catalog is `catalog.yaml`; the user's `longshore.yaml` adds to it and changes it by
//! name.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use longshore_protocol::{
    call::Usage,
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};
use secrecy::SecretString;
use url::Url;

use crate::limits::AccountLimits;

pub use book::PriceBook;
pub use litellm::{Import, NoPriceFile, Unread};
pub use models::Part;
pub use prices::{Prices, Rates, Step};
pub use pricing::Said;
pub use tool::SEEN_BY_TOOLS;
pub use words::{Billing, DialectName, UnknownPrice};

pub use raw::{RawModel, RawProvider};
pub use read::{Written, missing, word};

mod book;
mod files;
mod litellm;
mod models;
mod prices;
mod pricing;
mod providers;
mod raw;
mod read;
mod tool;
mod words;

/// Other names that platforms go by, in jobs and in the file.
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

/// Whether a provider may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enabled {
    /// It may.
    On,
    /// It may not; why, for people.
    Off(String),
}

/// A provider: where it is and how to talk to it.
#[derive(Debug, Clone)]
pub struct ProviderEntry {
    /// Its name.
    pub name: PlatformName,
    /// The language of its API.
    pub dialect: DialectName,
    /// The address that the dialect's paths are added to; `cli:PROGRAM` of a command-line tool.
    pub base_url: Url,
    /// Its key; a server of one's own may need none.
    pub key: Option<SecretString>,
    /// The model for jobs that name none.
    pub default_model: String,
    /// Whether it may be used.
    pub enabled: Enabled,
    /// The variable that the key comes from.
    pub key_variable: Option<String>,
    /// How it is paid.
    pub billing: Billing,
    /// Whether it runs on this machine or in this network.
    pub local: bool,
    /// The longest that one call may take here, whatever the job allows. Default: as the job says.
    pub timeout: Option<Duration>,
    /// A random wait before each call, for services that dislike machines (`rate_limit_delay`).
    pub pace: Option<Pace>,
    /// Whose quota its calls use: itself, unless several providers share an account.
    pub account: PlatformName,
    /// What the account allows.
    pub limits: AccountLimits,
    /// The program and its arguments, of a command-line tool. `{prompt}` and `{model}` in an argument
    /// stand for those of the call; without `{prompt}`, the prompt goes to its standard input.
    pub command: Vec<String>,
    /// The whole environment of a command-line tool.
    pub env: Vec<(String, SecretString)>,
}

/// A random wait before each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

impl ProviderEntry {
    /// Whether it may be used.
    pub fn is_on(&self) -> bool {
        self.enabled == Enabled::On
    }
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Who serves it.
    pub provider: PlatformName,
    /// The provider's own name of it.
    pub model: String,
    /// How able it is.
    pub tier: Tier,
    /// What it is good at.
    pub capabilities: Vec<Capability>,
    /// Whether nobody says what its API can do (tools, JSON schemas): it is not held to be unable.
    pub untold: bool,
    /// Tokens of prompt and answer together.
    pub context_window: u64,
    /// Tokens of an answer.
    pub max_output_tokens: u32,
    /// The day (UTC) from which it is chosen for no job that does not name it: its provider takes it away.
    pub withdrawn: Option<NaiveDate>,
    /// What it costs.
    pub prices: PriceBook,
}

/// A model that is not offered, because its price is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpriced {
    /// Who serves it.
    pub provider: PlatformName,
    /// The provider's own name of it.
    pub model: String,
}

impl ModelEntry {
    /// What these tokens cost, exactly, by the prices of the day of the call.
    pub fn cost(&self, usage: &Usage, at: DateTime<Utc>) -> Usd {
        self.prices.at(at.date_naive()).cost(usage)
    }

    /// The most that a call of at most so many tokens can cost on that day, however its prompt is billed.
    pub fn upper_bound(&self, input_tokens: u64, output_tokens: u64, at: DateTime<Utc>) -> Usd {
        let prices = self.prices.at(at.date_naive());
        prices.upper_bound(input_tokens, output_tokens)
    }

    /// Whether its provider has taken it away by this day.
    pub fn is_withdrawn(&self, day: NaiveDate) -> bool {
        self.withdrawn.is_some_and(|from| from <= day)
    }
}

/// The name of a platform that the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("platform `{name}` is not known; expected one of {known}")]
pub struct UnknownPlatform {
    name: String,
    known: String,
}

/// A model that the catalog cannot offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoModel {
    /// The catalog does not have it.
    #[error(
        "model `{0}` is not in the catalog; add it under `models:` in longshore.yaml, with its prices"
    )]
    Unknown(String),
    /// Its price is not known.
    #[error(
        "model `{0}` has no price; add `input_per_million` and `output_per_million` to it under \
         `models:` in longshore.yaml, or set `unknown_price: zero`"
    )]
    Unpriced(String),
}

/// The providers and models that jobs can go to.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// All providers, those that are off as well.
    pub providers: Vec<ProviderEntry>,
    /// All models, those of providers that are off as well.
    pub models: Vec<ModelEntry>,
    /// The models whose price is not known, where they are refused.
    pub unpriced: Vec<Unpriced>,
}

impl Catalog {
    /// The platform of this name or alias, whether on or off; capitals do not matter.
    pub fn platform(&self, name: &str) -> Option<&ProviderEntry> {
        let names = self.providers.iter().map(|provider| provider.name.as_str());
        let name = canonical(name, names)?;
        self.providers
            .iter()
            .find(|provider| provider.name.as_str() == name)
    }

    /// The same, with an error that lists the known names.
    pub fn require_platform(&self, name: &str) -> Result<&ProviderEntry, UnknownPlatform> {
        self.platform(name).ok_or_else(|| UnknownPlatform {
            name: name.chars().take(80).collect(),
            known: list(self.providers.iter().map(|provider| provider.name.as_str())),
        })
    }

    /// Every model of this name, in the catalog's order: `model`, at any provider, or
    /// `provider/model`, which comes first. Empty if there is none.
    pub fn model(&self, name: &str) -> Vec<&ModelEntry> {
        let pinned = name.split_once('/').and_then(|(platform, model)| {
            let platform = self.platform(platform)?;
            self.entry(&platform.name, model)
        });
        let named = self.models.iter().filter(|entry| entry.model == name);
        pinned.into_iter().chain(named).collect()
    }

    /// The same, with an error that says what would be right.
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
        let name = name.to_owned();
        Err(if unpriced {
            NoModel::Unpriced(name)
        } else {
            NoModel::Unknown(name)
        })
    }

    /// The model of just this provider and name.
    pub fn entry(&self, provider: &PlatformName, model: &str) -> Option<&ModelEntry> {
        self.models
            .iter()
            .find(|entry| entry.provider == *provider && entry.model == model)
    }

    /// The models of a provider.
    pub fn models_of<'a>(
        &'a self,
        provider: &'a PlatformName,
    ) -> impl Iterator<Item = &'a ModelEntry> {
        self.models
            .iter()
            .filter(move |entry| entry.provider == *provider)
    }

    /// A warning for each provider that is on and whose default model is withdrawn, or will be within
    /// 14 days of this one.
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

    /// The providers that may be used.
    pub fn enabled(&self) -> impl Iterator<Item = &ProviderEntry> {
        self.providers.iter().filter(|provider| provider.is_on())
    }
}

/// Orders models by what a call of 1,000 tokens in and 500 out costs on a day, the cheapest first.
pub fn cheapest(models: &mut [&ModelEntry], day: NaiveDate) {
    models.sort_by_key(|entry| entry.prices.at(day).nominal());
}

/// The known name that a name or an alias stands for. A name of its own goes before an alias.
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
