//! JSON as far as it must be known before it is read: how deep, how long, of which kind, and the
//! members of an object as raw text. Nothing here recurses, so nothing here overflows the stack.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON value is; told from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    /// The kind of a value that is known to be JSON.
    pub(crate) fn of(value: &RawValue) -> Self {
        match value.get().bytes().next() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }

    /// The kind, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// The outline of a JSON text, taken in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How deep lists and objects nest; `{}` is 1.
    pub(crate) depth: usize,
    /// The bytes without the white space between values.
    pub(crate) compact: usize,
}

impl Shape {
    /// The outline of `text`; of text that is not JSON, some outline.
    pub(crate) fn of(text: &str) -> Self {
        let mut shape = Self::default();
        let (mut open, mut in_string, mut escaped) = (0_usize, false, false);
        for byte in text.bytes() {
            if in_string {
                shape.compact += 1;
                if escaped {
                    escaped = false;
                } else {
                    escaped = byte == b'\\';
                    in_string = byte != b'"';
                }
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'"' => in_string = true,
                b'{' | b'[' => {
                    open += 1;
                    shape.depth = shape.depth.max(open);
                }
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            shape.compact += 1;
        }
        shape
    }
}

/// An object's members, their values not yet read.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    /// The members by name; of one given twice, the last.
    pub(crate) by_name: BTreeMap<String, &'a RawValue>,
    /// A name that was given twice.
    pub(crate) repeated: Option<String>,
}

impl<'a> Members<'a> {
    /// Removes a member; null is as good as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.by_name
            .remove(name)
            .filter(|value| Kind::of(value) != Kind::Null)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.by_name.contains_key(&name) {
                        members.repeated = Some(name.clone());
                    }
                    members.by_name.insert(name, value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(Shape::of(r#"{"a[": "\"{[", "b": [ ] }"#).depth, 2);
        assert_eq!(Shape::of(r#""\\" [["#).depth, 2);
        assert_eq!(Shape::of("]]]]{").depth, 1);
        assert_eq!(Shape::of("").depth, 0);
    }

    #[test]
    fn white_space_counts_only_in_strings() {
        assert_eq!(Shape::of("{ \"a b\" : 1\n}").compact, 9);
    }
}
