//! A small map from names to values.

use std::{borrow::Cow, mem, vec};

/// Values sorted by name, each name once. A message has few fields, so a linear scan is faster than
/// building a tree.
#[derive(Debug)]
pub(crate) struct ByName<'a, V>(Vec<(Cow<'a, str>, V)>);

impl<'a, V> ByName<'a, V> {
    /// Sorts values by name. Of a name given twice, keeps the last value and returns the name.
    pub(crate) fn from_pairs(mut given: Vec<(Cow<'a, str>, V)>) -> (Self, Option<String>) {
        given.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut repeated = None;
        given.dedup_by(|later, earlier| {
            let again = later.0 == earlier.0;
            if again {
                mem::swap(later, earlier);
                repeated = Some(earlier.0.to_string());
            }
            again
        });
        (Self(given), repeated)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        let (_, value) = self.0.get(self.position(name)?)?;
        Some(value)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        let (_, value) = self.0.remove(self.position(name)?);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The same names with converted values.
    pub(crate) fn map<W>(self, other: impl Fn(V) -> W) -> ByName<'a, W> {
        let values = self.0.into_iter();
        ByName(values.map(|(name, value)| (name, other(value))).collect())
    }
}

impl<'a, V> IntoIterator for ByName<'a, V> {
    type Item = (Cow<'a, str>, V);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
