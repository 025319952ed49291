//! The text of a prompt, read from JSON without copying it where JSON allows.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// Text that a dialect writes as a string, as a list of parts, or as an object that holds parts.
/// Parts that are not text (images, tool calls) count as empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Text)
    }
}

/// Joins texts by line ends, leaving out the empty ones.
pub(super) fn join<'a>(texts: impl Iterator<Item = Text<'a>>) -> Cow<'a, str> {
    let mut whole = Cow::Borrowed("");
    for Text(text) in texts {
        add(&mut whole, text);
    }
    whole
}

fn add<'a>(whole: &mut Cow<'a, str>, text: Cow<'a, str>) {
    if whole.is_empty() {
        *whole = text;
    } else if !text.is_empty() {
        let whole = whole.to_mut();
        whole.push('\n');
        whole.push_str(&text);
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut whole = Cow::Borrowed("");
        while let Some(Text(text)) = parts.next_element()? {
            add(&mut whole, text);
        }
        Ok(whole)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Self::Value, A::Error> {
        let mut whole = Cow::Borrowed("");
        while let Some(Text(key)) = part.next_key()? {
            match &*key {
                "text" | "content" | "parts" => {
                    let Text(text) = part.next_value()?;
                    add(&mut whole, text);
                }
                _ => {
                    part.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Cow<'_, str> {
        serde_json::from_str::<Text<'_>>(json).unwrap().0
    }

    #[test]
    fn a_plain_string_is_not_copied() {
        assert!(matches!(read(r#""hello""#), Cow::Borrowed("hello")));
        assert_eq!(read(r#""a\nb""#), "a\nb");
        assert_eq!(read("null"), "");
    }

    #[test]
    fn parts_are_joined_and_what_is_not_text_is_skipped() {
        let parts = r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},
            {"type":"tool_result","content":[{"type":"text","text":"b"}]}]"#;
        assert_eq!(read(parts), "a\nb");
        assert_eq!(
            read(r#"{"role":"user","parts":[{"text":"c"},{"inlineData":{}}]}"#),
            "c"
        );
        assert!(serde_json::from_str::<Text<'_>>("12").is_err());
    }
}
