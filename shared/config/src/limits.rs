//! Limits, budgets, tenants' shares, warnings and circuit breakers, as they are written in
//! `longshore.yaml`.

use std::{collections::BTreeMap, time::Duration};

use longshore_policy::limits::{Circuit, Tenants};
use longshore_protocol::envelope::is_line;
use longshore_settings::{
    Entries, Origin, Reader, Text, form::duration, form::spelled, form::whole,
};
use serde::Deserialize;

pub(super) use budgets::{RawBudget, budgets};

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

const NAME_LENGTH: usize = 200;
const NAME: &str = "1 to 200 characters without control characters";

#[cfg(test)]
mod tests;
