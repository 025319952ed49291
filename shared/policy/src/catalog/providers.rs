//! Builds the providers of the catalog.

use std::time::Duration;

use longshore_protocol::platform::PlatformName;
use longshore_settings::{
    Entries, Form, Interpolated, Reader, Text,
    form::{duration, flag, spelled, url},
    interpolate::variable_of,
};
use secrecy::SecretString;
use url::Url;

use super::{
    Billing, DialectName, Enabled, Pace, ProviderEntry, RawProvider, canonical,
    models::Part,
    pricing,
    raw::{RawBetween, RawPace},
    read::{missing, text_form, word},
    tool::tool,
};
use crate::limits::account_limits;

/// Replaces the API key of a simulated provider.
const SIMULATED_KEY: &str = "simulated";

/// The random delay of a provider that requests one without a range.
const PACE: Pace = Pace {
    min: Duration::from_secs(1),
    max: Duration::from_secs(10),
};

/// A provider of the built-in catalog, of the user's file, or merged from both.
pub(super) struct Named {
    pub(super) name: String,
    /// Where the user's file names it.
    key: Option<Text>,
    pub(super) raw: RawProvider,
    /// Whether the built-in catalog disables it.
    off_by_default: bool,
}

/// Merges the built-in providers and the user's by name.
pub(super) fn merge(
    r: &mut Reader<'_>,
    built_in: Entries<Option<RawProvider>>,
    own: Entries<Option<RawProvider>>,
) -> Vec<Named> {
    let mut merged: Vec<Named> = built_in
        .0
        .into_iter()
        .map(|(key, raw)| {
            let raw = raw.unwrap_or_default();
            Named {
                name: key.as_written().to_owned(),
                key: None,
                off_by_default: raw.enabled.is_some(),
                raw,
            }
        })
        .collect();
    for (key, raw) in own.0 {
        let raw = raw.unwrap_or_default();
        let written = key.as_written();
        let known = canonical(
            written,
            merged.iter().map(|provider| provider.name.as_str()),
        );
        let Some(name) =
            known.or_else(|| PlatformName::parse(written).map(|name| name.as_str().to_owned()))
        else {
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
                off_by_default: false,
            }),
            Some(provider) if provider.key.is_some() => {
                let text = format!("the provider `{name}` is named twice");
                r.problem_at(&key, text);
            }
            Some(provider) => {
                provider.off_by_default &= raw.enabled.is_none();
                provider.raw = raw.over(std::mem::take(&mut provider.raw));
                provider.key = Some(key);
            }
        }
    }
    merged
}

/// The default models that the providers name, with their prices if given.
pub(super) fn default_models(r: &mut Reader<'_>, named: &[Named]) -> Vec<Part> {
    let mut parts = Vec::new();
    for Named { name, key, raw, .. } in named {
        let at = format!("providers.{name}");
        let prices = raw
            .price
            .as_ref()
            .map(|price| pricing::of_default_model(r, &at, price, key.as_ref()));
        match (&raw.default_model, prices) {
            (Some(text), prices) => {
                // A malformed name is reported when the provider is built.
                let Interpolated::Value(model) = r.filled(text) else {
                    continue;
                };
                let model = model.trim().to_owned();
                if let Some(price) = raw.price.as_ref().and_then(|price| price.rates().any()) {
                    r.stands_at(&format!("models.{name}/{model}"), price);
                }
                let part = Part::named(PlatformName::from_record(name), model);
                parts.push(Part {
                    prices: prices.unwrap_or_default(),
                    ..part
                });
            }
            (None, Some(_)) => {
                let name = format!("{at}.default_model");
                missing::<()>(r, key.as_ref(), &name, "the model whose `price` this is");
            }
            (None, None) => {}
        }
    }
    parts
}

/// The context of a provider in the configuration.
pub(super) struct Around<'a> {
    pub(super) names: &'a [&'a str],
    pub(super) models: &'a [Part],
    /// The programs that may be run.
    pub(super) tools: &'a [String],
}

/// Builds a provider.
pub(super) fn understand(
    r: &mut Reader<'_>,
    named: &Named,
    around: &Around<'_>,
) -> Option<ProviderEntry> {
    let Named {
        name,
        key: written,
        raw,
        ..
    } = named;
    let at = |field: &str| format!("providers.{name}.{field}");
    let near = written.as_ref();

    let dialect = match &raw.dialect {
        None => Some(DialectName::OpenAi),
        Some(text) => r.value(
            &at("dialect"),
            text,
            &word(DialectName::ALL, DialectName::as_str),
        ),
    };
    let tool = tool(r, &at, (raw, near), dialect, around.tools);
    let base_url = match &raw.base_url {
        _ if dialect == Some(DialectName::Cli) => tool.address(),
        None => {
            let expected = "an address, such as http://localhost:11434/v1";
            missing(r, near, &at("base_url"), expected)
        }
        Some(text) => r.value(&at("base_url"), text, &url()),
    };
    let default_model = default_model(r, named, around.models);
    let (key, without_key) = key(r, &at("api_key"), raw.api_key.as_ref());
    let enabled = enabled(r, named, dialect, without_key.or(tool.lacks));
    let account = match &raw.account {
        None => Some(PlatformName::from_record(name)),
        Some(text) => r.value(&at("account"), text, &account(around.names)),
    };
    let limits = raw.limits.as_ref();
    let limits = limits.map(|raw| account_limits(r, &at("limits"), raw));
    let mut value = Values { r, at: &at };
    let billing = word(Billing::ALL, Billing::as_str);
    let timeout = duration(Duration::from_millis(100)..=Duration::from_hours(24));
    Some(ProviderEntry {
        billing: value
            .of("billing", raw.billing.as_ref(), &billing)
            .unwrap_or(Billing::Paid),
        local: value.of("local", raw.local.as_ref(), &flag()) == Some(true),
        timeout: value.of("timeout", raw.timeout.as_ref(), &timeout),
        pace: pace(&mut value, raw, near),
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
        limits: limits.unwrap_or_default(),
        command: tool.command,
        env: tool.env,
        account: account?,
        name: PlatformName::from_record(name),
    })
}

fn default_model(r: &mut Reader<'_>, named: &Named, models: &[Part]) -> Option<String> {
    let at = format!("providers.{}.default_model", named.name);
    if let Some(text) = &named.raw.default_model {
        return r.value(&at, text, &text_form("the name of a model"));
    }
    if let Some(model) = models
        .iter()
        .find(|model| model.provider.as_str() == named.name)
    {
        return Some(model.model.clone());
    }
    let expected = "the name of a model, or an entry in `models`";
    missing(r, named.key.as_ref(), &at, expected)
}

/// Reads optional fields of a provider.
struct Values<'r, 'e, 'a> {
    r: &'r mut Reader<'e>,
    at: &'a dyn Fn(&str) -> String,
}

impl Values<'_, '_, '_> {
    fn of<T>(&mut self, field: &str, text: Option<&Text>, form: &Form<T>) -> Option<T> {
        self.r.value(&(self.at)(field), text?, form)
    }
}

/// The random delay, written as `{min, max}`, or as `true` with `min_delay` and `max_delay`.
fn pace(value: &mut Values<'_, '_, '_>, raw: &RawProvider, near: Option<&Text>) -> Option<Pace> {
    let delay = duration(Duration::ZERO..=Duration::from_hours(1));
    let (min, max) = match &raw.rate_limit_delay {
        Some(RawPace::Between(RawBetween { min, max })) => (
            value.of("rate_limit_delay.min", min.as_ref(), &delay),
            value.of("rate_limit_delay.max", max.as_ref(), &delay),
        ),
        Some(RawPace::Flag(true)) => (
            value.of("min_delay", raw.min_delay.as_ref(), &delay),
            value.of("max_delay", raw.max_delay.as_ref(), &delay),
        ),
        None | Some(RawPace::Flag(false)) => return None,
    };
    let pace = Pace {
        min: min.unwrap_or(PACE.min),
        max: max.unwrap_or(PACE.max),
    };
    if pace.min > pace.max {
        let text = format!(
            "`{}` is from {} to {}; expected the shorter time first",
            (value.at)("rate_limit_delay"),
            spelled(pace.min),
            spelled(pace.max)
        );
        value.r.problem_near(near, text);
    }
    Some(pace)
}

/// An account: a provider by any of its names, or another name that several providers share.
fn account(names: &[&str]) -> Form<PlatformName> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Form::new(
        "the name of an account: 1 to 64 characters of [a-z0-9._-]",
        move |text| {
            canonical(text, names.iter().map(String::as_str))
                .map(PlatformName::from_record)
                .or_else(|| PlatformName::parse(text))
        },
    )
}

/// Redirects a provider to the simulator and drops its real key. Dialects that the simulator does not
/// have become OpenAI's.
pub(super) fn simulated(named: &Named, provider: ProviderEntry, simulator: &Url) -> ProviderEntry {
    // Providers that are disabled by default stay disabled.
    let enabled = if named.off_by_default || provider.dialect == DialectName::Cli {
        provider.enabled
    } else {
        Enabled::On
    };
    let (dialect, path) = match provider.dialect {
        DialectName::OpenAi | DialectName::Ollama | DialectName::Cli => {
            (DialectName::OpenAi, "openai/v1")
        }
        DialectName::Anthropic => (DialectName::Anthropic, "anthropic"),
        DialectName::Gemini => (DialectName::Gemini, "gemini"),
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

/// The key, and the reason if it is missing although the file names one.
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

/// Whether the provider may be used; `lacks` says what is missing.
fn enabled(
    r: &mut Reader<'_>,
    named: &Named,
    dialect: Option<DialectName>,
    lacks: Option<String>,
) -> Enabled {
    let at = format!("providers.{}.enabled", named.name);
    let written = named.raw.enabled.as_ref();
    // A command-line tool needs an explicit `enabled`.
    let silent = dialect == Some(DialectName::Cli) && written.is_none();
    if named.off_by_default || silent {
        return Enabled::Off(format!("on only if `{at}` is true in longshore.yaml"));
    }
    let off = written.filter(|text| r.value(&at, text, &flag()) == Some(false));
    match (off, lacks) {
        (Some(text), _) => Enabled::Off(format!("turned off in {}", r.place(text))),
        (None, Some(reason)) => Enabled::Off(reason),
        (None, None) => Enabled::On,
    }
}
