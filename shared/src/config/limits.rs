//! Limits, budgets, tenants' shares, warnings and circuit breakers, as they are written in
//! `longshore.yaml`.

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveTime;
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{
    Entries, Form, Origin, Reader, Text,
    form::{duration, spelled, whole},
};
use crate::{
    envelope::is_line,
    limits::{Calendar, Circuit, Tenants},
    money::Usd,
};

pub(crate) use accounts::{RawAccountLimits, account_limits, share_accounts};
pub(super) use budgets::{RawBudget, budgets};

mod accounts;
mod budgets;

/// A tenant's share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTenant {
    weight: Option<Text>,
}

/// Circuit breakers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCircuit {
    error_percent: Option<Text>,
    min_calls: Option<Text>,
    window: Option<Text>,
    cooldown: Option<Text>,
    max_cooldown: Option<Text>,
}

/// What to do about the name of a setting that has moved.
pub(super) fn remedy(field: &str) -> Option<&'static str> {
    (field == "max_concurrent")
        .then_some("it belongs in the provider's limits: `limits: {max_concurrent: 50}`")
}

/// The tenants' shares.
pub(super) fn tenants(r: &mut Reader<'_>, raw: &Entries<Option<RawTenant>>) -> Tenants {
    let weight = whole(1..=1_000);
    let mut weights = BTreeMap::new();
    for (tenant, raw) in &raw.0 {
        let name = tenant.as_written();
        if !is_line(name, NAME_LENGTH) {
            r.problem_at(
                tenant,
                format!("the tenant's name is not valid; expected {NAME}"),
            );
            continue;
        }
        let at = format!("tenants.{name}.weight");
        let written = raw.as_ref().and_then(|raw| raw.weight.as_ref());
        if let Some(text) = written {
            r.stands_at(&at, text);
        }
        let weight = written.and_then(|text| r.value(&at, text, &weight));
        weights.extend(weight.map(|weight| (name.to_owned(), weight)));
    }
    Tenants { weights }
}

/// When calls to a failing model are held back.
pub(super) fn circuit(r: &mut Reader<'_>, raw: &RawCircuit) -> Circuit {
    let default = Circuit::default();
    let hour = Duration::from_hours(1);
    let time = duration(Duration::from_millis(100)..=hour);
    let mut time = |name: &str, written: Option<&Text>, default: Duration| {
        r.setting(&format!("circuit.{name}"), written, &time)
            .unwrap_or(default)
    };
    let window = time("window", raw.window.as_ref(), default.window);
    let cooldown = time("cooldown", raw.cooldown.as_ref(), default.cooldown);
    let max_cooldown = time(
        "max_cooldown",
        raw.max_cooldown.as_ref(),
        default.max_cooldown,
    );
    if cooldown > max_cooldown {
        let text = format!(
            "`circuit.cooldown` ({}) is longer than `circuit.max_cooldown` ({})",
            spelled(cooldown),
            spelled(max_cooldown)
        );
        r.problem(Origin::Together, text);
    }
    let percent = raw.error_percent.as_ref();
    let calls = raw.min_calls.as_ref();
    Circuit {
        error_percent: r
            .setting("circuit.error_percent", percent, &whole(1..=100))
            .unwrap_or(default.error_percent),
        min_calls: r
            .setting("circuit.min_calls", calls, &whole(1..=1_000_000))
            .unwrap_or(default.min_calls),
        window,
        cooldown,
        max_cooldown,
    }
}

/// When days and months begin; `at` is where it stands in the file.
fn calendar(
    r: &mut Reader<'_>,
    at: &str,
    time_zone: Option<&Text>,
    reset_at: Option<&Text>,
) -> Calendar {
    let default = Calendar::default();
    let zone = Form::new("a time zone, such as UTC or Europe/Berlin", |text| {
        text.parse::<Tz>().ok()
    });
    let time = Form::new(
        "a time of day in quotes, from \"00:00\" to \"23:59\"",
        |text| {
            let time = NaiveTime::parse_from_str(text, "%H:%M").ok()?;
            (text.len() == 5).then_some(time)
        },
    );
    Calendar {
        time_zone: time_zone
            .and_then(|text| r.value(&format!("{at}.time_zone"), text, &zone))
            .unwrap_or(default.time_zone),
        reset_at: reset_at
            .and_then(|text| r.value(&format!("{at}.reset_at"), text, &time))
            .unwrap_or(default.reset_at),
    }
}

/// The most dollars of a limit: in thousand-millionths, what a double of Lua still holds exactly.
const MOST_DOLLARS: u32 = 9_000_000;

/// Dollars that are a limit.
fn dollars() -> Form<Usd> {
    let expected = format!(
        "US dollars in quotes, above 0 and at most {MOST_DOLLARS}, with at most 9 decimals, such as \"100\""
    );
    Form::new(expected, |text| {
        let amount: Usd = text.parse().ok()?;
        let allowed =
            amount > Usd::ZERO && amount.0 <= Decimal::from(MOST_DOLLARS) && amount.0.scale() <= 9;
        allowed.then_some(amount)
    })
}

const NAME_LENGTH: usize = 200;
const NAME: &str = "1 to 200 characters without control characters";

#[cfg(test)]
mod tests;
