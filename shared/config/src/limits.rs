//! Reads budgets, the weights of tenants, the limits of queues, and circuit breakers.

use std::collections::BTreeMap;

use longshore_policy::limits::{Circuit, Tenants};
use longshore_protocol::envelope::is_line;
use longshore_settings::{Entries, Reader, duration::format_duration, form::whole};

pub(super) use budgets::budgets;
pub(super) use queues::queue_limits;

use crate::table::{RawCircuit, RawTenant};

mod budgets;
mod queues;

const NAME_LENGTH: usize = 200;
const NAME: &str = "1 to 200 characters without control characters";

/// Reads the section `tenants:`.
pub(super) fn tenants(r: &mut Reader<'_>, raw: &Entries<Option<RawTenant>>) -> Tenants {
    let form = whole(1..=1_000);
    let mut weights = BTreeMap::new();
    for (tenant, raw) in &raw.0 {
        let name = tenant.as_str();
        if !is_line(name, NAME_LENGTH) {
            let text = format!("the tenant's name is not valid; expected {NAME}");
            r.problem_at(tenant, text);
            continue;
        }
        let path = format!("tenants.{name}.weight");
        let written = raw.as_ref().and_then(|raw| raw.weight.as_ref());
        let weight = written.and_then(|text| {
            r.record_origin(&path, text);
            r.value(&path, text, &form)
        });
        weights.extend(weight.map(|weight| (name.to_owned(), weight)));
    }
    Tenants { weights }
}

/// Reads the section `circuit:`.
pub(super) fn circuit(r: &mut Reader<'_>, raw: &RawCircuit) -> Circuit {
    let mut circuit = Circuit::default();
    RawCircuit::settings().read(r, raw, &mut circuit);
    if circuit.cooldown > circuit.max_cooldown {
        let text = format!(
            "`circuit.cooldown` ({}) is longer than `circuit.max_cooldown` ({})",
            format_duration(circuit.cooldown),
            format_duration(circuit.max_cooldown)
        );
        r.problem_with_settings(&["circuit.cooldown", "circuit.max_cooldown"], text);
    }
    circuit
}

#[cfg(test)]
mod tests;
