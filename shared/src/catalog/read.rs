//! Makes the catalog out of the built-in one, the user's file and the environment.

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::{
    Billing, Catalog, DialectName, Enabled, ModelEntry, PlatformName, ProviderEntry, RawModel,
    RawProvider, canonical, list,
    models::{merge_models, model},
    raw::RawCatalog,
    tool::{self, tool},
};
use crate::config::{
    Entries, Form, Interpolated, Origin, Reader, Text, account_limits, flag, parse, share_accounts,
    url, variable_of,
};

const BUILT_IN: &str = include_str!("../catalog.yaml");

/// The key that a simulated provider gets instead of the real one.
const SIMULATED_KEY: &str = "simulated";

/// A provider of either catalog, or of both.
struct Named {
    name: String,
    /// Where the user's file names it.
    key: Option<Text>,
    raw: RawProvider,
}

impl Catalog {
    /// The built-in catalog, changed by the user's `providers` and `models`.
    pub(crate) fn read(
        r: &mut Reader<'_>,
        providers: Entries<Option<RawProvider>>,
        models: Vec<RawModel>,
        simulator: Option<&Url>,
        tools: &[String],
    ) -> Self {
        let built_in = match parse::<RawCatalog>(Path::new("built-in catalog"), BUILT_IN) {
            Ok(built_in) => built_in,
            Err(problem) => {
                r.problem(problem.origin, problem.text);
                RawCatalog::default()
            }
        };
        let named = merge_providers(r, built_in.providers, providers);
        let names: Vec<&str> = named
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        let mut entries: Vec<ModelEntry> = Vec::new();
        for raw in merge_models(r, &names, built_in.models, models) {
            entries.extend(model(r, raw));
        }
        let mut providers: Vec<ProviderEntry> = named
            .iter()
            .filter_map(|named| provider(r, named, &entries, tools))
            .map(|provider| match simulator {
                Some(simulator) => simulated(provider, simulator),
                None => provider,
            })
            .collect();
        for provider in &mut providers {
            if let Some(name) = canonical(provider.account.as_str(), names.iter().copied()) {
                provider.account = PlatformName(name);
            }
        }
        share_accounts(r, &mut providers, |name| {
            let named = named.iter().find(|named| named.name == name.as_str())?;
            named.raw.limits.as_ref()
        });
        Self {
            providers,
            models: entries,
        }
    }
}

/// The same provider, played by a simulator: its real key is forgotten. What the simulator does not
/// speak, it plays as OpenAI.
fn simulated(provider: ProviderEntry, simulator: &Url) -> ProviderEntry {
    let (dialect, path) = match provider.dialect {
        DialectName::OpenAi | DialectName::Ollama | DialectName::Cli => {
            (DialectName::OpenAi, "openai/v1")
        }
        DialectName::Anthropic => (DialectName::Anthropic, "anthropic"),
        DialectName::Gemini => (DialectName::Gemini, "gemini"),
    };
    // Tools that nobody turned on do not take part in anything.
    let enabled = match provider.dialect {
        DialectName::Cli => provider.enabled,
        _ => Enabled::On,
    };
    let mut base_url = simulator.clone();
    base_url.set_path(&format!(
        "{}/{path}",
        simulator.path().trim_end_matches('/')
    ));
    ProviderEntry {
        dialect,
        base_url,
        key: Some(SecretString::from(SIMULATED_KEY)),
        enabled,
        command: Vec::new(),
        env: Vec::new(),
        ..provider
    }
}

fn merge_providers(
    r: &mut Reader<'_>,
    built_in: Entries<Option<RawProvider>>,
    own: Entries<Option<RawProvider>>,
) -> Vec<Named> {
    let mut merged: Vec<Named> = built_in
        .0
        .into_iter()
        .map(|(key, raw)| Named {
            name: key.as_written().to_owned(),
            key: None,
            raw: raw.unwrap_or_default(),
        })
        .collect();
    for (key, raw) in own.0 {
        let raw = raw.unwrap_or_default();
        let written = key.as_written();
        let known = canonical(
            written,
            merged.iter().map(|provider| provider.name.as_str()),
        );
        let Some(name) = known.or_else(|| PlatformName::parse(written).map(|name| name.0)) else {
            let text = format!(
                "the provider's name `{}` is not valid; expected 1 to 64 characters of [a-z0-9._-]",
                written.chars().take(60).collect::<String>()
            );
            r.problem_at(&key, text);
            continue;
        };
        r.stands_at(&format!("providers.{name}"), &key);
        match merged.iter_mut().find(|provider| provider.name == name) {
            None => merged.push(Named {
                name,
                key: Some(key),
                raw,
            }),
            Some(provider) if provider.key.is_some() => {
                let text = format!("the provider `{name}` is named twice");
                r.problem_at(&key, text);
            }
            Some(provider) => {
                provider.raw = raw.over(std::mem::take(&mut provider.raw));
                provider.key = Some(key);
            }
        }
    }
    merged
}

fn provider(
    r: &mut Reader<'_>,
    named: &Named,
    models: &[ModelEntry],
    tools: &[String],
) -> Option<ProviderEntry> {
    let Named {
        name,
        key: written,
        raw,
    } = named;
    let at = |field: &str| format!("providers.{name}.{field}");
    let name = PlatformName(name.clone());

    let dialect = match &raw.dialect {
        None => Some(DialectName::OpenAi),
        Some(text) => r.value(
            &at("dialect"),
            text,
            &word(DialectName::ALL, DialectName::as_str),
        ),
    };
    let tool = tool(r, &at, (raw, written.as_ref()), dialect, tools);
    let is_tool = dialect == Some(DialectName::Cli);
    let base_url = match &raw.base_url {
        _ if is_tool => tool.address(),
        None => missing(
            r,
            written.as_ref(),
            &at("base_url"),
            "an address, such as http://localhost:11434/v1",
        ),
        Some(text) => r.value(&at("base_url"), text, &url()),
    };
    let default_model = match &raw.default_model {
        Some(text) => r.value(
            &at("default_model"),
            text,
            &text_form("the name of a model"),
        ),
        None => match models.iter().find(|model| model.provider == name) {
            Some(model) => Some(model.model.clone()),
            None => missing(
                r,
                written.as_ref(),
                &at("default_model"),
                "the name of a model, or an entry in `models`",
            ),
        },
    };
    let account = match &raw.account {
        None => Some(name.clone()),
        Some(text) => r.value(&at("account"), text, &account_form()),
    };
    let limits = raw.limits.as_ref();
    let limits = limits.map(|raw| account_limits(r, &at("limits"), raw));
    let (key, without_key) = key(r, &at("api_key"), raw.api_key.as_ref());
    let lacks = without_key.or(tool.lacks);
    let enabled = match enabled(r, &at("enabled"), raw.enabled.as_ref(), lacks) {
        Enabled::On if is_tool && raw.enabled.is_none() => {
            Enabled::Off(tool::NOT_TURNED_ON.to_owned())
        }
        enabled => enabled,
    };
    Some(ProviderEntry {
        account: account?,
        name,
        dialect: dialect?,
        base_url: base_url?,
        key,
        default_model: default_model?,
        enabled,
        key_variable: raw
            .api_key
            .as_ref()
            .and_then(|text| variable_of(text.as_written()))
            .map(str::to_owned),
        billing: Billing::Paid,
        local: false,
        timeout: None,
        pace: None,
        limits: limits.unwrap_or_default(),
        command: tool.command,
        env: tool.env,
    })
}

/// The key, and why there is none although there should be one.
fn key(
    r: &mut Reader<'_>,
    at: &str,
    written: Option<&Text>,
) -> (Option<SecretString>, Option<String>) {
    let Some(written) = written else {
        return (None, None);
    };
    match r.filled(written) {
        Interpolated::Value(key) => {
            let key = key.trim();
            ((!key.is_empty()).then(|| SecretString::from(key)), None)
        }
        Interpolated::Missing(variable) => (None, Some(format!("{variable} is not set"))),
        Interpolated::Malformed => {
            r.malformed(at, written);
            (None, None)
        }
    }
}

fn enabled(
    r: &mut Reader<'_>,
    at: &str,
    written: Option<&Text>,
    without_key: Option<String>,
) -> Enabled {
    let off = written.filter(|text| r.value(at, text, &flag()) == Some(false));
    match (off, without_key) {
        (Some(text), _) => Enabled::Off(format!("turned off in {}", r.place(text))),
        (None, Some(reason)) => Enabled::Off(reason),
        (None, None) => Enabled::On,
    }
}

/// The name of an account: a provider's, or any other of that form.
fn account_form() -> Form<PlatformName> {
    let expected = "the name of an account: 1 to 64 characters of [a-z0-9._-]";
    Form::new(expected, PlatformName::parse)
}

/// A text that is not empty.
pub(super) fn text_form(expected: &'static str) -> Form<String> {
    Form::new(expected, |text| (!text.is_empty()).then(|| text.to_owned()))
}

/// One of some words.
pub(crate) fn word<T: Copy>(all: &'static [T], as_str: fn(T) -> &'static str) -> Form<T> {
    Form::new(
        format!("one of {}", list(all.iter().map(|value| as_str(*value)))),
        move |text| all.iter().copied().find(|value| as_str(*value) == text),
    )
}

/// Tells of a value that is not there.
pub(crate) fn missing<T>(
    r: &mut Reader<'_>,
    near: Option<&Text>,
    name: &str,
    expected: &str,
) -> Option<T> {
    let text = format!("`{name}` is missing; expected {expected}");
    match near {
        Some(near) => r.problem_at(near, text),
        None => r.problem(Origin::file(r.path(), None), text),
    }
    None
}
