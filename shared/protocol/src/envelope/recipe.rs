//! The fields of a job that a recipe answers.

use serde_json::{Map, Value, value::RawValue};

use super::{
    fields::{Fields, Input, Problem, Read, decoded, whole},
    json::{Kind, Members, Shape},
    malformed::{MalformedCode, shortened},
    objects::nothing_else,
    params,
    parse::Reading,
};
use crate::{
    call::Parameter,
    chain::template,
    recipe::{EXPECTED_NAME, MAX_ROUNDS, RecipeCall, RecipeName, Repeat},
};

/// The most bytes of the parameters.
const PARAMETER_BYTES: usize = 64 * 1024;

/// Fields that describe a single call, beside the parameters of calls.
const OF_A_CALL: &[&str] = &[
    "system",
    "platform",
    "model",
    "timeout",
    "retry",
    "fallback",
    "spawn",
    "concurrency_key",
    "concurrency_limit",
];

/// Reads what a job says about its recipe.
pub(super) fn recipe(r: &mut Reading<'_, '_>) -> Option<RecipeCall> {
    let name = r.take("recipe", name);
    let parameters = r.take("parameters", parameters);
    let repeat = r.take("repeat", repeat);
    let Some(name) = name else {
        if !r.is_wrong("recipe") {
            let beside = [
                ("parameters", parameters.is_some()),
                ("repeat", repeat.is_some()),
            ];
            for (field, _) in beside.into_iter().filter(|(_, is_given)| *is_given) {
                r.lacks(field, "recipe");
            }
        }
        return None;
    };
    Some(RecipeCall {
        name,
        parameters: parameters.unwrap_or_default(),
        repeat,
    })
}

/// The fields of a message with a recipe that describe a single call.
pub(super) fn given_of_a_call(fields: &Fields<'_>) -> Vec<String> {
    if fields.0.get("recipe").is_none() {
        return Vec::new();
    }
    let given = fields.0.iter().filter(|(_, input)| !input.is_null());
    given
        .map(|(name, _)| name)
        .filter(|name| OF_A_CALL.contains(name) || is_parameter(name))
        .map(str::to_owned)
        .collect()
}

fn is_parameter(name: &str) -> bool {
    Parameter::from_name(name).is_some() || params::STRUCTURED.contains(&name)
}

/// Refuses the fields of a single call: the recipe decides about its calls.
pub(super) fn refuse(fields: &[String], r: &mut Reading<'_, '_>) {
    for field in fields {
        r.add(
            MalformedCode::BadValue,
            field,
            "the recipe decides this: leave it out, or set a parameter of the recipe in `parameters`",
        );
    }
}

fn name(input: Input<'_>) -> Read<RecipeName> {
    let text = input.text(EXPECTED_NAME)?;
    RecipeName::parse(&text).map_err(|_| input.is_not(MalformedCode::BadValue, EXPECTED_NAME))
}

fn parameters(input: Input<'_>) -> Read<Map<String, Value>> {
    let json = input.of_kind(Kind::Object, "an object of the recipe's parameters")?;
    let size = Shape::measure(json).compact;
    if size > PARAMETER_BYTES {
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message: format!("expected at most {PARAMETER_BYTES} bytes, but got {size}"),
        });
    }
    decoded(json)
}

fn repeat(input: Input<'_>) -> Read<Repeat> {
    const EXPECTED: &str = "an object of `until`, an expression, and `at_most`, a number of rounds";
    let mut members: Members<'_> = decoded(input.of_kind(Kind::Object, EXPECTED)?)?;
    let until = member(&mut members, "until", |value| {
        let text = value.text("an expression, such as \"steps.review.ok\"")?;
        template::check_expression(&text).map_err(bad)?;
        Ok(text)
    })?;
    let at_most = member(&mut members, "at_most", |value| {
        whole(value, 1..=MAX_ROUNDS)
    })?;
    nothing_else(&members, "until and at_most")?;
    Ok(Repeat { until, at_most })
}

fn member<'a, T>(
    members: &mut Members<'a>,
    name: &str,
    read: impl FnOnce(Input<'a>) -> Read<T>,
) -> Read<T> {
    let value: Option<&'a RawValue> = members.take(name);
    let value =
        value.ok_or_else(|| bad(format!("expected `{}`, but there is none", shortened(name))))?;
    read(Input::Json(value)).map_err(|problem| problem.at(format_args!("`{name}`")))
}

fn bad(message: String) -> Problem {
    Problem {
        code: MalformedCode::BadValue,
        message,
    }
}
