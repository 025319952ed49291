//! Values in the form that Postgres accepts.
//!
//! One value that Postgres rejects would block the whole batch.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

/// The longest label. An index entry has at most 2,704 bytes, and a character at most four.
const LABEL_CHARS: usize = 256;

/// Removes NUL, the one character that Postgres cannot store.
pub(crate) fn without_nul(value: &str) -> Cow<'_, str> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', ""))
    } else {
        Cow::Borrowed(value)
    }
}

pub(crate) fn optional_without_nul(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|value| without_nul(value))
}

/// Truncates a text of an indexed column. Queries must truncate their arguments in the same way.
pub(crate) fn label(value: &str) -> Cow<'_, str> {
    let value = without_nul(value);
    if value.len() > LABEL_CHARS && value.chars().nth(LABEL_CHARS).is_some() {
        Cow::Owned(value.chars().take(LABEL_CHARS).collect())
    } else {
        value
    }
}

pub(crate) fn optional_label(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|value| label(value))
}

/// Clamps a time to 1970: the years of Postgres begin in 4713 BC, those of chrono earlier.
pub(crate) fn timestamp(at: DateTime<Utc>) -> DateTime<Utc> {
    at.max(DateTime::UNIX_EPOCH)
}

pub(crate) fn optional_timestamp(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.map(timestamp)
}

/// Converts ms since the epoch. An impossible time becomes 1970.
pub(crate) fn timestamp_from_ms(ms: i64) -> DateTime<Utc> {
    timestamp(DateTime::from_timestamp_millis(ms).unwrap_or_default())
}

pub(crate) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn integer(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A value as JSON that `jsonb` accepts.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    let json = serde_json::to_string(value).ok()?;
    if json.contains("\\u0000") {
        let value: Value = serde_json::from_str(&json).ok()?;
        serde_json::to_string(&json_without_nul(&value)).ok()
    } else {
        Some(json)
    }
}

fn json_without_nul(value: &Value) -> Value {
    match value {
        Value::String(string) => Value::String(without_nul(string).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(json_without_nul).collect()),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (without_nul(key).into_owned(), json_without_nul(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_removed_from_keys_and_nested_values() {
        let Value::Object(map) = json!({"a\0": ["\0x", {"b": "y\0"}], "c": "\\u0000", "d": 1.5})
        else {
            panic!("an object");
        };
        let back: Value = serde_json::from_str(&json(&map).unwrap()).unwrap();
        assert_eq!(
            back,
            json!({"a": ["x", {"b": "y"}], "c": "\\u0000", "d": 1.5})
        );
        assert_eq!(without_nul("a\0b\0"), "ab");
    }

    #[test]
    fn labels_are_truncated_between_characters() {
        assert_eq!(label(&"ä".repeat(256)), "ä".repeat(256));
        assert_eq!(label(&"ä".repeat(300)), "ä".repeat(256));
    }
}
