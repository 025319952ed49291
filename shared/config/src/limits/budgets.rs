//! What may be spent.

use longshore_policy::{
    catalog::{Catalog, list, missing, word},
    limits::{
        AtLimit, Budget, Period, Scope,
        settings::{calendar, dollars},
    },
};
use longshore_protocol::{money::Usd, platform::PlatformName};
use longshore_settings::{Form, Reader, Text};
use serde::Deserialize;

use super::{NAME, NAME_LENGTH, is_line};

/// A budget.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawBudget {
    name: Option<Text>,
    scope: Option<Text>,
    of: Option<Text>,
    limit_usd: Option<Text>,
    per: Option<Text>,
    kind: Option<Text>,
    at_limit: Option<Text>,
    time_zone: Option<Text>,
    reset_at: Option<Text>,
}

impl RawBudget {
    /// Its first value, for its line.
    fn somewhere(&self) -> Option<&Text> {
        [
            &self.name,
            &self.scope,
            &self.of,
            &self.limit_usd,
            &self.per,
            &self.kind,
            &self.at_limit,
            &self.time_zone,
            &self.reset_at,
        ]
        .into_iter()
        .filter_map(Option::as_ref)
        .min_by_key(|text| text.line())
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Overall,
    Provider,
    Tenant,
    Chain,
}

/// The budgets, in the file's order.
pub(crate) fn budgets(r: &mut Reader<'_>, raws: &[RawBudget], catalog: &Catalog) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    for raw in raws {
        let Some(budget) = budget(r, raw, catalog) else {
            continue;
        };
        if let Some(written) = &raw.name {
            r.stands_at(&format!("budgets.{}", budget.name), written);
        }
        if budgets.iter().any(|other| other.name == budget.name) {
            let text = format!("the budget `{}` is named twice; rename one", budget.name);
            if let Some(written) = &raw.name {
                r.problem_at(written, text);
            }
        }
        budgets.push(budget);
    }
    budgets
}

fn budget(r: &mut Reader<'_>, raw: &RawBudget, catalog: &Catalog) -> Option<Budget> {
    let name = needed(r, raw, "name", raw.name.as_ref(), &name());
    let scope = scope(r, raw, catalog);
    let limit: Option<Usd> = needed(r, raw, "limit_usd", raw.limit_usd.as_ref(), &dollars());
    let period = needed(
        r,
        raw,
        "per",
        raw.per.as_ref(),
        &word(Period::ALL, Period::as_str),
    );
    let kind = Form::new("one of hard, soft", |text| match text {
        "hard" => Some(true),
        "soft" => Some(false),
        _ => None,
    });
    let hard = match &raw.kind {
        None => Some(true),
        Some(text) => r.value("budgets.kind", text, &kind),
    };
    let at_limit = match &raw.at_limit {
        None => Some(AtLimit::Wait),
        Some(text) => r.value(
            "budgets.at_limit",
            text,
            &word(AtLimit::ALL, AtLimit::as_str),
        ),
    };
    let calendar = calendar(r, "budgets", raw.time_zone.as_ref(), raw.reset_at.as_ref());
    let budget = Budget {
        name: name?,
        scope: scope?,
        limit: limit?,
        period: period?,
        calendar,
        hard: hard?,
        at_limit: at_limit?,
    };
    without_effect(r, raw, &budget);
    Some(budget)
}

/// Tells of settings that would do nothing, because whoever wrote them expects something.
fn without_effect(r: &mut Reader<'_>, raw: &RawBudget, budget: &Budget) {
    let at_limit = raw.at_limit.as_ref().filter(|_| !budget.hard);
    if let Some(text) = at_limit {
        let problem = "`budgets.at_limit` is for a hard budget, and this one is soft: it only warns; \
                       leave `at_limit` out, or write `kind: hard`";
        r.problem_at(text, problem);
    }
    if matches!(budget.period, Period::Day | Period::Month) {
        return;
    }
    for (name, written) in [("time_zone", &raw.time_zone), ("reset_at", &raw.reset_at)] {
        if let Some(text) = written {
            let problem = format!(
                "`budgets.{name}` is for `per: day` and `per: month`, and this budget is `per: {}`; \
                 leave it out",
                budget.period
            );
            r.problem_at(text, problem);
        }
    }
}

fn scope(r: &mut Reader<'_>, raw: &RawBudget, catalog: &Catalog) -> Option<Scope> {
    let whose = Form::new(
        "one of overall, provider, tenant, chain",
        |text| match text {
            "overall" => Some(Whose::Overall),
            "provider" => Some(Whose::Provider),
            "tenant" => Some(Whose::Tenant),
            "chain" => Some(Whose::Chain),
            _ => None,
        },
    );
    let of = raw.of.as_ref();
    match needed(r, raw, "scope", raw.scope.as_ref(), &whose)? {
        Whose::Overall => match of {
            None => Some(Scope::Overall),
            Some(of) => {
                let text = "`budgets.of` is for the scopes provider, tenant and chain; leave it out, or \
                            change `scope`";
                r.problem_at(of, text);
                None
            }
        },
        Whose::Provider => needed(r, raw, "of", of, &provider(catalog)).map(Scope::Provider),
        Whose::Tenant => one_or_each(r, of, Scope::Tenant),
        Whose::Chain => one_or_each(r, of, Scope::Chain),
    }
}

/// A known provider, by its name or an alias.
fn provider(catalog: &Catalog) -> Form<PlatformName> {
    let names = catalog.providers.iter().map(|known| known.name.as_str());
    let expected = format!("one of {}", list(names));
    let catalog = catalog.clone();
    Form::new(expected, move |text| {
        catalog.platform(text).map(|known| known.name.clone())
    })
}

/// The scope of the tenant or chain that `of` names; without it, of each by itself.
fn one_or_each(
    r: &mut Reader<'_>,
    of: Option<&Text>,
    scope: fn(Option<String>) -> Scope,
) -> Option<Scope> {
    let form = Form::new(NAME, |text| {
        is_line(text, NAME_LENGTH).then(|| text.to_owned())
    });
    match of {
        None => Some(scope(None)),
        Some(of) => r
            .value("budgets.of", of, &form)
            .map(|name| scope(Some(name))),
    }
}

/// A budget's name. It stands in keys of Redis, with a colon after it.
fn name() -> Form<String> {
    Form::new("1 to 64 characters of [A-Za-z0-9._-]", |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ((1..=64).contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
    })
}

fn needed<T>(
    r: &mut Reader<'_>,
    raw: &RawBudget,
    name: &str,
    written: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    let at = format!("budgets.{name}");
    match written {
        Some(text) => r.value(&at, text, form),
        None => missing(r, raw.somewhere(), &at, &form.expected),
    }
}
