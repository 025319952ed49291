//! Filters and cursors for lists of dead letters.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::id::{EntryId, QueueName};

/// Selects the dead letters that meet every given condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetterFilter {
    /// One of these reasons; any reason if empty.
    pub reasons: Vec<String>,
    pub task_type: Option<String>,
    /// The platform of the last failure.
    pub platform: Option<String>,
    /// Excludes dead letters whose last failure was on one of these platforms.
    pub not_platforms: Vec<String>,
    pub tenant: Option<String>,
    pub chain_id: Option<String>,
    pub queue: Option<QueueName>,
    /// Contained in the error, whatever the case of its ASCII letters.
    pub error: Option<String>,
    /// Replayed fewer times than this.
    pub replays_below: Option<u32>,
}

impl DeadLetterFilter {
    /// The filter as the argument of the script that scans dead letters: substrings of the stored JSON.
    /// The match is exact because Longshore writes all of that JSON in one format.
    pub fn parts(&self) -> Value {
        let queue = self.queue.as_ref().map(QueueName::as_str);
        let all: Vec<String> = [
            ("queue", queue),
            ("task_type", self.task_type.as_deref()),
            ("platform", self.platform.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("chain_id", self.chain_id.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(member(name, value?)))
        .collect();
        let each = |name: &str, values: &[String]| -> Vec<String> {
            values.iter().map(|value| member(name, value)).collect()
        };
        let any = each("reason", &self.reasons);
        let none = each("platform", &self.not_platforms);
        let mut parts = json!({"all": all, "any": any, "none": none});
        if let (Some(replays), Value::Object(parts)) = (self.replays_below, &mut parts) {
            parts.insert("replays".to_owned(), replays.into());
        }
        if let (Some(error), Value::Object(parts)) = (&self.error, &mut parts) {
            parts.insert("error".to_owned(), error.to_ascii_lowercase().into());
        }
        parts
    }
}

/// A member of a JSON object, as in the stored JSON.
fn member(name: &str, value: &str) -> String {
    format!("\"{name}\":{}", Value::from(value))
}

/// The order of a list of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterOrder {
    OldestFirst,
    NewestFirst,
}

impl DeadLetterOrder {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OldestFirst => "oldest",
            Self::NewestFirst => "newest",
        }
    }
}

/// A query for a page of dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetterQuery {
    pub filter: DeadLetterFilter,
    /// The range of their times (ms), both ends included.
    pub span: RangeInclusive<i64>,
    pub order: DeadLetterOrder,
    /// Starts after this position; from the start if absent.
    pub after: Option<DeadLetterCursor>,
}

/// A position in the list of dead letters, as `MS:ENTRY_ID`. It stays valid after its dead letter is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCursor {
    /// When the dead letter was written (ms).
    pub died_ms: i64,
    pub entry_id: EntryId,
}

impl fmt::Display for DeadLetterCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.died_ms, self.entry_id)
    }
}

impl FromStr for DeadLetterCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(died, entry_id)| {
            Some(Self {
                died_ms: died.parse().ok().filter(|died| *died >= 0)?,
                entry_id: EntryId::parse(entry_id).ok()?,
            })
        });
        parts.ok_or_else(|| {
            format!("expected a cursor as the last page gave it, such as 1790000000000:1789999999000-0, but got `{text}`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_parts_of_a_record() {
        let filter = DeadLetterFilter {
            reasons: vec!["timeout".to_owned()],
            task_type: Some("re\"search\n".to_owned()),
            not_platforms: vec!["sim".to_owned()],
            queue: Some(QueueName::default()),
            error: Some("HTTP 400: \"No\"".to_owned()),
            replays_below: Some(3),
            ..DeadLetterFilter::default()
        };
        let expected = json!({
            "all": ["\"queue\":\"default\"", r#""task_type":"re\"search\n""#],
            "any": ["\"reason\":\"timeout\""],
            "none": ["\"platform\":\"sim\""],
            "replays": 3,
            "error": "http 400: \"no\"",
        });
        assert_eq!(filter.parts(), expected);
        let empty = json!({"all": [], "any": [], "none": []});
        assert_eq!(DeadLetterFilter::default().parts(), empty);
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        for text in ["5:9-0", "1790000000000:bulk:9-0", "5:~bulk:9-0"] {
            assert_eq!(text.parse::<DeadLetterCursor>().unwrap().to_string(), text);
        }
        for wrong in ["", "9-0", "x:9-0", "5:", "-1:9-0", "5:inv-42", "5:a b:9-0"] {
            assert!(wrong.parse::<DeadLetterCursor>().is_err(), "{wrong}");
        }
    }
}
