//! Makes the models of the catalog.

use rust_decimal::Decimal;

use super::{
    ModelEntry, PlatformName, Prices, RawModel, Tier, canonical, list,
    read::{missing, text_form, word},
};
use crate::config::{Form, Origin, Reader, Text, whole};

/// The built-in models and the user's, by provider and name; a user's provider is one of `names`.
pub(super) fn merge_models(
    r: &mut Reader<'_>,
    names: &[&str],
    built_in: Vec<RawModel>,
    own: Vec<RawModel>,
) -> Vec<Keyed> {
    let mut merged: Vec<Keyed> = Vec::new();
    for (raw, is_own) in built_in
        .into_iter()
        .map(|raw| (raw, false))
        .chain(own.into_iter().map(|raw| (raw, true)))
    {
        let Some((provider, model)) = identity(r, names, &raw) else {
            continue;
        };
        if let Some(written) = raw.somewhere().filter(|_| is_own) {
            r.stands_at(&format!("models.{provider}/{model}"), written);
        }
        let same = |keyed: &&mut Keyed| keyed.provider.0 == provider && keyed.model == model;
        match merged.iter_mut().find(same) {
            None => merged.push(Keyed {
                provider: PlatformName(provider),
                model,
                raw,
                is_own,
            }),
            Some(keyed) if is_own && !keyed.is_own => {
                keyed.raw = raw.over(std::mem::take(&mut keyed.raw));
                keyed.is_own = true;
            }
            Some(_) => {
                let text = format!("the model `{model}` of `{provider}` is named twice");
                model_problem(r, &raw, text);
            }
        }
    }
    merged
}

/// A model whose provider and name are understood.
pub(super) struct Keyed {
    provider: PlatformName,
    model: String,
    raw: RawModel,
    is_own: bool,
}

fn identity(r: &mut Reader<'_>, names: &[&str], raw: &RawModel) -> Option<(String, String)> {
    let (Some(provider), Some(model)) = (&raw.provider, &raw.model) else {
        model_problem(
            r,
            raw,
            "a model needs both `provider` and `model`".to_owned(),
        );
        return None;
    };
    let expected = format!("one of {}", list(names.iter().copied()));
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let known = Form::new(expected, move |text| {
        canonical(text, owned.iter().map(String::as_str))
    });
    let provider = r.value("models.provider", provider, &known);
    let model = r.value("models.model", model, &text_form("the name of a model"));
    Some((provider?, model?))
}

/// Understands a model.
pub(super) fn model(r: &mut Reader<'_>, keyed: Keyed) -> Option<ModelEntry> {
    let Keyed {
        provider,
        model,
        raw,
        ..
    } = keyed;
    let tier = match &raw.tier {
        None => Some(Tier::Standard),
        Some(text) => r.value("models.tier", text, &word(Tier::ALL, Tier::as_str)),
    };
    let context_window = needed(
        r,
        &raw,
        "context_window",
        raw.context_window.as_ref(),
        &whole(1..=1_000_000_000),
    );
    let max_output_tokens = needed(
        r,
        &raw,
        "max_output_tokens",
        raw.max_output_tokens.as_ref(),
        &whole(1..=1_000_000_000),
    );
    let price = price();
    let input = needed(
        r,
        &raw,
        "input_per_million",
        raw.input_per_million.as_ref(),
        &price,
    );
    let output = needed(
        r,
        &raw,
        "output_per_million",
        raw.output_per_million.as_ref(),
        &price,
    );
    let mut optional =
        |name: &str, text: Option<&Text>| r.value(&format!("models.{name}"), text?, &price);
    let cached = optional("cached_per_million", raw.cached_per_million.as_ref());
    let cache_write = optional(
        "cache_write_per_million",
        raw.cache_write_per_million.as_ref(),
    );
    let cache_write_1h = optional(
        "cache_write_1h_per_million",
        raw.cache_write_1h_per_million.as_ref(),
    );
    Some(ModelEntry {
        provider,
        model,
        tier: tier?,
        capabilities: Vec::new(),
        context_window: context_window?,
        max_output_tokens: max_output_tokens?,
        prices: Prices {
            input: input?,
            output: output?,
            cached,
            cache_write,
            cache_write_1h,
        },
    })
}

/// A price. Bounded so that no usage overflows a sum and none is rounded.
fn price() -> Form<Decimal> {
    Form::new(
        "US dollars per million tokens, from 0 to 100000 with at most 9 decimals",
        |text| {
            let price = Decimal::from_str_exact(text).ok()?.normalize();
            let allowed =
                price >= Decimal::ZERO && price <= Decimal::from(100_000) && price.scale() <= 9;
            allowed.then_some(price)
        },
    )
}

fn needed<T>(
    r: &mut Reader<'_>,
    raw: &RawModel,
    name: &str,
    text: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    let name = format!("models.{name}");
    match text {
        Some(text) => r.value(&name, text, form),
        None => missing(r, raw.somewhere(), &name, &form.expected),
    }
}

fn model_problem(r: &mut Reader<'_>, raw: &RawModel, text: String) {
    match raw.somewhere() {
        Some(near) => r.problem_at(near, text),
        None => r.problem(Origin::file(r.path(), None), text),
    }
}
