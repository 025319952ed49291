//! A JSON object whose members keep their order and exact text, including the digits of numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object.
#[derive(Debug)]
pub(super) struct Members(pub(super) Vec<(String, Box<RawValue>)>);

impl Members {
    /// An object whose values are strings.
    pub(super) fn from_texts(texts: &[(String, String)]) -> Self {
        Self(
            texts
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.clone(), serde_json::value::to_raw_value(value).ok()?))
                })
                .collect(),
        )
    }

    /// Sets a member at its position, or at the end if it is new; null removes it.
    pub(super) fn set(&mut self, name: &str, value: &RawValue) {
        let at = self.0.iter().position(|(known, _)| known == name);
        self.0.retain(|(known, _)| known != name);
        if value.get() != "null" {
            let at = at.unwrap_or(self.0.len()).min(self.0.len());
            self.0.insert(at, (name.to_owned(), value.to_owned()));
        }
    }

    /// On one line.
    pub(super) fn compact(&self) -> String {
        self.joined("{", ":", ",", "}")
    }

    /// One member per line.
    pub(super) fn lines(&self) -> String {
        if self.0.is_empty() {
            return "{}\n".to_owned();
        }
        self.joined("{\n  ", ": ", ",\n  ", "\n}\n")
    }

    fn joined(&self, open: &str, colon: &str, comma: &str, close: &str) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| {
                format!(
                    "{}{colon}{}",
                    serde_json::Value::from(name.as_str()),
                    value.get()
                )
            })
            .collect();
        format!("{open}{}{close}", members.join(comma))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
