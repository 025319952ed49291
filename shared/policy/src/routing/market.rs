//! The catalog as routing reads it: indexed once.

use std::{cmp::Reverse, collections::HashMap, fmt};

use chrono::NaiveDate;
use longshore_protocol::{
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};

use crate::catalog::{Billing, Catalog, ModelEntry, ProviderEntry};

/// Why a candidate has its rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The job pins the model.
    Pinned,
    /// The job hints at the platform.
    Hinted,
    /// A rule or keywords name its model or its platform.
    Preferred,
    /// A rule or a tier asks for such a model of any platform.
    Able,
    /// The platform is local.
    Local,
    /// The platform is the configured fallback.
    Fallback,
    /// Its cost.
    Cost,
}

/// A provider and one of its models, as indexes into the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CandidateIndex {
    pub(super) provider: usize,
    pub(super) model: usize,
    pub(super) why: Why,
}

/// What the models of a route must be, on whatever platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Required {
    /// The lowest tier.
    pub(super) tier: Option<Tier>,
    pub(super) capability: Option<Capability>,
}

impl Required {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn is_met_by(self, model: &ModelEntry) -> bool {
        self.tier
            .is_none_or(|tier| model.tier.rank() >= tier.rank())
            && self
                .capability
                .is_none_or(|one| model.capabilities.contains(&one))
    }
}

impl fmt::Display for Required {
    /// `of tier advanced or above for code`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = self.tier.map(|tier| format!("of tier {tier} or above"));
        let capability = self.capability.map(|one| format!("for {one}"));
        let words: Vec<String> = tier.into_iter().chain(capability).collect();
        f.write_str(&words.join(" "))
    }
}

/// The catalog with its indexes.
#[derive(Debug)]
pub(super) struct Market {
    pub(super) catalog: Catalog,
    /// The day of the prices.
    pub(super) day: NaiveDate,
    /// Each provider's models that are not withdrawn on that day, cheapest first.
    models: Vec<Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Market {
    pub(super) fn new(catalog: Catalog, day: NaiveDate) -> Self {
        let mut models = vec![Vec::new(); catalog.providers.len()];
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, model) in catalog.models.iter().enumerate() {
            by_name.entry(model.model.clone()).or_default().push(at);
            if model.is_withdrawn(day) {
                continue;
            }
            let provider = catalog
                .providers
                .iter()
                .position(|one| one.name == model.provider);
            if let Some(of) = provider.and_then(|provider| models.get_mut(provider)) {
                of.push(at);
            }
        }
        for of in &mut models {
            of.sort_by_cached_key(|at| {
                let model = catalog.models.get(*at);
                let price = model.map(|model| model.prices.at(day).nominal());
                (price, Reverse(*at))
            });
        }
        Self {
            catalog,
            day,
            models,
            by_name,
        }
    }

    pub(super) fn provider(&self, index: CandidateIndex) -> Option<&ProviderEntry> {
        self.catalog.providers.get(index.provider)
    }

    pub(super) fn model(&self, index: CandidateIndex) -> Option<&ModelEntry> {
        self.catalog.models.get(index.model)
    }

    /// The index of a platform, or why it cannot be called.
    pub(super) fn open(&self, name: &PlatformName) -> Result<usize, String> {
        let known = self.catalog.providers.iter().enumerate();
        match known.into_iter().find(|(_, one)| one.name == *name) {
            Some((at, one)) if one.is_on() => Ok(at),
            Some((_, one)) => Err(one.state()),
            None => Err(format!("platform `{name}` is not known")),
        }
    }

    /// The enabled platforms.
    pub(super) fn on(&self) -> impl Iterator<Item = usize> {
        let providers = self.catalog.providers.iter().enumerate();
        providers.filter(|(_, one)| one.is_on()).map(|(at, _)| at)
    }

    /// A platform's cheapest model that is as required, or its default model if nothing is required; the
    /// reason if it has none.
    pub(super) fn able(
        &self,
        provider: usize,
        required: Required,
    ) -> Result<CandidateIndex, String> {
        let of = self.models.get(provider).map(Vec::as_slice);
        let entry = self.catalog.providers.get(provider);
        let (Some(of), Some(entry)) = (of, entry) else {
            return Err("no such platform".to_owned());
        };
        let fits = |model: &ModelEntry| {
            if required.is_nothing() {
                model.model == entry.default_model
            } else {
                required.is_met_by(model)
            }
        };
        let found = of.iter().copied().find(|at| {
            let model = self.catalog.models.get(*at);
            model.is_some_and(fits)
        });
        let model = found.ok_or_else(|| {
            if required.is_nothing() {
                return self.without_default(entry);
            }
            format!("platform `{}` has no model {required}", entry.name)
        })?;
        Ok(CandidateIndex {
            provider,
            model,
            why: Why::Cost,
        })
    }

    /// The enabled platforms that serve a model, each once, the platform of `provider/model` first; the
    /// reason if there is none.
    pub(super) fn named(&self, name: &str) -> Result<Vec<CandidateIndex>, String> {
        let exact = name.split_once('/').and_then(|(platform, model)| {
            let platform = self.catalog.platform(platform)?;
            let found = self.by_name.get(model)?.iter().copied();
            let mut found = found.filter(|at| self.provider_of(*at) == Some(&platform.name));
            found.next()
        });
        let named = self.by_name.get(name).into_iter().flatten().copied();
        let (mut indexes, mut off): (Vec<CandidateIndex>, Vec<String>) = (Vec::new(), Vec::new());
        for model in exact.into_iter().chain(named) {
            let Some(platform) = self.provider_of(model) else {
                continue;
            };
            match self.open(platform) {
                Ok(provider) if indexes.iter().any(|one| one.provider == provider) => {}
                Ok(provider) => indexes.push(CandidateIndex {
                    provider,
                    model,
                    why: Why::Pinned,
                }),
                Err(why) => off.push(why),
            }
        }
        if !indexes.is_empty() {
            return Ok(indexes);
        }
        Err(match self.catalog.require_model(name) {
            Err(none) => none.to_string(),
            Ok(_) => format!("model `{name}` has no provider: {}", off.join("; ")),
        })
    }

    /// How to fix a platform whose default model is withdrawn or not in the catalog.
    pub(super) fn without_default(&self, provider: &ProviderEntry) -> String {
        let (platform, model) = (&provider.name, &provider.default_model);
        match self.catalog.entry(platform, model) {
            Some(_) => format!(
                "the default model `{model}` of platform `{platform}` is withdrawn; name another as \
                 `providers.{platform}.default_model` in longshore.yaml"
            ),
            None => format!(
                "platform `{platform}` has no price for its default model `{model}`; add it under \
                 `models:` in longshore.yaml"
            ),
        }
    }

    fn provider_of(&self, model: usize) -> Option<&PlatformName> {
        self.catalog.models.get(model).map(|entry| &entry.provider)
    }

    /// The same platform with its cheapest model of the same tier or above that `fits`.
    pub(super) fn instead(
        &self,
        index: CandidateIndex,
        fits: impl Fn(&ModelEntry) -> bool,
    ) -> Option<CandidateIndex> {
        let tier = self.model(index)?.tier.rank();
        let of = self.models.get(index.provider)?;
        let model = of.iter().copied().find(|at| {
            let model = self.catalog.models.get(*at);
            model.is_some_and(|model| model.tier.rank() >= tier && fits(model))
        })?;
        Some(CandidateIndex { model, ..index })
    }

    pub(super) fn is_local(&self, index: CandidateIndex) -> bool {
        self.provider(index).is_some_and(|provider| provider.local)
    }

    /// The billing and the price of a typical call, for comparison.
    pub(super) fn cost(&self, index: CandidateIndex) -> (u8, Usd) {
        let billing = match self.provider(index).map(|provider| provider.billing) {
            Some(Billing::Free) => 0,
            Some(Billing::Subscription) => 1,
            Some(Billing::Paid) | None => 2,
        };
        let model = self.model(index);
        let price = model.map(|model| model.prices.at(self.day).nominal());
        (billing, price.unwrap_or_default())
    }

    /// `provider/model`.
    pub(super) fn called(&self, index: CandidateIndex) -> String {
        let provider = self.provider(index).map_or("?", |one| one.name.as_str());
        let model = self.model(index).map_or("?", |one| one.model.as_str());
        format!("{provider}/{model}")
    }

    pub(super) fn listed(&self, indexes: &[CandidateIndex]) -> String {
        let names: Vec<String> = indexes.iter().map(|index| self.called(*index)).collect();
        names.join(", ")
    }
}
