//! Makes the providers of the catalog.

use std::time::Duration;

use longshore_protocol::platform::PlatformName;
use longshore_settings::{
    Entries, Form, Interpolated, Reader, Text,
    duration::format_duration,
    form::{duration, flag, url},
};
use secrecy::SecretString;
use url::Url;

use super::{
    Billing, CallDelay, CostSource, DialectName, Enabled, ProviderEntry, RawProvider, canonical,
    forms::{missing, text_form, word},
    models::ModelLayer,
    nested, pricing,
    raw::{RawBetween, RawPace},
    tool::tool,
};
use crate::limits::account_limits;

/// The key that a simulated provider gets instead of the real one.
const SIMULATED_KEY: &str = "simulated";

/// The random wait of a provider that asks for one and does not say how long.
const PACE: CallDelay = CallDelay {
    min: Duration::from_secs(1),
    max: Duration::from_secs(10),
};

/// A provider of either catalog, or of both.
pub(super) struct Named {
    pub(super) name: String,
    /// Where the user's file names it.
    key: Option<Text>,
    pub(super) raw: RawProvider,
    /// Whether it is the built-in catalog that turns it off.
    off_by_default: bool,
}

/// The built-in providers and the user's, by name.
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
                name: key.as_str().to_owned(),
                key: None,
                off_by_default: raw.enabled.is_some(),
                raw,
            }
        })
        .collect();
    for (key, raw) in own.0 {
        let raw = raw.unwrap_or_default();
        let written = key.as_str();
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
        r.record_origin(&format!("providers.{name}"), &key);
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

/// What the providers themselves say of their default models: that there is one, and perhaps its price.
pub(super) fn default_models(r: &mut Reader<'_>, named: &[Named]) -> Vec<ModelLayer> {
    let mut parts = Vec::new();
    for Named { name, key, raw, .. } in named {
        let at = format!("providers.{name}");
        let prices = raw
            .price
            .as_ref()
            .map(|price| pricing::of_default_model(r, &at, price));
        match (&raw.default_model, prices) {
            (Some(text), prices) => {
                // What is wrong with the name is told when the provider is understood.
                let Interpolated::Value(model) = r.interpolate(text.as_str()) else {
                    continue;
                };
                let model = model.trim().to_owned();
                if let Some(price) = raw.price.as_ref().and_then(|price| price.rates().any()) {
                    r.record_origin(&format!("models.{name}/{model}"), price);
                }
                let part = ModelLayer::named(PlatformName::from_stored(name), model);
                parts.push(ModelLayer {
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

/// What stands beside a provider.
pub(super) struct Around<'a> {
    /// The names of all providers.
    pub(super) names: &'a [&'a str],
    /// All models.
    pub(super) models: &'a [ModelLayer],
    /// The programs that may be run.
    pub(super) tools: &'a [String],
}

/// Understands a provider.
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
    if let Some(written) = near {
        nested::refuse(r, written, raw, around.names);
    }

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
        // A program has no address, and this may be one.
        None if dialect.is_none() => None,
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
        None => Some(PlatformName::from_stored(name)),
        Some(text) => r.value(&at("account"), text, &account(around.names)),
    };
    let limits = raw.limits.as_ref();
    let limits = limits.map(|raw| account_limits(r, &at("limits"), raw));
    let mut value = Values { r, at: &at };
    let billing = word(Billing::ALL, Billing::as_str);
    let cost_source = word(CostSource::ALL, CostSource::as_str);
    let timeout = duration(Duration::from_millis(100)..=Duration::from_hours(24));
    Some(ProviderEntry {
        billing: value
            .of("billing", raw.billing.as_ref(), &billing)
            .unwrap_or(Billing::Paid),
        cost_from: value
            .of("cost_from", raw.cost_from.as_ref(), &cost_source)
            .unwrap_or(CostSource::Prices),
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
            .and_then(|text| r.variable_in_use(text.as_str()))
            .map(str::to_owned),
        limits: limits.unwrap_or_default(),
        command: tool.command,
        env: tool.env,
        account: account?,
        name: PlatformName::from_stored(name),
    })
}

fn default_model(r: &mut Reader<'_>, named: &Named, models: &[ModelLayer]) -> Option<String> {
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
    // A `price` without its model is reported already, and a model that could not be read may be this one.
    if named.raw.price.is_some() || !r.is_valid(&["models", "models.model"]) {
        return None;
    }
    let expected = "the name of a model, or an entry in `models`";
    missing(r, named.key.as_ref(), &at, expected)
}

/// Reads what a provider may have.
struct Values<'r, 'e, 'a> {
    r: &'r mut Reader<'e>,
    at: &'a dyn Fn(&str) -> String,
}

impl Values<'_, '_, '_> {
    fn of<T>(&mut self, field: &str, text: Option<&Text>, form: &Form<T>) -> Option<T> {
        self.r.value(&(self.at)(field), text?, form)
    }
}

/// The random wait, written as `{min, max}`, or as `true` with `min_delay` and `max_delay` beside it.
fn pace(
    value: &mut Values<'_, '_, '_>,
    raw: &RawProvider,
    near: Option<&Text>,
) -> Option<CallDelay> {
    let delay = duration(Duration::ZERO..=Duration::from_hours(1));
    let (min, max) = match raw.rate_limit_delay.as_ref()? {
        RawPace::Between(RawBetween { min, max, .. }) => (
            value.of("rate_limit_delay.min", min.as_ref(), &delay),
            value.of("rate_limit_delay.max", max.as_ref(), &delay),
        ),
        RawPace::Flag(text) => {
            let expected = "true, false, or {min: 1s, max: 10s}";
            let is_on = Form::new(expected, |text| flag().parse(text));
            if !value.of("rate_limit_delay", Some(text), &is_on)? {
                return None;
            }
            (
                value.of("min_delay", raw.min_delay.as_ref(), &delay),
                value.of("max_delay", raw.max_delay.as_ref(), &delay),
            )
        }
    };
    let pace = CallDelay {
        min: min.unwrap_or(PACE.min),
        max: max.unwrap_or(PACE.max),
    };
    let written = [
        "rate_limit_delay.min",
        "rate_limit_delay.max",
        "min_delay",
        "max_delay",
    ];
    let written = written.map(|field| (value.at)(field));
    let is_valid = value.r.is_valid(&written.each_ref().map(String::as_str));
    if pace.min > pace.max && is_valid {
        let text = format!(
            "`{}` is from {} to {}; expected the shorter time first",
            (value.at)("rate_limit_delay"),
            format_duration(pace.min),
            format_duration(pace.max)
        );
        value.r.problem_near(near, text);
    }
    Some(pace)
}

/// An account: a provider by any of its names, or a name of one's own that several providers share.
fn account(names: &[&str]) -> Form<PlatformName> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Form::new(
        "the name of an account: 1 to 64 characters of [a-z0-9._-]",
        move |text| {
            canonical(text, names.iter().map(String::as_str))
                .map(PlatformName::from_stored)
                .or_else(|| PlatformName::parse(text))
        },
    )
}

/// The same provider, played by a simulator: its real key is forgotten. What the simulator does not
/// speak, it plays as OpenAI.
pub(super) fn simulated(named: &Named, provider: ProviderEntry, simulator: &Url) -> ProviderEntry {
    // What is off unless it is turned on does not take part in anything.
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

/// The key, and why there is none although there should be one.
fn key(
    r: &mut Reader<'_>,
    at: &str,
    written: Option<&Text>,
) -> (Option<SecretString>, Option<String>) {
    let Some(written) = written else {
        return (None, None);
    };
    match r.interpolate(written.as_str()) {
        Interpolated::Value(key) => {
            let key = key.trim();
            ((!key.is_empty()).then(|| SecretString::from(key)), None)
        }
        Interpolated::Missing(variable) => (None, Some(format!("{variable} is not set"))),
        Interpolated::Malformed => {
            r.report_malformed(at, Some(written));
            (None, None)
        }
    }
}

/// Whether it may be used; `lacks` is why it cannot be.
fn enabled(
    r: &mut Reader<'_>,
    named: &Named,
    dialect: Option<DialectName>,
    lacks: Option<String>,
) -> Enabled {
    let at = format!("providers.{}.enabled", named.name);
    let written = named.raw.enabled.as_ref();
    // A program runs only where somebody says so.
    let silent = dialect == Some(DialectName::Cli) && written.is_none();
    if named.off_by_default || silent {
        return Enabled::Off(format!("on only if `{at}` is true in longshore.yaml"));
    }
    let off = written.filter(|text| r.value(&at, text, &flag()) == Some(false));
    match (off, lacks) {
        (Some(text), _) => Enabled::Off(format!("turned off in {}", r.location(text))),
        (None, Some(reason)) => Enabled::Off(reason),
        (None, None) => Enabled::On,
    }
}
