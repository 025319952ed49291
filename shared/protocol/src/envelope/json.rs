//! JSON before it is parsed: depth, size, kind, and the members of an object as raw text. Nothing here
//! recurses, so no input overflows the stack.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::by_name::ByName;

/// The kind of a JSON value.
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
    /// The kind of valid JSON, from its first byte.
    pub(crate) fn detect(value: &RawValue) -> Self {
        match value.get().bytes().next() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }

    /// The kind, for error messages.
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

/// The depth and size of a JSON text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How deep lists and objects nest; `{}` is 1.
    pub(crate) depth: usize,
    /// The size in bytes without white space between values.
    pub(crate) compact: usize,
}

impl Shape {
    /// Measures `text` in one pass. For text that is not JSON, the result is arbitrary.
    pub(crate) fn measure(text: &str) -> Self {
        let mut shape = Self::default();
        let mut open = 0_usize;
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'"' => {
                    let (string, after) = rest.split_at(end_of_string(rest));
                    shape.compact += string.len();
                    rest = after;
                }
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

/// The length of the rest of a string after its opening quote, closing quote included.
fn end_of_string(text: &[u8]) -> usize {
    let mut read = 0;
    while let Some(at) = memchr::memchr2(b'"', b'\\', text.get(read..).unwrap_or_default()) {
        let found = read + at;
        if text.get(found) == Some(&b'"') {
            return found + 1;
        }
        // Skips the escaped character, which may be a quote.
        read = found + 2;
    }
    text.len()
}

/// The members of an object, with raw values.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// The members; of a name given twice, the last one.
    pub(crate) by_name: ByName<'a, &'a RawValue>,
    /// A name that was given twice.
    pub(crate) repeated: Option<String>,
}

impl<'a> Members<'a> {
    /// Removes a member; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.by_name
            .remove(name)
            .filter(|value| Kind::detect(value) != Kind::Null)
    }
}

/// A name, borrowed if it contains no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut given = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    given.push((name, value));
                }
                let (by_name, repeated) = ByName::from_pairs(given);
                Ok(Members { by_name, repeated })
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
        assert_eq!(Shape::measure(r#"{"a[": "\"{[", "b": [ ] }"#).depth, 2);
        assert_eq!(Shape::measure(r#""\\" [["#).depth, 2);
        assert_eq!(Shape::measure("]]]]{").depth, 1);
        assert_eq!(Shape::measure("").depth, 0);
        assert_eq!(Shape::measure(r#"["\\\"[[", [""#).depth, 2);
        assert_eq!(Shape::measure(r#"["[\"#).depth, 1);
    }

    #[test]
    fn white_space_counts_only_in_strings() {
        assert_eq!(Shape::measure("{ \"a b\" : 1\n}").compact, 9);
    }
}
