//! Readers of fields that are lists or objects.

use serde_json::{Map, Value, value::RawValue};

use super::{
    Retry,
    fields::{Input, Problem, Read, decoded, is_plain, whole},
    json::{Kind, Members, Shape},
    malformed::{MalformedCode, shortened},
    times::delay,
};

/// The most bytes of metadata.
const METADATA_BYTES: usize = 64 * 1024;

const RETRY: &str = "the name of a retry policy, 1 to 64 characters of [A-Za-z0-9._-], or an \
                     object of max_retries, base_delay and max_delay";

pub(super) fn response_format(input: Input<'_>) -> Read<Value> {
    decoded(input.of_kind(Kind::Object, "an object, as OpenAI's response_format")?)
}

pub(crate) fn metadata(input: Input<'_>) -> Read<Map<String, Value>> {
    let json = input.of_kind(Kind::Object, "an object")?;
    let size = Shape::measure(json).compact;
    if size > METADATA_BYTES {
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message: format!("expected at most {METADATA_BYTES} bytes, but got {size}"),
        });
    }
    decoded(json)
}

/// The members of an object in a list.
pub(super) fn object(json: &RawValue) -> Read<Members<'_>> {
    match Kind::detect(json) {
        Kind::Object => decoded(json.get()),
        kind => Err(Problem {
            code: MalformedCode::WrongType,
            message: format!("expected an object, but got {}", kind.name()),
        }),
    }
}

/// Rejects members that have not been taken.
pub(super) fn nothing_else(members: &Members<'_>, expected: &str) -> Read<()> {
    match members.by_name.iter().next() {
        None => Ok(()),
        Some((unknown, _)) => Err(Problem {
            code: MalformedCode::BadValue,
            message: format!("expected {expected}, but got `{}`", shortened(unknown)),
        }),
    }
}

/// The producer's retry settings.
pub(super) fn retry(input: Input<'_>) -> Read<Retry> {
    let json = match input {
        Input::Text(text) if !text.trim_start().starts_with('{') => {
            return policy(input, text.to_owned());
        }
        Input::Json(value) if Kind::detect(value) == Kind::Text => {
            return policy(input, decoded(value.get())?);
        }
        _ => input.of_kind(Kind::Object, RETRY)?,
    };
    let mut members: Members<'_> = decoded(json)?;
    let max_retries = figure(&mut members, "max_retries", |value| whole(value, 0..=20))?;
    let base_delay = figure(&mut members, "base_delay", delay)?;
    let max_delay = figure(&mut members, "max_delay", delay)?;
    nothing_else(&members, "max_retries, base_delay and max_delay")?;
    Ok(Retry::Custom {
        max_retries,
        base_delay,
        max_delay,
    })
}

fn policy(input: Input<'_>, name: String) -> Read<Retry> {
    if is_plain(&name, 64, "._-") {
        Ok(Retry::Policy(name))
    } else {
        Err(input.is_not(MalformedCode::BadValue, RETRY))
    }
}

fn figure<'a, T>(
    members: &mut Members<'a>,
    name: &str,
    read: impl FnOnce(Input<'a>) -> Read<T>,
) -> Read<Option<T>> {
    members
        .take(name)
        .map(|value| read(Input::Json(value)))
        .transpose()
        .map_err(|problem| problem.at(format_args!("`{name}`")))
}
