//! Values as they are written in a file, with their lines.
//!
//! Every value is read as text and understood later, so that `${…}` works for numbers too and a fault
//! names the line.

use std::{fmt, marker::PhantomData, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_saphyr::Spanned;

use crate::Origin;

/// A value as it was written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Text(Spanned<String>);

impl Text {
    /// What was written, before `${…}` is filled in.
    pub fn as_written(&self) -> &str {
        &self.0.value
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<usize> {
        usize::try_from(self.0.referenced.line())
            .ok()
            .filter(|line| *line > 0)
    }

    /// Where it stands.
    pub fn origin(&self, path: &Path) -> Origin {
        Origin::file(path, self.line())
    }
}

/// A map that keeps its order and its keys' lines.
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
