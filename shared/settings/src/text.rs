//! The values of a file, with their lines.
//!
//! Every value is read as text and parsed later, so that `${…}` works for numbers too and an error names
//! the line.

use std::{fmt, marker::PhantomData, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_saphyr::Spanned;

use crate::{Form, Key, Origin, Reader};

/// A value of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Text(Spanned<String>);

impl Text {
    /// The text, with its `${…}`.
    pub fn as_str(&self) -> &str {
        &self.0.value
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<usize> {
        usize::try_from(self.0.referenced.line())
            .ok()
            .filter(|line| *line > 0)
    }

    /// Its file and line.
    pub fn origin(&self, path: &Path) -> Origin {
        Origin::file(path, self.line())
    }
}

/// How a plain setting is written in the file: as a [`Text`], or as a list of them.
pub trait Written: Sized {
    /// The setting's value, where `V` is the value of one text.
    type Value<V: Clone>: Clone;

    /// Whether it is a list.
    const IS_LIST: bool;

    /// Reads the setting from its variables or from the file.
    fn read<V: Clone>(
        written: Option<&Self>,
        reader: &mut Reader<'_>,
        key: Key<'_>,
        form: &Form<V>,
    ) -> Option<Self::Value<V>>;

    /// The value as text; `format_one` formats the value of one text.
    fn format<V: Clone>(value: &Self::Value<V>, format_one: impl Fn(&V) -> String) -> String;
}

impl Written for Text {
    type Value<V: Clone> = V;

    const IS_LIST: bool = false;

    fn read<V: Clone>(
        written: Option<&Self>,
        reader: &mut Reader<'_>,
        key: Key<'_>,
        form: &Form<V>,
    ) -> Option<V> {
        reader.setting(key, written, form)
    }

    fn format<V: Clone>(value: &V, format_one: impl Fn(&V) -> String) -> String {
        format_one(value)
    }
}

impl Written for Vec<Text> {
    type Value<V: Clone> = Vec<V>;

    const IS_LIST: bool = true;

    fn read<V: Clone>(
        written: Option<&Self>,
        reader: &mut Reader<'_>,
        key: Key<'_>,
        form: &Form<V>,
    ) -> Option<Vec<V>> {
        reader.list(key, written.map(Vec::as_slice), form)
    }

    fn format<V: Clone>(value: &Vec<V>, format_one: impl Fn(&V) -> String) -> String {
        let values: Vec<String> = value.iter().map(format_one).collect();
        values.join(", ")
    }
}

/// A map that keeps its order and the lines of its keys.
#[derive(Debug, Clone)]
pub struct Entries<T>(pub Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }

            // `providers:` with nothing under it.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}
