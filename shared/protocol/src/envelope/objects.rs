//! Readers of fields that are lists or objects.

use serde_json::{Map, Value, value::RawValue};

use super::{
    Retry,
    fields::{Input, Problem, Read, decoded, is_plain, whole},
    json::{Kind, Members, Shape},
    malformed::{MalformedCode, shortened},
    times::delay,
};
use crate::call::{ChatMessage, Role};

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

/// The conversation.
pub(crate) fn messages(input: Input<'_>) -> Read<Vec<ChatMessage>> {
    const EXPECTED: &str = "a list of objects, each with a `role` and a `content`";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    if list.is_empty() {
        return Err(input.is_not(MalformedCode::NoPrompt, "at least one message"));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, json)| {
            turn(json).map_err(|problem| Problem {
                message: format!("message {}: {}", index + 1, problem.message),
                ..problem
            })
        })
        .collect()
}

fn turn(json: &RawValue) -> Read<ChatMessage> {
    let kind = Kind::detect(json);
    if kind != Kind::Object {
        return Err(Problem {
            code: MalformedCode::WrongType,
            message: format!("expected an object, but got {}", kind.name()),
        });
    }
    let mut members: Members<'_> = decoded(json.get())?;
    let role = member_text(&mut members, "role")?;
    let role = Role::from_name(&role).ok_or_else(|| Problem {
        code: MalformedCode::BadValue,
        message: format!(
            "expected `role` to be system, user or assistant, but got \"{}\"",
            shortened(&role)
        ),
    })?;
    let content = member_text(&mut members, "content")?;
    let extra = members
        .by_name
        .into_iter()
        .map(|(name, value)| Ok((name.into_owned(), decoded(value.get())?)))
        .collect::<Read<_>>()?;
    Ok(ChatMessage {
        role,
        content,
        extra,
    })
}

/// A text member of a chat message. Errors do not quote it: it may be long and private.
fn member_text(members: &mut Members<'_>, name: &str) -> Read<String> {
    let Some(value) = members.by_name.remove(name) else {
        return Err(Problem {
            code: MalformedCode::BadValue,
            message: format!("expected `{name}`, but there is none"),
        });
    };
    match Kind::detect(value) {
        Kind::Text => decoded(value.get()),
        kind => Err(Problem {
            code: MalformedCode::WrongType,
            message: format!("expected `{name}` to be text, but got {}", kind.name()),
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
    if let Some((unknown, _)) = members.by_name.iter().next() {
        return Err(Problem {
            code: MalformedCode::BadValue,
            message: format!(
                "expected max_retries, base_delay and max_delay, but got `{}`",
                shortened(unknown)
            ),
        });
    }
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
        .map_err(|problem| Problem {
            message: format!("`{name}`: {}", problem.message),
            ..problem
        })
}
