//! Routing of a step that asks several models at once.

use longshore_protocol::{
    chain::{AUTO_CATEGORY, ModelName, Models},
    envelope::Envelope,
};

use super::{Candidate, Decision, PromptTokens, Router, Unroutable};
use crate::catalog::ProviderEntry;

impl Router {
    /// The models that a step asks, in order. `may_answer` says who may. Fails if there are fewer than the step asks for.
    pub fn several(
        &self,
        models: &Models,
        envelope: &Envelope,
        prompt: PromptTokens,
        may_answer: impl Fn(&Candidate<'_>) -> bool,
    ) -> Result<Vec<ModelName>, Unroutable> {
        let route = |envelope: &Envelope| {
            let mut decision = self.decide(envelope, prompt)?;
            decision
                .candidates
                .retain(|candidate| may_answer(candidate));
            Ok::<_, Unroutable>(decision)
        };
        match models {
            Models::All => Ok(one_of_each_platform(&route(envelope)?)),
            Models::Count(count) => {
                let mut found = one_of_each_platform(&route(envelope)?);
                let count = usize::try_from(count.get()).unwrap_or(usize::MAX);
                if found.len() < count {
                    return Err(too_few(count, &found));
                }
                found.truncate(count);
                Ok(found)
            }
            Models::Category(name) => {
                let platforms = self.platforms_of_category(name, envelope)?;
                let found = one_of_each_platform(&route(envelope)?);
                let of_category = platforms.iter().filter_map(|platform| {
                    let mut found = found.iter();
                    found
                        .find(|model| model.platform == platform.as_str())
                        .cloned()
                });
                let found: Vec<ModelName> = of_category.collect();
                if found.is_empty() {
                    let why = format!(
                        "no platform of category `{name}` can answer: {}",
                        platforms.join(", ")
                    );
                    return Err(Unroutable::new(why));
                }
                Ok(found)
            }
            Models::Named(names) => {
                let named = names.iter().map(|name| {
                    let decision = route(&self.asking(name, envelope))?;
                    decision.candidates.first().map(model_name).ok_or_else(|| {
                        Unroutable::new(format!("`{name}` may not answer this step (`not_by`)"))
                    })
                });
                named.collect()
            }
        }
    }

    /// The job for a single platform or model.
    fn asking(&self, name: &str, envelope: &Envelope) -> Envelope {
        let is_platform = self.market.catalog.require_platform(name).is_ok();
        Envelope {
            platform: is_platform.then(|| name.to_owned()),
            model: (!is_platform).then(|| name.to_owned()),
            fallback: false,
            ..envelope.clone()
        }
    }

    fn platforms_of_category(
        &self,
        name: &str,
        envelope: &Envelope,
    ) -> Result<Vec<String>, Unroutable> {
        let found = if name == AUTO_CATEGORY {
            let found = self.keywords_of(envelope).ok_or_else(|| {
                Unroutable::new("no word of the prompt belongs to a category; name one in `models`")
            })?;
            self.category_platforms.get(found.category)
        } else {
            let mut known = self.category_platforms.iter();
            known.find(|(known, _)| known == name)
        };
        let found = found.map(|(_, platforms)| platforms.iter().map(ToString::to_string));
        found.map(Iterator::collect).ok_or_else(|| {
            let known = self.category_platforms.iter();
            let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
            Unroutable::new(format!(
                "there is no category `{name}`; expected auto or one of {}",
                known.join(", ")
            ))
        })
    }
}

/// The first candidate of each platform.
fn one_of_each_platform(decision: &Decision<'_>) -> Vec<ModelName> {
    let mut found: Vec<ModelName> = Vec::new();
    for candidate in &decision.candidates {
        let ProviderEntry { name, .. } = candidate.provider;
        if found.iter().all(|other| other.platform != name.as_str()) {
            found.push(model_name(candidate));
        }
    }
    found
}

fn model_name(candidate: &Candidate<'_>) -> ModelName {
    ModelName {
        platform: candidate.provider.name.to_string(),
        model: candidate.model.model.clone(),
    }
}

fn too_few(count: usize, found: &[ModelName]) -> Unroutable {
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    let names = match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    Unroutable::new(format!(
        "the step asks {count} models of different platforms, but only {} can answer: {names}",
        found.len()
    ))
}
