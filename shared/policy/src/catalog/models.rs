//! Builds the models of the catalog.

use chrono::NaiveDate;
use longshore_protocol::platform::PlatformName;
use longshore_settings::{Form, Placed as _, Reader, form::whole};

use super::{
    Billing, Capability, Catalog, ModelEntry, PriceBook, Rates, RawModel, Tier, UnknownPrice,
    Unpriced, canonical,
    forms::{text_form, word},
    list,
    pricing::{PriceLayer, day, of_model},
};

/// The context window of a model without one in the file: that of most self-hosted models.
const CONTEXT_WINDOW: u64 = 131_072;

/// What one source says about a model; another source may supply what is missing.
#[derive(Debug, Clone)]
pub struct ModelLayer {
    pub provider: PlatformName,
    pub model: String,
    pub tier: Option<Tier>,
    pub capabilities: Option<Vec<Capability>>,
    /// Features that the model has besides the capabilities of its tier, if no capabilities are listed.
    pub supports: Vec<Capability>,
    pub context_window: Option<u64>,
    pub max_output_tokens: Option<u32>,
    pub withdrawn: Option<NaiveDate>,
    pub prices: PriceLayer,
}

impl ModelLayer {
    /// A model of which only the name is known.
    pub(super) fn named(provider: PlatformName, model: String) -> Self {
        Self {
            provider,
            model,
            tier: None,
            capabilities: None,
            supports: Vec::new(),
            context_window: None,
            max_output_tokens: None,
            withdrawn: None,
            prices: PriceLayer::default(),
        }
    }

    /// Fills missing values from `base`.
    fn over(self, base: Self) -> Self {
        Self {
            provider: self.provider,
            model: self.model,
            tier: self.tier.or(base.tier),
            capabilities: self.capabilities.or(base.capabilities),
            supports: if self.supports.is_empty() {
                base.supports
            } else {
                self.supports
            },
            context_window: self.context_window.or(base.context_window),
            max_output_tokens: self.max_output_tokens.or(base.max_output_tokens),
            withdrawn: self.withdrawn.or(base.withdrawn),
            prices: self.prices.over(base.prices),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        self.model == other.model && self.provider == other.provider
    }
}

/// Lays a layer over the models below it.
pub(super) fn lay(merged: &mut Vec<ModelLayer>, layer: Vec<ModelLayer>) {
    for part in layer {
        match merged.iter_mut().find(|below| below.is_of(&part)) {
            None => merged.push(part),
            Some(below) => {
                let base = below.clone();
                *below = part.over(base);
            }
        }
    }
}

/// Reads the built-in models, whose providers are among `names`.
pub(super) fn shipped(r: &mut Reader<'_>, names: &[&str], models: &[RawModel]) -> Vec<ModelLayer> {
    each(r, names, models, |_, _, _, _| {})
}

/// Reads the models of a user's file.
pub(super) fn parts(r: &mut Reader<'_>, names: &[&str], models: &[RawModel]) -> Vec<ModelLayer> {
    each(r, names, models, |r, provider, model, raw| {
        if let Some(written) = &raw.model {
            r.record_origin(&format!("models.{provider}/{model}"), written);
        }
    })
}

fn each<'e>(
    r: &mut Reader<'e>,
    names: &[&str],
    models: &[RawModel],
    found: impl Fn(&mut Reader<'e>, &str, &str, &RawModel),
) -> Vec<ModelLayer> {
    let mut parts: Vec<ModelLayer> = Vec::new();
    for raw in models {
        let identity = identity(r, names, raw);
        // Checked even if nobody knows which model it is.
        let fields = fields(r, raw);
        let Some((provider, model)) = identity else {
            continue;
        };
        found(r, &provider, &model, raw);
        let part = ModelLayer {
            provider: PlatformName::from_stored(provider),
            model,
            ..fields
        };
        if parts.iter().any(|other| other.is_of(&part)) {
            let ModelLayer {
                provider, model, ..
            } = part;
            let text = format!("the model `{model}` of `{provider}` is named twice");
            r.problem_at(raw.place(), text);
        } else {
            parts.push(part);
        }
    }
    parts
}

/// The provider and the model that an entry is about.
fn identity(r: &mut Reader<'_>, names: &[&str], raw: &RawModel) -> Option<(String, String)> {
    let (Some(provider), Some(model)) = (&raw.provider, &raw.model) else {
        r.problem_at(raw.place(), "a model needs both `provider` and `model`");
        return None;
    };
    let expected = format!("one of {}", list(names.iter().copied()));
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    // A provider that could not be read may have any name.
    let has_all = r.is_valid(&["providers"]);
    let known = Form::new(expected, move |text| {
        let known = canonical(text, owned.iter().map(String::as_str));
        known.or_else(|| (!has_all).then(|| text.to_owned()))
    });
    let provider = r.value("models.provider", provider, &known);
    let model = r.value("models.model", model, &text_form("the name of a model"));
    Some((provider?, model?))
}

/// What an entry says of its model, which it leaves unnamed.
fn fields(r: &mut Reader<'_>, raw: &RawModel) -> ModelLayer {
    let tier = raw.tier.as_ref().and_then(|text| {
        let form = word(Tier::ALL, Tier::as_str);
        r.value("models.tier", text, &form)
    });
    let capability = word(Capability::ALL, Capability::as_str);
    let capabilities = raw.capabilities.as_ref().map(|texts| {
        texts
            .iter()
            .filter_map(|text| r.value("models.capabilities", text, &capability))
            .collect()
    });
    let context_window = raw.context_window.as_ref().and_then(|text| {
        let form = whole(1..=1_000_000_000);
        r.value("models.context_window", text, &form)
    });
    let max_output_tokens = raw.max_output_tokens.as_ref().and_then(|text| {
        let form = whole(1..=1_000_000_000);
        r.value("models.max_output_tokens", text, &form)
    });
    let withdrawn = raw
        .withdrawn
        .as_ref()
        .and_then(|text| r.value("models.withdrawn", text, &day()));
    ModelLayer {
        tier,
        capabilities,
        context_window,
        max_output_tokens,
        withdrawn,
        prices: of_model(r, raw),
        ..ModelLayer::named(PlatformName::from_stored(""), String::new())
    }
}

/// Adds a merged model to the catalog; `unknown` decides what happens without a price.
pub(super) fn add(
    r: &mut Reader<'_>,
    catalog: &mut Catalog,
    part: ModelLayer,
    unknown: UnknownPrice,
) {
    let free = || PriceBook::new(Rates::FREE.into(), Vec::new());
    let provider = catalog
        .providers
        .iter()
        .find(|provider| provider.name == part.provider);
    let prices = match (part.prices.book(), unknown) {
        _ if provider.is_some_and(|provider| provider.billing == Billing::Free) => free(),
        (Some(prices), _) => prices,
        (None, UnknownPrice::Refuse) => {
            catalog.unpriced.push(Unpriced {
                provider: part.provider,
                model: part.model,
            });
            return;
        }
        (None, UnknownPrice::Zero) => {
            r.warn(format!(
                "the model `{}` of `{}` has no price and counts as free (`unknown_price: zero`)",
                part.model, part.provider
            ));
            free()
        }
    };
    let tier = part.tier.unwrap_or(Tier::Standard);
    let untold = part.capabilities.is_none() && part.supports.is_empty();
    let usual = || [tier.capabilities(), part.supports.as_slice()].concat();
    let context_window = part.context_window.unwrap_or(CONTEXT_WINDOW);
    catalog.models.push(ModelEntry {
        provider: part.provider,
        model: part.model,
        tier,
        capabilities: part.capabilities.unwrap_or_else(usual),
        untold,
        context_window,
        // No answer is longer than the context window.
        max_output_tokens: part
            .max_output_tokens
            .unwrap_or_else(|| u32::try_from(context_window).unwrap_or(u32::MAX)),
        withdrawn: part.withdrawn,
        prices,
    });
}
