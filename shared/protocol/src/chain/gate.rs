//! Steps that run a gate: a command of the worker's configuration, which a job can only name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    OnFailure, Work,
    check::Draft,
    faults::{Faults, Location},
    work::work_without_call,
};
use crate::envelope::{
    MalformedCode,
    fields::{Fields, Input, Read},
};

/// The longest name of a gate.
const LONGEST_NAME: usize = 64;

/// The job type of a step that runs a gate.
const TYPE: &str = "gate";

const EXPECTED: &str = "the name of a gate: 1 to 64 characters of [A-Za-z0-9._-]";

/// A name of an invalid form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gate name `{0}` is not valid: expected 1 to 64 characters of [A-Za-z0-9._-]")]
pub struct BadGateName(String);

/// The name of a gate in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateName(String);

impl GateName {
    pub fn parse(text: &str) -> Result<Self, BadGateName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadGateName(text.chars().take(LONGEST_NAME).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GateName {
    type Err = BadGateName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_enum! {
    /// Why a gate failed, other than by the exit code of its command.
    GateReason {
        /// The command ran longer than its timeout.
        Timeout = "timeout",
        /// The command printed more than `max_output`.
        Output = "output",
        /// A line of the output matched `warnings`.
        Warnings = "warnings",
        /// A signal ended the command.
        Signal = "signal",
        /// The command ran out of `max_memory`.
        Memory = "memory",
    }
}

/// How the command of a gate ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    pub gate: GateName,
    /// Null if the command was killed.
    pub exit_code: Option<i32>,
    /// Null if the exit code says it all.
    pub reason: Option<GateReason>,
    pub duration_ms: u64,
    /// All that the command printed, also what is not kept.
    pub output_bytes: u64,
    /// The lines that matched `warnings`.
    pub warnings: u64,
}

impl GateResult {
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0) && self.reason.is_none()
    }
}

/// Reads the field `gate`.
pub(super) fn gate_name(input: Input<'_>) -> Read<GateName> {
    let text = input.text(EXPECTED)?;
    GateName::parse(&text).map_err(|_| input.is_not(MalformedCode::BadValue, EXPECTED))
}

/// The job of a step that runs a gate. It has no field of a call.
pub(super) fn gate_work(
    gate: &GateName,
    members: &mut Fields<'_>,
    location: &Location,
    faults: &mut Faults,
) -> Option<Work> {
    let prompt = format!("Run the gate `{gate}`.");
    work_without_call((TYPE, &prompt), members, location, faults, beside_gate)
}

/// Checks the fields of the step beside `gate`.
pub(super) fn check_gate(draft: &Draft, has_merge: bool, faults: &mut Faults) {
    if draft.gate.is_none() {
        return;
    }
    let beside = [
        ("gather", draft.gather.is_some()),
        ("models", draft.models.is_some()),
        ("merge", has_merge),
        ("not_by", draft.not_by.is_some()),
        ("extract", draft.extract.is_some()),
    ];
    for (field, _) in beside.into_iter().filter(|(_, is_set)| *is_set) {
        faults.add(&draft.location, beside_gate(field));
    }
    if draft.on_failure == OnFailure::Escalate {
        faults.add(
            &draft.location,
            "field `on_failure`: a gate has no higher tier: expected fail or continue",
        );
    }
}

fn beside_gate(field: &str) -> String {
    format!(
        "field `{field}`: cannot stand beside `gate`: a gate runs a command of the configuration, and no model is called"
    )
}
