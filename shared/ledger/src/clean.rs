//! What comes from outside, in a form that Postgres takes.
//!
//! One value that Postgres refuses would hold up everything recorded with it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

/// The longest label: an index takes no entry of over 2,704 bytes, and four bytes a character are
/// the most.
const LABEL_CHARS: usize = 256;

/// A text without the one character that Postgres cannot store.
pub(super) fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', ""))
    } else {
        Cow::Borrowed(value)
    }
}

/// As [`text`], of a text that may be absent.
pub(super) fn maybe(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|value| text(value))
}

/// A text that is looked for by an index. Questions must cut theirs the same way.
pub(super) fn label(value: &str) -> Cow<'_, str> {
    let value = text(value);
    if value.len() > LABEL_CHARS && value.chars().nth(LABEL_CHARS).is_some() {
        Cow::Owned(value.chars().take(LABEL_CHARS).collect())
    } else {
        value
    }
}

/// As [`label`], of a label that may be absent.
pub(super) fn maybe_label(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|value| label(value))
}

/// An instant that Postgres can hold: its years begin at 4713 BC, chrono's long before.
pub(super) fn instant(at: DateTime<Utc>) -> DateTime<Utc> {
    at.max(DateTime::UNIX_EPOCH)
}

/// A count for a `bigint`.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count for an `integer`.
pub(super) fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A value as JSON text that `jsonb` takes.
pub(super) fn json(value: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(value).ok()?;
    if json.contains("\\u0000") {
        let value: Value = serde_json::from_str(&json).ok()?;
        serde_json::to_string(&cleaned(&value)).ok()
    } else {
        Some(json)
    }
}

fn cleaned_map(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .map(|(key, value)| (text(key).into_owned(), cleaned(value)))
        .collect()
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(string).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(cleaned).collect()),
        Value::Object(map) => Value::Object(cleaned_map(map)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_goes_wherever_it_stands() {
        let Value::Object(map) = json!({"a\0": ["\0x", {"b": "y\0"}], "c": "\\u0000", "d": 1.5})
        else {
            panic!("an object");
        };
        let back: Value = serde_json::from_str(&json(&map).unwrap()).unwrap();
        assert_eq!(
            back,
            json!({"a": ["x", {"b": "y"}], "c": "\\u0000", "d": 1.5})
        );
        assert_eq!(text("a\0b\0"), "ab");
    }

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(label(&"ä".repeat(256)), "ä".repeat(256));
        assert_eq!(label(&"ä".repeat(300)), "ä".repeat(256));
    }
}
