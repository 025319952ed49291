//! Reads the section `routing:`.

use std::{path::Path, sync::Arc};

use longshore_policy::{
    catalog::{Catalog, list, missing, word},
    routing::{Category, Conditions, Preference, Routing, Rule},
};
use longshore_protocol::platform::{Capability, PlatformName, Tier};
use longshore_settings::{Entries, Form, Placed as _, Reader, Text};

use crate::table::{RawCategory, RawRouting, RawRule};

const BUILT_IN: &str = include_str!("routing/default.yaml");

/// The providers and models that settings may name.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) catalog: &'a Catalog,
    /// Whether the catalog has all of them. If not, its errors are reported already, and names that it lacks
    /// are not reported again.
    pub(crate) is_sound: bool,
}

/// Reads the section `routing:` over the built-in routing.
pub(super) fn read(r: &mut Reader<'_>, own: &RawRouting, known: Known<'_>) -> Routing {
    let built_in: RawRouting = r
        .parse(Path::new("built-in routing"), BUILT_IN)
        .unwrap_or_default();
    let mut routing = defaults();
    RawRouting::settings(provider_form(known)).read(r, own, &mut routing);
    let forms = Forms::new(known);
    for raw in own.rules.iter().flatten() {
        let rule = rule(r, raw, &forms);
        if let (Some(rule), Some(name)) = (&rule, &raw.name) {
            r.record_origin(&format!("routing.rules.{}", rule.name), name);
        }
        routing.rules.extend(rule);
    }
    if routing.default_rules {
        for raw in built_in.rules.iter().flatten() {
            routing.rules.extend(rule(r, raw, &forms));
        }
    }
    routing.categories = categories(
        r,
        built_in.keywords.as_deref().unwrap_or_default(),
        own.keywords.as_deref().unwrap_or_default(),
        &forms,
    );
    let built_in_tiers = built_in.tiers.unwrap_or_default();
    routing.tiers = tiers(r, &built_in_tiers, own.tiers.as_ref(), &forms);
    routing
}

/// The routing without any rules, categories and tiers.
pub(super) fn defaults() -> Routing {
    Routing {
        rules: Vec::new(),
        default_rules: true,
        categories: Vec::new(),
        tiers: Vec::new(),
        prefer_local: false,
        max_cost_per_task: None,
        min_answer_tokens: 4_096,
        fallback_provider: None,
        estimate_threshold: 10_000,
    }
}

/// A provider by its name or an alias.
pub(crate) fn provider_form(known: Known<'_>) -> Form<PlatformName> {
    let names = known.catalog.providers.iter().map(|one| one.name.as_str());
    let expected = format!("one of {}", list(names));
    let (catalog, is_sound) = (known.catalog.clone(), known.is_sound);
    Form::new(expected, move |text| {
        let known = catalog.platform(text).map(|one| one.name.clone());
        known.or_else(|| PlatformName::parse(text).filter(|_| !is_sound))
    })
}

/// The forms of names in rules and categories.
struct Forms {
    platform: Form<PlatformName>,
    model: Form<String>,
    tier: Form<Tier>,
    capability: Form<Capability>,
    word: Form<String>,
}

impl Forms {
    fn new(known: Known<'_>) -> Self {
        let (models, is_sound) = (Arc::new(known.catalog.clone()), known.is_sound);
        Self {
            platform: provider_form(known),
            model: Form::new(
                "a model of the catalog (`longshore.yaml` can add one under `models:`)",
                move |text| (!is_sound || !models.model(text).is_empty()).then(|| text.to_owned()),
            ),
            tier: word(Tier::ALL, Tier::as_str),
            capability: word(Capability::ALL, Capability::as_str),
            word: Form::new("text that is not empty", |text| {
                (!text.is_empty()).then(|| text.to_lowercase())
            }),
        }
    }
}

fn rule(r: &mut Reader<'_>, raw: &RawRule, forms: &Forms) -> Option<Rule> {
    let name = if let Some(name) = &raw.name {
        r.value("routing.rules.name", name, &forms.word)
    } else {
        let expected = "a name, which decisions show";
        missing(r, Some(raw.place()), "routing.rules.name", expected)
    };
    let mut words = |field: &str, written: Option<&Vec<Text>>| {
        values(
            r,
            &format!("routing.rules.{field}"),
            raw.place(),
            written.map(Vec::as_slice),
            &forms.word,
        )
    };
    let when = Conditions {
        types: words("type", raw.r#type.as_ref()),
        risks: words("risk", raw.risk.as_ref()),
        areas: words("area", raw.area.as_ref()),
        complexities: words("complexity", raw.complexity.as_ref()),
    };
    let prefer = preference(r, raw, name.as_deref(), forms);
    Some(Rule {
        name: name?,
        when,
        prefer: prefer?,
    })
}

fn preference(
    r: &mut Reader<'_>,
    raw: &RawRule,
    name: Option<&str>,
    forms: &Forms,
) -> Option<Preference> {
    let rule = name.map_or_else(
        || "the rule".to_owned(),
        |name| format!("the rule `{name}`"),
    );
    let able = raw.platform.is_some() || raw.tier.is_some() || raw.capability.is_some();
    match &raw.model {
        Some(model) if able => {
            let text = format!(
                "{rule} has `model` beside `platform`, `tier` or `capability`; \
                 keep one of the two (a model of one platform is `platform/model`)"
            );
            report(r, model, &text)
        }
        Some(model) => r
            .value("routing.rules.model", model, &forms.model)
            .map(Preference::Model),
        None if able => {
            let platforms = values(
                r,
                "routing.rules.platform",
                raw.place(),
                raw.platform.as_deref(),
                &forms.platform,
            );
            let tier = raw.tier.as_ref();
            let tier = tier.and_then(|text| r.value("routing.rules.tier", text, &forms.tier));
            let capability = raw
                .capability
                .as_ref()
                .and_then(|text| r.value("routing.rules.capability", text, &forms.capability));
            Some(Preference::Able {
                platforms,
                tier,
                capability,
            })
        }
        None => {
            let text = format!(
                "{rule} selects no model; expected `model`, or `platform`, `tier` or `capability`"
            );
            report(r, raw.place(), &text)
        }
    }
}

/// The built-in categories, each replaced by the user's of the same name, and then the user's other ones.
/// Categories without words are disabled.
fn categories(
    r: &mut Reader<'_>,
    built_in: &[RawCategory],
    own: &[RawCategory],
    forms: &Forms,
) -> Vec<Category> {
    let mut found: Vec<Category> = Vec::new();
    let built_in = built_in.iter().map(|raw| (raw, false));
    for (raw, is_own) in built_in.chain(own.iter().map(|raw| (raw, true))) {
        let Some(category) = category(r, raw, forms) else {
            continue;
        };
        if let Some(name) = raw.category.as_ref().filter(|_| is_own) {
            r.record_origin(&format!("routing.keywords.{}", category.name), name);
        }
        match found.iter_mut().find(|one| one.name == category.name) {
            Some(same) => *same = category,
            None => found.push(category),
        }
    }
    found.retain(|category| !category.words.is_empty());
    found
}

fn category(r: &mut Reader<'_>, raw: &RawCategory, forms: &Forms) -> Option<Category> {
    let near = Some(raw.place());
    let name = match &raw.category {
        Some(name) => r.value("routing.keywords.category", name, &forms.word),
        None => missing(r, near, "routing.keywords.category", "the category's name"),
    };
    let words = match &raw.words {
        Some(words) => {
            let words = words.iter();
            let read =
                words.filter_map(|word| r.value("routing.keywords.words", word, &forms.word));
            Some(read.collect::<Vec<_>>())
        }
        None => missing(
            r,
            near,
            "routing.keywords.words",
            "a list of words (an empty one turns the category off)",
        ),
    };
    let platforms = match &raw.platforms {
        // Without words, the category is off.
        None if words.as_ref().is_none_or(Vec::is_empty) => Some(Vec::new()),
        None => missing(r, near, "routing.keywords.platforms", "a list of platforms"),
        Some(platforms) => Some(values(
            r,
            "routing.keywords.platforms",
            raw.place(),
            Some(platforms),
            &forms.platform,
        )),
    };
    let validators = values(
        r,
        "routing.keywords.validators",
        raw.place(),
        raw.validators.as_deref(),
        &forms.platform,
    );
    Some(Category {
        name: name?,
        words: words?,
        platforms: platforms?,
        validators,
    })
}

fn tiers(
    r: &mut Reader<'_>,
    built_in: &Entries<Text>,
    own: Option<&Entries<Text>>,
    forms: &Forms,
) -> Vec<(String, Tier)> {
    let mut found: Vec<(String, Tier)> = Vec::new();
    let built_in = built_in.0.iter().map(|entry| (entry, false));
    let own = own.into_iter().flat_map(|own| &own.0);
    for ((word, tier), is_own) in built_in.chain(own.map(|entry| (entry, true))) {
        let name = format!("routing.tiers.{}", word.as_str());
        let Some(tier) = r.value(&name, tier, &forms.tier) else {
            continue;
        };
        let at = word;
        let word = word.as_str().trim().to_lowercase();
        if is_own {
            r.record_origin(&format!("routing.tiers.{word}"), at);
        }
        match found.iter_mut().find(|(known, _)| *known == word) {
            Some(same) => same.1 = tier,
            None => found.push((word, tier)),
        }
    }
    found
}

/// Reads a list that may not be empty. `near` has its line.
fn values<T>(
    r: &mut Reader<'_>,
    name: &str,
    near: &Text,
    written: Option<&[Text]>,
    form: &Form<T>,
) -> Vec<T> {
    if written.is_some_and(<[Text]>::is_empty) {
        let text = format!("`{name}` is empty; name at least one, or leave it out");
        report::<T>(r, near, &text);
    }
    written
        .unwrap_or_default()
        .iter()
        .filter_map(|text| r.value(name, text, form))
        .collect()
}

fn report<T>(r: &mut Reader<'_>, near: &Text, text: &str) -> Option<T> {
    r.problem_at(near, text);
    None
}

#[cfg(test)]
mod tests;
