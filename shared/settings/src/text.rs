//! The values of a file, with their lines.
//!
//! Every value is read as text and parsed later, so that `${…}` works for numbers too and an error names
//! the line.

use std::path::Path;

use crate::{Form, Key, Node, Origin, Reader};

/// A value of the file, or the place of a part of it.
#[derive(Debug, Clone, Default)]
pub struct Text {
    value: String,
    line: Option<usize>,
    is_unreadable: bool,
}

impl Text {
    pub(crate) fn new(value: &str, line: Option<usize>) -> Self {
        Self {
            value: value.to_owned(),
            line,
            is_unreadable: false,
        }
    }

    /// The place of a part, without a text.
    pub fn place(node: &Node) -> Self {
        Self::new("", node.line())
    }

    /// The placeholder for a value of the wrong form. It is not missing, and nothing more is reported about it.
    pub fn unreadable(line: Option<usize>) -> Self {
        Self {
            line,
            is_unreadable: true,
            ..Self::default()
        }
    }

    /// Whether it had the wrong form, which is reported already.
    pub fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    /// The text, with its `${…}`.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Its file and line.
    pub fn origin(&self, path: &Path) -> Origin {
        Origin::file(path, self.line)
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
