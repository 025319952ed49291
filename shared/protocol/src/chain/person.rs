//! Steps that ask a person.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    OnFailure, Work,
    check::Draft,
    faults::{Faults, Location},
    parse::object,
    template::{self, Uses},
    work::work_without_call,
};
use crate::{
    envelope::{
        MalformedCode,
        fields::{self, Fields, Input, Read},
        json::Kind,
        shortened,
    },
    review::DefaultVerdict,
};

/// The job type of a step that asks a person.
const TYPE: &str = "review";

/// The longest deadline.
const LONGEST: Duration = Duration::from_hours(365 * 24);

const DEADLINE: &str =
    "seconds, or a number with a unit (s, m, h, d or w) such as 24h, over 0 and up to 365d";

/// What a step asks a person. Question and artefact may be templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub question: String,
    /// What the question is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    /// How long after the question `default` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultVerdict>,
    /// Who is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
}

/// The field `person` and what its texts read.
#[derive(Debug, Default)]
pub(super) struct PersonField {
    pub(super) person: Option<Person>,
    pub(super) uses: Vec<(String, Uses)>,
}

/// Takes the field `person` and all that describes a job; `None` if the step has no such field.
pub(super) fn take_person(
    members: &mut Fields<'_>,
    location: &Location,
    faults: &mut Faults,
) -> Option<PersonField> {
    let input = members
        .0
        .remove("person")
        .filter(|input| !input.is_null())?;
    let place = location.within("field `person`");
    let Input::Json(value) = input else {
        return Some(PersonField::default());
    };
    Some(person(value, &place, faults))
}

fn person(value: &RawValue, place: &Location, faults: &mut Faults) -> PersonField {
    let Some(mut members) = object(value, "what a person is asked", place, faults) else {
        return PersonField::default();
    };
    let before = faults.count();
    let question = faults.kept(place, members.take("question", fields::prompt));
    let artefact = faults.kept(place, members.take("artefact", fields::prompt));
    let deadline = faults.kept(place, members.take("deadline", deadline));
    let default = faults.kept(place, members.take("default", default));
    let asks = faults.kept(place, members.take("asks", fields::name));
    for (name, _) in members.0.iter() {
        let name = shortened(name);
        faults.add(
            place,
            format!("field `{name}`: expected question, artefact, deadline, default or asks"),
        );
    }
    if faults.count() == before {
        check_pair(deadline.is_some(), default.is_some(), place, faults);
        if question.is_none() {
            faults.add(place, "field `question`: expected text, but there is none");
        }
    }
    let mut uses = Vec::new();
    for (name, text) in [("question", &question), ("artefact", &artefact)] {
        if let Some(text) = text {
            uses.extend(uses_of(name, text, place, faults));
        }
    }
    let person = question
        .filter(|_| faults.count() == before)
        .map(|question| Person {
            question,
            artefact,
            deadline_ms: deadline,
            default,
            asks,
        });
    PersonField { person, uses }
}

fn check_pair(has_deadline: bool, has_default: bool, place: &Location, faults: &mut Faults) {
    let missing = match (has_deadline, has_default) {
        (true, false) => {
            "field `default`: expected approve or reject beside `deadline`, but there is none"
        }
        (false, true) => "field `deadline`: expected it beside `default`, but there is none",
        _ => return,
    };
    faults.add(place, missing);
}

/// What a text reads, if it is a template.
fn uses_of(
    name: &str,
    text: &str,
    place: &Location,
    faults: &mut Faults,
) -> Option<(String, Uses)> {
    if !template::is_template(text) {
        return None;
    }
    match template::uses(text) {
        Ok(found) => Some((format!("field `person`: field `{name}`"), found)),
        Err(wrong) => {
            for wrong in wrong {
                faults.add(place, format!("field `{name}`: {wrong}"));
            }
            None
        }
    }
}

/// Milliseconds.
fn deadline(input: Input<'_>) -> Read<u64> {
    let text = match input {
        Input::Json(value) if Kind::detect(value) == Kind::Number => value.get().to_owned(),
        _ => input.text(DEADLINE)?,
    };
    let unit_start = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_start);
    let unit = match unit {
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        "w" => Some(604_800.0),
        _ => None,
    };
    let number = Some(number).filter(|number| fields::is_decimal(number));
    let number = number.and_then(|number| number.parse::<f64>().ok());
    let read = number
        .zip(unit)
        .and_then(|(number, unit)| Duration::try_from_secs_f64(number * unit).ok());
    read.filter(|read| !read.is_zero() && *read <= LONGEST)
        .and_then(|read| u64::try_from(read.as_millis()).ok())
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, DEADLINE))
}

fn default(input: Input<'_>) -> Read<DefaultVerdict> {
    const EXPECTED: &str = "approve or reject";
    DefaultVerdict::from_name(&input.text(EXPECTED)?)
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))
}

/// The job of a step that asks a person. It has no field of a call.
pub(super) fn person_work(
    members: &mut Fields<'_>,
    location: &Location,
    faults: &mut Faults,
) -> Option<Work> {
    work_without_call(
        (TYPE, "Ask a person."),
        members,
        location,
        faults,
        beside_person,
    )
}

/// Checks the fields of the step beside `person`.
pub(super) fn check_person(draft: &Draft, has_merge: bool, faults: &mut Faults) {
    if draft.person.is_none() {
        return;
    }
    let beside = [
        ("models", draft.models.is_some()),
        ("merge", has_merge),
        ("not_by", draft.not_by.is_some()),
        ("gate", draft.gate.is_some()),
        ("extract", draft.extract.is_some()),
        ("validate", draft.validate.is_some()),
    ];
    for (field, _) in beside.into_iter().filter(|(_, is_set)| *is_set) {
        faults.add(&draft.location, beside_person(field));
    }
    if draft.on_failure == OnFailure::Escalate {
        faults.add(
            &draft.location,
            "field `on_failure`: a person has no higher tier: expected fail or continue",
        );
    }
}

fn beside_person(field: &str) -> String {
    format!(
        "field `{field}`: cannot stand beside `person`: a person is asked, and no model is called"
    )
}
