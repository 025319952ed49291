//! Providers and models, one line each.

use longshore_policy::{
    catalog::{
        Billing, DialectName, Enabled, ModelEntry, Prices, ProviderEntry, Rates, SEEN_BY_TOOLS,
    },
    limits::AccountLimits,
};
use longshore_settings::duration::format_duration;

use super::policy::only_set;
use crate::Config;

/// The files of models.
pub(crate) fn model_files(config: &Config) -> Vec<(String, String)> {
    vec![("model_files".to_owned(), config.model_files.join(", "))]
}

/// The providers.
pub(crate) fn providers(config: &Config) -> Vec<(String, String)> {
    let entries = config.catalog.providers.iter();
    entries
        .map(|entry| (format!("providers.{}", entry.name), provider(entry)))
        .collect()
}

/// The models that are set.
pub(crate) fn models(config: &Config) -> Vec<(String, String)> {
    let models = config.catalog.models.iter().map(|entry| {
        let name = format!("models.{}/{}", entry.provider, entry.model);
        (name, model(entry))
    });
    let unpriced = config.catalog.unpriced.iter().map(|entry| {
        let name = format!("models.{}/{}", entry.provider, entry.model);
        (name, "refused: it has no price".to_owned())
    });
    only_set(config, models.chain(unpriced))
}

fn provider(entry: &ProviderEntry) -> String {
    let mut words = vec![match &entry.enabled {
        Enabled::On => "on".to_owned(),
        Enabled::Off(why) => format!("off ({why})"),
    }];
    if entry.dialect == DialectName::Cli {
        words.push(format!("cli: {}", entry.command.join(" ")));
    } else {
        words.push(format!("{} at {}", entry.dialect, entry.base_url));
    }
    words.push(format!("default_model {}", entry.default_model));
    match (&entry.key_variable, &entry.key) {
        _ if entry.dialect == DialectName::Cli => {}
        (Some(variable), _) => words.push(format!("key from {variable}")),
        (None, Some(_)) => words.push("key in the file".to_owned()),
        (None, None) => words.push("no key".to_owned()),
    }
    let names = entry.env.iter().map(|(name, _)| name.as_str());
    let own: Vec<&str> = names.filter(|name| !SEEN_BY_TOOLS.contains(name)).collect();
    if !own.is_empty() {
        words.push(format!("env {}", own.join(" ")));
    }
    if entry.billing != Billing::Paid {
        words.push(entry.billing.to_string());
    }
    if entry.local {
        words.push("local".to_owned());
    }
    words.extend(
        entry
            .timeout
            .map(|most| format!("timeout {}", format_duration(most))),
    );
    words.extend(entry.pace.map(|pace| {
        let (min, max) = (format_duration(pace.min), format_duration(pace.max));
        format!("rate_limit_delay {min} to {max}")
    }));
    if entry.account != entry.name {
        words.push(format!("account {}", entry.account));
    }
    words.extend(limits(&entry.limits));
    words.join(", ")
}

fn limits(limits: &AccountLimits) -> Vec<String> {
    let figure = |value: Option<u64>| value.map(|value| value.to_string());
    let figures = [
        (
            "requests_per_minute",
            figure(limits.requests_per_minute.map(u64::from)),
        ),
        ("tokens_per_minute", figure(limits.tokens_per_minute)),
        ("requests_per_day", figure(limits.requests_per_day)),
        (
            "usd_per_month",
            limits.usd_per_month.map(|most| most.to_string()),
        ),
        (
            "max_concurrent",
            figure(limits.max_concurrent.map(u64::from)),
        ),
    ];
    let mut words: Vec<String> = figures
        .into_iter()
        .filter_map(|(name, figure)| Some(format!("{name} {}", figure?)))
        .collect();
    words.extend(super::policy::calendar(&limits.calendar));
    words
}

fn model(entry: &ModelEntry) -> String {
    let mut words = vec![
        entry.tier.to_string(),
        format!("context {}", entry.context_window),
        format!("answer {}", entry.max_output_tokens),
    ];
    for (from, prices) in entry.prices.by_day() {
        let from = from
            .map(|day| format!("from {day} on "))
            .unwrap_or_default();
        words.push(format!("{from}{} (per million)", figures(prices)));
    }
    let capabilities: Vec<&str> = entry.capabilities.iter().map(|one| one.as_str()).collect();
    words.push(format!("for {}", capabilities.join(" ")));
    words.extend(
        entry
            .withdrawn
            .map(|from| format!("withdrawn from {from} on")),
    );
    words.join(", ")
}

fn figures(prices: &Prices) -> String {
    let mut words = vec![rates(&prices.rates)];
    for step in &prices.steps {
        let rates = rates(&step.rates);
        words.push(format!("above {} tokens {rates}", step.above_tokens));
    }
    words.extend(
        prices
            .batch_discount
            .map(|part| format!("batch_discount {part}")),
    );
    words.join("; ")
}

fn rates(rates: &Rates) -> String {
    let figures = [
        ("in", Some(rates.input)),
        ("out", Some(rates.output)),
        ("cached", rates.cached),
        ("cache write", rates.cache_write),
        ("cache write 1h", rates.cache_write_1h),
        ("reasoning", rates.reasoning),
    ];
    let figures: Vec<String> = figures
        .into_iter()
        .filter_map(|(name, price)| Some(format!("${} {name}", price?)))
        .collect();
    figures.join(", ")
}
