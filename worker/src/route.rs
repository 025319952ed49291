//! Who may answer a job, in the order in which they are asked.
//!
//! A pinned model goes to its providers, a hinted platform is asked first, and then come the others
//! from the cheapest up. The whole policy (rules, tiers, quotas, health) has its room here.

use std::borrow::Cow;

use chrono::Utc;
use longshore_shared::{
    call::ErrorClass,
    catalog::{Catalog, Enabled, ModelEntry, ProviderEntry, cheapest},
    envelope::Envelope,
};

use crate::verdict::Discard;

/// One provider and model that may answer.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Who.
    pub provider: &'a ProviderEntry,
    /// With which model.
    pub model: &'a ModelEntry,
    /// Why, for the attempt's record.
    pub reason: Cow<'static, str>,
}

/// Routes jobs by a catalog; what is the same for all of them is worked out once.
#[derive(Debug)]
pub struct Router {
    catalog: Catalog,
    /// Provider and default model of every platform that is on, by place in the catalog, the cheapest
    /// first.
    by_price: Vec<(usize, usize)>,
}

impl Router {
    /// A router over a catalog.
    pub fn new(catalog: Catalog) -> Self {
        let by_price = by_price(&catalog);
        Self { catalog, by_price }
    }

    /// The candidates for a job, never empty.
    pub fn candidates(&self, envelope: &Envelope) -> Result<Vec<Candidate<'_>>, Discard> {
        let mut found = match &envelope.model {
            Some(model) => pinned(&self.catalog, model)?,
            None => self.cheapest_first()?,
        };
        if let Some(hint) = &envelope.platform {
            prefer(&self.catalog, &mut found, hint, envelope)?;
        }
        if !envelope.fallback {
            found.truncate(1);
        }
        Ok(found)
    }

    fn cheapest_first(&self) -> Result<Vec<Candidate<'_>>, Discard> {
        let found: Vec<Candidate<'_>> = self
            .by_price
            .iter()
            .filter_map(|(provider, model)| {
                Some(Candidate {
                    provider: self.catalog.providers.get(*provider)?,
                    model: self.catalog.models.get(*model)?,
                    reason: "cheapest enabled platform".into(),
                })
            })
            .collect();
        if found.is_empty() {
            return Err(refused(
                "no provider is on: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GOOGLE_API_KEY, \
                 or add one under `providers:` in longshore.yaml"
                    .to_owned(),
            ));
        }
        Ok(found)
    }
}

/// The default models of what is on, as places in the catalog, the cheapest of today first.
fn by_price(catalog: &Catalog) -> Vec<(usize, usize)> {
    let mut models: Vec<&ModelEntry> = catalog
        .enabled()
        .filter_map(|provider| catalog.entry(&provider.name, &provider.default_model))
        .collect();
    cheapest(&mut models, Utc::now().date_naive());
    models
        .into_iter()
        .filter_map(|model| {
            let provider = catalog
                .providers
                .iter()
                .position(|one| one.name == model.provider)?;
            let model = catalog
                .models
                .iter()
                .position(|one| std::ptr::eq(one, model))?;
            Some((provider, model))
        })
        .collect()
}

fn pinned<'a>(catalog: &'a Catalog, name: &str) -> Result<Vec<Candidate<'a>>, Discard> {
    let known = catalog
        .require_model(name)
        .map_err(|error| refused(error.to_string()))?;
    let found: Vec<Candidate<'a>> = known
        .iter()
        .filter_map(|model| {
            let provider = catalog.platform(model.provider.as_str())?;
            provider.is_on().then(|| Candidate {
                provider,
                model,
                reason: "model pinned by the job".into(),
            })
        })
        .collect();
    if found.is_empty() {
        let off: Vec<String> = known
            .iter()
            .filter_map(|model| catalog.platform(model.provider.as_str()))
            .map(why_off)
            .collect();
        return Err(refused(format!(
            "model `{name}` has no provider: {}",
            off.join("; ")
        )));
    }
    Ok(found)
}

/// Puts the hinted platform first. The hint is advisory: one that cannot be honoured leaves the order
/// as it is, unless the job may not go elsewhere.
fn prefer<'a>(
    catalog: &'a Catalog,
    found: &mut Vec<Candidate<'a>>,
    hint: &str,
    envelope: &Envelope,
) -> Result<(), Discard> {
    let platform = catalog.require_platform(hint);
    let at = platform.as_ref().ok().and_then(|platform| {
        found
            .iter()
            .position(|one| one.provider.name == platform.name)
    });
    if let Some(at) = at {
        let mut first = found.remove(at);
        if envelope.model.is_none() {
            first.reason = "platform hinted by the job".into();
        }
        found.insert(0, first);
        return Ok(());
    }
    let why = match platform {
        Err(unknown) => unknown.to_string(),
        Ok(platform) if platform.is_on() => match &envelope.model {
            Some(model) => format!("platform `{hint}` does not serve model `{model}`"),
            None => format!(
                "platform `{hint}` has no price for its default model `{}`; add it under `models:` in longshore.yaml",
                platform.default_model
            ),
        },
        Ok(platform) => why_off(platform),
    };
    if !envelope.fallback {
        return Err(refused(format!(
            "{why}, and the job allows no other (fallback: false)"
        )));
    }
    for candidate in found {
        candidate.reason = format!("{}; {why}", candidate.reason).into();
    }
    Ok(())
}

fn why_off(provider: &ProviderEntry) -> String {
    match &provider.enabled {
        Enabled::On => format!("platform `{}` is on", provider.name),
        Enabled::Off(reason) => format!("platform `{}` is off: {reason}", provider.name),
    }
}

fn refused(error: String) -> Discard {
    Discard::new(ErrorClass::BadRequest.as_str(), error)
}

#[cfg(test)]
mod tests {
    use longshore_shared::{
        config::{Config, Environment},
        envelope::{Limits, RawMessage, parse},
    };

    use super::*;

    fn router(keys: &[&str]) -> Router {
        let env = Environment::from_pairs(keys.iter().map(|name| (*name, "secret")));
        Router::new(Config::load(&env).unwrap().catalog)
    }

    fn envelope(job: &str) -> Envelope {
        let message = RawMessage {
            fields: vec![(b"job".to_vec(), job.as_bytes().to_vec())],
        };
        parse(&message, &Limits::default()).unwrap().envelope
    }

    fn asked(router: &Router, job: &str) -> Vec<String> {
        router
            .candidates(&envelope(job))
            .unwrap()
            .iter()
            .map(|one| format!("{}/{}", one.provider.name, one.model.model))
            .collect()
    }

    fn refused(router: &Router, job: &str) -> String {
        router.candidates(&envelope(job)).unwrap_err().error
    }

    const THREE: [&str; 3] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"];

    #[test]
    fn the_cheapest_platform_comes_first_then_the_others_by_price() {
        assert_eq!(
            asked(&router(&THREE), r#"{"prompt":"x"}"#),
            [
                "gemini/gemini-2.5-flash-lite",
                "openai/gpt-4o-mini",
                "anthropic/claude-haiku-4-5"
            ]
        );
    }

    #[test]
    fn a_hint_comes_first_by_any_of_its_names_and_the_others_stay() {
        let asked = asked(
            &router(&THREE),
            r#"{"prompt":"x","platform":"claude_code"}"#,
        );
        assert_eq!(asked[0], "anthropic/claude-haiku-4-5");
        assert_eq!(asked.len(), 3);
    }

    #[test]
    fn without_fallback_there_is_one() {
        let asked = asked(
            &router(&THREE),
            r#"{"prompt":"x","platform":"chatgpt","fallback":false}"#,
        );
        assert_eq!(asked, ["openai/gpt-4o-mini"]);
    }

    #[test]
    fn a_pinned_model_goes_nowhere_else() {
        let asked = asked(
            &router(&THREE),
            r#"{"prompt":"x","model":"gpt-5-nano","platform":"gemini"}"#,
        );
        assert_eq!(asked, ["openai/gpt-5-nano"]);
    }

    #[test]
    fn a_hint_that_cannot_be_honoured_is_told_and_passed_over() {
        let router = router(&["OPENAI_API_KEY"]);
        let envelope = envelope(r#"{"prompt":"x","platform":"gemini"}"#);
        let found = router.candidates(&envelope).unwrap();
        assert_eq!(found[0].provider.name.as_str(), "openai");
        assert!(
            found[0].reason.contains("GOOGLE_API_KEY"),
            "{}",
            found[0].reason
        );
    }

    #[test]
    fn what_cannot_be_routed_says_why() {
        let none = router(&[]);
        assert!(refused(&none, r#"{"prompt":"x"}"#).contains("set OPENAI_API_KEY"));
        let one = router(&["OPENAI_API_KEY"]);
        assert!(
            refused(&one, r#"{"prompt":"x","model":"nobody-9"}"#)
                .contains("`nobody-9` is not in the catalog")
        );
        let env = Environment::from_pairs([("OPENAI_API_KEY", "secret")]);
        let yaml = "models: [{ provider: openai, model: gpt-secret }]";
        let config = Config::from_yaml(&env, "longshore.yaml".as_ref(), yaml).unwrap();
        assert!(
            refused(
                &Router::new(config.catalog),
                r#"{"prompt":"x","model":"gpt-secret"}"#
            )
            .contains("model `gpt-secret` has no price")
        );
        assert!(
            refused(&one, r#"{"prompt":"x","model":"claude-haiku-4-5"}"#)
                .contains("ANTHROPIC_API_KEY")
        );
        let only = refused(
            &one,
            r#"{"prompt":"x","platform":"gemini","fallback":false}"#,
        );
        assert!(
            only.contains("GOOGLE_API_KEY") && only.contains("fallback: false"),
            "{only}"
        );
    }
}
