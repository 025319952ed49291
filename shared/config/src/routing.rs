//! Reads the section `routing:`.

use std::{path::Path, sync::Arc};

use longshore_policy::{
    catalog::Catalog,
    routing::{Category, Conditions, Preference, Routing, Rule},
};
use longshore_protocol::{
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};
use longshore_settings::{
    Entries, Form, Origin, Reader, Text, form::flag, form::whole, yaml::parse,
};
use rust_decimal::Decimal;
use serde::Deserialize;

const SHIPPED: &str = include_str!("routing/default.yaml");

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRouting {
    rules: Vec<RawRule>,
    default_rules: Option<Text>,
    keywords: Vec<RawCategory>,
    tiers: Entries<Text>,
    prefer_local: Option<Text>,
    max_cost_per_task: Option<Text>,
    fallback_provider: Option<Text>,
    estimate_threshold: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRule {
    name: Option<Text>,
    #[serde(rename = "type")]
    types: Option<Vec<Text>>,
    risk: Option<Vec<Text>>,
    area: Option<Vec<Text>>,
    complexity: Option<Vec<Text>>,
    platform: Option<Vec<Text>>,
    model: Option<Text>,
    tier: Option<Text>,
    capability: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCategory {
    category: Option<Text>,
    words: Option<Vec<Text>>,
    platforms: Option<Vec<Text>>,
}

/// The shipped routing, changed by the user's section. Of a catalog that is not sound, what is missing
/// has been told already, and is not missed again.
pub(super) fn routing(
    r: &mut Reader<'_>,
    own: &RawRouting,
    catalog: &Catalog,
    is_sound: bool,
) -> Routing {
    let shipped = match parse::<RawRouting>(Path::new("built-in routing"), SHIPPED) {
        Ok(shipped) => shipped,
        Err(problem) => {
            r.problem(problem.origin, problem.text);
            RawRouting::default()
        }
    };
    let forms = Forms::new(catalog, is_sound);
    let default_rules = r
        .setting("routing.default_rules", own.default_rules.as_ref(), &flag())
        .unwrap_or(true);
    let mut rules: Vec<Rule> = Vec::new();
    for raw in &own.rules {
        let rule = rule(r, raw, &forms);
        if let (Some(rule), Some(name)) = (&rule, &raw.name) {
            r.stands_at(&format!("routing.rules.{}", rule.name), name);
        }
        rules.extend(rule);
    }
    if default_rules {
        for raw in &shipped.rules {
            rules.extend(rule(r, raw, &forms));
        }
    }
    let fallback = own.fallback_provider.as_ref();
    Routing {
        rules,
        default_rules,
        categories: categories(r, &shipped.keywords, &own.keywords, &forms),
        tiers: tiers(r, &shipped.tiers, &own.tiers, &forms),
        prefer_local: r
            .setting("routing.prefer_local", own.prefer_local.as_ref(), &flag())
            .unwrap_or(false),
        max_cost_per_task: r.setting(
            "routing.max_cost_per_task",
            own.max_cost_per_task.as_ref(),
            &dollars(),
        ),
        fallback_provider: r.setting("routing.fallback_provider", fallback, &forms.platform),
        estimate_threshold: r
            .setting(
                "routing.estimate_threshold",
                own.estimate_threshold.as_ref(),
                &whole(0..=1_000_000_000),
            )
            .unwrap_or(10_000),
    }
}

/// What the names in a section may be.
struct Forms {
    platform: Form<PlatformName>,
    model: Form<String>,
    tier: Form<Tier>,
    capability: Form<Capability>,
    word: Form<String>,
}

impl Forms {
    fn new(catalog: &Catalog, is_sound: bool) -> Self {
        let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let platforms = names(&mut catalog.providers.iter().map(|one| one.name.as_str()));
        let tiers = names(&mut Tier::ALL.iter().map(|tier| tier.as_str()));
        let capabilities = names(&mut Capability::ALL.iter().map(|one| one.as_str()));
        let catalog = Arc::new(catalog.clone());
        let models = catalog.clone();
        Self {
            platform: Form::new(format!("one of {platforms}"), move |text| {
                let known = catalog.platform(text).map(|one| one.name.clone());
                known.or_else(|| PlatformName::parse(text).filter(|_| !is_sound))
            }),
            model: Form::new(
                "a model of the catalog (`longshore.yaml` can add one under `models:`)",
                move |text| (!is_sound || !models.model(text).is_empty()).then(|| text.to_owned()),
            ),
            tier: Form::new(format!("one of {tiers}"), Tier::from_name),
            capability: Form::new(format!("one of {capabilities}"), Capability::from_name),
            word: Form::new("text that is not empty", |text| {
                (!text.is_empty()).then(|| text.to_lowercase())
            }),
        }
    }
}

fn rule(r: &mut Reader<'_>, raw: &RawRule, forms: &Forms) -> Option<Rule> {
    let Some(name) = &raw.name else {
        let text = "`routing.rules.name` is missing; expected a name, which the record of a decision shows";
        return told(r, raw.somewhere(), text);
    };
    let name = r.value("routing.rules.name", name, &forms.word)?;
    let mut words = |field: &str, written: Option<&Vec<Text>>| {
        values(
            r,
            &format!("routing.rules.{field}"),
            raw.somewhere(),
            written.map(Vec::as_slice),
            &forms.word,
        )
    };
    let when = Conditions {
        types: words("type", raw.types.as_ref()),
        risks: words("risk", raw.risk.as_ref()),
        areas: words("area", raw.area.as_ref()),
        complexities: words("complexity", raw.complexity.as_ref()),
    };
    let prefer = preference(r, raw, &name, forms)?;
    Some(Rule { name, when, prefer })
}

fn preference(r: &mut Reader<'_>, raw: &RawRule, name: &str, forms: &Forms) -> Option<Preference> {
    let able = raw.platform.is_some() || raw.tier.is_some() || raw.capability.is_some();
    match &raw.model {
        Some(model) if able => {
            let text = format!(
                "the rule `{name}` has `model` beside `platform`, `tier` or `capability`; \
                 keep one of the two (a model of one platform is `platform/model`)"
            );
            told(r, Some(model), &text)
        }
        Some(model) => r
            .value("routing.rules.model", model, &forms.model)
            .map(Preference::Model),
        None if able => {
            let platforms = values(
                r,
                "routing.rules.platform",
                raw.somewhere(),
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
                "the rule `{name}` says not who is to answer; expected `model`, or `platform`, `tier` or `capability`"
            );
            told(r, raw.somewhere(), &text)
        }
    }
}

/// The shipped categories, with the user's in the place of those of their names and the others behind
/// them. One without words is none.
fn categories(
    r: &mut Reader<'_>,
    shipped: &[RawCategory],
    own: &[RawCategory],
    forms: &Forms,
) -> Vec<Category> {
    let mut found: Vec<Category> = Vec::new();
    let shipped = shipped.iter().map(|raw| (raw, false));
    for (raw, is_own) in shipped.chain(own.iter().map(|raw| (raw, true))) {
        let Some(category) = category(r, raw, forms) else {
            continue;
        };
        if let Some(name) = raw.category.as_ref().filter(|_| is_own) {
            r.stands_at(&format!("routing.keywords.{}", category.name), name);
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
    let somewhere = [&raw.words, &raw.platforms]
        .into_iter()
        .find_map(|list| list.as_ref()?.first());
    let Some(name) = &raw.category else {
        let text = "`routing.keywords.category` is missing; expected the category's name";
        return told(r, somewhere, text);
    };
    let name = r.value("routing.keywords.category", name, &forms.word)?;
    let words = raw.words.as_deref().map(|words| {
        let form = &forms.word;
        words
            .iter()
            .filter_map(|word| r.value("routing.keywords.words", word, form))
            .collect::<Vec<_>>()
    });
    let Some(words) = words else {
        let text = "`routing.keywords.words` is missing; expected a list of words (an empty one turns the category off)";
        return told(r, raw.category.as_ref(), text);
    };
    let platforms = match &raw.platforms {
        None if words.is_empty() => Vec::new(),
        None => {
            let text = "`routing.keywords.platforms` is missing; expected a list of platforms";
            return told(r, raw.category.as_ref(), text);
        }
        Some(platforms) => values(
            r,
            "routing.keywords.platforms",
            raw.category.as_ref(),
            Some(platforms),
            &forms.platform,
        ),
    };
    Some(Category {
        name,
        words,
        platforms,
    })
}

fn tiers(
    r: &mut Reader<'_>,
    shipped: &Entries<Text>,
    own: &Entries<Text>,
    forms: &Forms,
) -> Vec<(String, Tier)> {
    let mut found: Vec<(String, Tier)> = Vec::new();
    let shipped = shipped.0.iter().map(|entry| (entry, false));
    for ((word, tier), is_own) in shipped.chain(own.0.iter().map(|entry| (entry, true))) {
        let name = format!("routing.tiers.{}", word.as_written());
        let Some(tier) = r.value(&name, tier, &forms.tier) else {
            continue;
        };
        let at = word;
        let word = word.as_written().trim().to_lowercase();
        if is_own {
            r.stands_at(&format!("routing.tiers.{word}"), at);
        }
        match found.iter_mut().find(|(known, _)| *known == word) {
            Some(same) => same.1 = tier,
            None => found.push((word, tier)),
        }
    }
    found
}

/// The values of a list, which is at the line of `near`; one that is there has at least one.
fn values<T>(
    r: &mut Reader<'_>,
    name: &str,
    near: Option<&Text>,
    written: Option<&[Text]>,
    form: &Form<T>,
) -> Vec<T> {
    if written.is_some_and(<[Text]>::is_empty) {
        let text = format!("`{name}` is empty; name at least one, or leave it out");
        told::<T>(r, near, &text);
    }
    written
        .unwrap_or_default()
        .iter()
        .filter_map(|text| r.value(name, text, form))
        .collect()
}

fn told<T>(r: &mut Reader<'_>, near: Option<&Text>, text: &str) -> Option<T> {
    match near {
        Some(near) => r.problem_at(near, text),
        None => r.problem(Origin::file(r.path(), None), text),
    }
    None
}

fn dollars() -> Form<Usd> {
    Form::new("US dollars over 0, such as 1.0", |text| {
        text.parse::<Usd>()
            .ok()
            .filter(|amount| amount.0 > Decimal::ZERO)
    })
}

impl RawRule {
    /// Any value of it, for its line.
    fn somewhere(&self) -> Option<&Text> {
        [&self.name, &self.model, &self.tier, &self.capability]
            .into_iter()
            .find_map(Option::as_ref)
            .or_else(|| {
                [
                    &self.types,
                    &self.risk,
                    &self.area,
                    &self.complexity,
                    &self.platform,
                ]
                .into_iter()
                .find_map(|list| list.as_ref()?.first())
            })
    }
}

#[cfg(test)]
mod tests;
