//! Reads the section `budgets:`.

use longshore_policy::{
    catalog::{missing, word},
    limits::{
        AtLimit, Budget, BudgetScope, Period,
        settings::{calendar, dollars},
    },
};
use longshore_protocol::money::Usd;
use longshore_settings::{Form, Placed as _, Reader, Text};

use super::{NAME, NAME_LENGTH, is_line};
use crate::{
    routing::{Known, provider_form},
    table::RawBudget,
};

#[derive(Clone, Copy)]
enum ScopeKind {
    Overall,
    Provider,
    Tenant,
    Chain,
}

impl ScopeKind {
    const ALL: &[Self] = &[Self::Overall, Self::Provider, Self::Tenant, Self::Chain];

    fn as_str(self) -> &'static str {
        match self {
            Self::Overall => "overall",
            Self::Provider => "provider",
            Self::Tenant => "tenant",
            Self::Chain => "chain",
        }
    }
}

/// Reads the budgets, in the order of the file.
pub(crate) fn budgets(r: &mut Reader<'_>, raws: &[RawBudget], known: Known<'_>) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    for raw in raws {
        let Some(budget) = budget(r, raw, known) else {
            continue;
        };
        if let Some(written) = &raw.name {
            r.record_origin(&format!("budgets.{}", budget.name), written);
        }
        if budgets.iter().any(|other| other.name == budget.name) {
            let text = format!("the budget `{}` is defined twice; rename one", budget.name);
            if let Some(written) = &raw.name {
                r.problem_at(written, text);
            }
        }
        budgets.push(budget);
    }
    budgets
}

fn budget(r: &mut Reader<'_>, raw: &RawBudget, known: Known<'_>) -> Option<Budget> {
    let name = required(r, raw, "name", raw.name.as_ref(), &name_form());
    let scope = scope(r, raw, known);
    let limit: Option<Usd> = required(r, raw, "limit_usd", raw.limit_usd.as_ref(), &dollars());
    let period = required(
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
    report_settings_without_effect(r, raw, hard, period);
    Some(Budget {
        name: name?,
        scope: scope?,
        limit: limit?,
        period: period?,
        calendar,
        hard: hard?,
        at_limit: at_limit?,
    })
}

/// Reports settings that have no effect, because their author expects one. What is not known has all effects.
fn report_settings_without_effect(
    r: &mut Reader<'_>,
    raw: &RawBudget,
    hard: Option<bool>,
    period: Option<Period>,
) {
    let at_limit = raw.at_limit.as_ref().filter(|_| hard == Some(false));
    if let Some(text) = at_limit {
        let problem = "`budgets.at_limit` is for a hard budget, and this one is soft: it only warns; \
                       leave `at_limit` out, or write `kind: hard`";
        r.problem_at(text, problem);
    }
    let Some(period @ (Period::Hour | Period::Ever)) = period else {
        return;
    };
    for (name, written) in [("time_zone", &raw.time_zone), ("reset_at", &raw.reset_at)] {
        if let Some(text) = written {
            let problem = format!(
                "`budgets.{name}` is for `per: day` and `per: month`, and this budget is `per: {period}`; \
                 leave it out"
            );
            r.problem_at(text, problem);
        }
    }
}

fn scope(r: &mut Reader<'_>, raw: &RawBudget, known: Known<'_>) -> Option<BudgetScope> {
    let kind = word(ScopeKind::ALL, ScopeKind::as_str);
    let of = raw.of.as_ref();
    match required(r, raw, "scope", raw.scope.as_ref(), &kind)? {
        ScopeKind::Overall => match of {
            None => Some(BudgetScope::Overall),
            Some(of) => {
                let text = "`budgets.of` is for the scopes provider, tenant and chain; leave it out, or \
                            change `scope`";
                r.problem_at(of, text);
                None
            }
        },
        ScopeKind::Provider => {
            required(r, raw, "of", of, &provider_form(known)).map(BudgetScope::Provider)
        }
        ScopeKind::Tenant => one_or_each(r, of, BudgetScope::Tenant),
        ScopeKind::Chain => one_or_each(r, of, BudgetScope::Chain),
    }
}

/// The scope of the tenant or chain that `of` names; without it, of each by itself.
fn one_or_each(
    r: &mut Reader<'_>,
    of: Option<&Text>,
    scope: fn(Option<String>) -> BudgetScope,
) -> Option<BudgetScope> {
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

/// A budget's name. Redis keys contain it, followed by a colon.
fn name_form() -> Form<String> {
    Form::new("1 to 64 characters of [A-Za-z0-9._-]", |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ((1..=64).contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
    })
}

fn required<T>(
    r: &mut Reader<'_>,
    raw: &RawBudget,
    name: &str,
    written: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    let at = format!("budgets.{name}");
    match written {
        Some(text) => r.value(&at, text, form),
        None => missing(r, Some(raw.place()), &at, &form.expected),
    }
}
