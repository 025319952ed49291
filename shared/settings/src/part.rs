//! Parts of a file, read from its nodes.
//!
//! Reading never stops: a name that is not known and a value of the wrong form become problems, and the rest
//! is read. A part of the wrong form is unreadable, which differs from being absent: nothing more is reported
//! about it, and nobody reports it as missing.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use crate::{
    Entries, Node, Origin, Problem, Text,
    node::{Content, repeated, set_twice},
    suggest::closest,
};

/// Settings that have moved, and their new place.
const MOVED: [(&str, &str); 1] = [(
    "max_concurrent",
    "it belongs in the provider's limits: `limits: {max_concurrent: 50}`",
)];

/// A name that is read only to be refused with what to write instead, and so is never suggested.
const REFUSED: &str = "settings";

/// The most characters of a user's name that a message shows.
const LONGEST_NAME: usize = 60;

/// A part of a file.
pub trait Part: Sized {
    /// Reads the node at `at`. What is wrong with its form becomes a problem.
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self;

    /// The placeholder for a part that could not be read.
    fn unreadable(line: Option<usize>) -> Self;
}

/// A part with names and values.
pub trait Placed {
    /// Where it begins, for errors about it as a whole.
    fn place(&self) -> &Text;
}

/// The place of a node: the names on the way from the top of the file.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
    /// Whether the name is what a misspelt one is taken for.
    is_guess: bool,
}

/// A field of a map, and its value.
#[derive(Debug, Clone, Copy)]
pub struct Field<'n> {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: &'n Node,
    /// Whether the file has another name, which is taken for this one.
    is_guess: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Top,
    Name(&'a str),
    /// The number of an entry of a list, from 1.
    Entry(usize),
}

impl<'a> At<'a> {
    /// The whole file.
    pub(crate) const TOP: Self = Self {
        parent: None,
        step: Step::Top,
        is_guess: false,
    };

    /// The place of a field.
    #[must_use]
    pub fn field(&'a self, field: &Field<'_>) -> Self {
        Self {
            is_guess: field.is_guess,
            ..self.name(field.name)
        }
    }

    /// The member `name`.
    fn name(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Name(name),
            is_guess: false,
        }
    }

    /// An entry of the list.
    fn entry(&'a self, number: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Entry(number),
            is_guess: false,
        }
    }

    /// Its name in messages, such as `retry.max_delay`: that of the list for an entry.
    fn path(&self) -> String {
        let before = self.parent.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Top | Step::Entry(_) => before,
            Step::Name(name) => {
                let name: String = name.chars().take(LONGEST_NAME).collect();
                if before.is_empty() {
                    name
                } else {
                    format!("{before}.{name}")
                }
            }
        }
    }

    /// As the subject of a sentence.
    fn subject(&self) -> String {
        match self.step {
            Step::Top => "the file".to_owned(),
            Step::Name(_) => format!("`{}`", self.path()),
            Step::Entry(number) => format!("entry {number} of `{}`", self.path()),
        }
    }
}

/// The problems that reading finds in the form of a file.
#[derive(Debug)]
pub struct Found<'p> {
    file: &'p Path,
    /// What a name of the file is: a setting or a field.
    kind: &'static str,
    pub(crate) problems: Vec<Problem>,
    /// The paths of the parts that are unreadable.
    pub(crate) unreadable: BTreeSet<String>,
}

impl<'p> Found<'p> {
    pub(crate) fn new(file: &'p Path, kind: &'static str) -> Self {
        Self {
            file,
            kind,
            problems: Vec::new(),
            unreadable: BTreeSet::new(),
        }
    }

    fn problem(&mut self, line: Option<usize>, text: String) {
        let origin = Origin::file(self.file, line);
        self.problems.push(Problem::new(origin, text));
    }

    fn wrong_form(&mut self, node: &Node, at: &At<'_>, expected: &str) {
        self.unreadable.insert(at.path());
        // It may be something else that was meant.
        if at.is_guess {
            return;
        }
        let text = format!("{} is {}; expected {expected}", at.subject(), node.form());
        self.problem(node.line(), text);
    }

    /// The values of the fields of a map, each name once. `None` if it is no map.
    ///
    /// A misspelt name counts as the one that it resembles, so that what it holds is read, too, and the right
    /// name is not reported as missing.
    pub fn fields<'n>(
        &mut self,
        node: &'n Node,
        at: &At<'_>,
        known: &[&'static str],
    ) -> Option<Vec<Field<'n>>> {
        let mut fields: Vec<Field<'n>> = Vec::new();
        let mut guesses = Vec::new();
        for (name, key, value) in self.members(node, at)? {
            let exact = known.iter().find(|known| **known == name);
            let near = if exact.is_some() {
                None
            } else {
                self.unknown_name(key, &at.name(name), name, known)
            };
            let field = |name, is_guess| Field {
                name,
                value,
                is_guess,
            };
            fields.extend(exact.map(|name| field(*name, false)));
            guesses.extend(near.map(|name| field(name, true)));
        }
        for guess in guesses {
            if fields.iter().all(|field| field.name != guess.name) {
                fields.push(guess);
            }
        }
        Some(fields)
    }

    /// Reports a name that is not known; returns the one that is meant.
    fn unknown_name(
        &mut self,
        key: &Node,
        at: &At<'_>,
        name: &str,
        known: &[&'static str],
    ) -> Option<&'static str> {
        let known = || known.iter().copied().filter(|known| *known != REFUSED);
        let moved = MOVED.iter().find(|(moved, _)| *moved == name);
        let near = closest(name, known()).filter(|_| moved.is_none());
        let near = near.and_then(|near| known().find(|known| *known == near));
        let remedy = match (moved, near) {
            (Some((_, place)), _) => (*place).to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => match known().collect::<Vec<_>>().as_slice() {
                [only] => format!("expected `{only}`"),
                all => format!("expected one of {}", all.join(", ")),
            },
        };
        let text = format!("{} is not a {}; {remedy}", at.subject(), self.kind);
        self.problem(key.line(), text);
        near
    }

    /// The members of a map: name, key and value, each name once. `None` if it is no map.
    fn members<'n>(
        &mut self,
        node: &'n Node,
        at: &At<'_>,
    ) -> Option<Vec<(&'n str, &'n Node, &'n Node)>> {
        const EXPECTED: &str = "a map: lines `name: value`";
        let members = match (node.content(), at.step) {
            (Content::Nothing, _) => return Some(Vec::new()),
            (Content::Map(members), _) => members,
            (_, Step::Top) => {
                self.wrong_form(node, at, EXPECTED);
                return None;
            }
            _ => {
                self.wrong_form(node, at, &format!("{EXPECTED} under it, indented"));
                return None;
            }
        };
        for (key, first) in repeated(members) {
            let name = key.as_text().unwrap_or_default();
            let text = set_twice(&at.name(name).subject(), key, first);
            self.problem(key.line(), text);
        }
        let mut found = Vec::with_capacity(members.len());
        let mut seen = HashSet::new();
        for (key, value) in members {
            match key.as_text() {
                Some(name) if !seen.insert(name) => {}
                Some(name) => found.push((name, key, value)),
                None => {
                    let text = format!(
                        "{} has a name that is {}; expected text before the colon",
                        at.subject(),
                        key.form()
                    );
                    self.problem(key.line().or(node.line()), text);
                }
            }
        }
        Some(found)
    }
}

impl Part for Text {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        let Some(text) = node.as_text() else {
            found.wrong_form(node, at, "a single value");
            return Self::unreadable(node.line());
        };
        Self::new(text, node.line())
    }

    fn unreadable(line: Option<usize>) -> Self {
        Self::unreadable(line)
    }
}

/// As it is; it becomes JSON.
impl Part for Node {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        for (key, first) in node.repeated_names() {
            let name = key.as_text().unwrap_or_default();
            let text = set_twice(&format!("`{name}` in {}", at.subject()), key, first);
            found.problem(key.line(), text);
        }
        node.clone()
    }

    fn unreadable(_line: Option<usize>) -> Self {
        Self::default()
    }
}

impl<T: Part> Part for Option<T> {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        (!node.is_nothing()).then(|| T::read(node, at, found))
    }

    fn unreadable(line: Option<usize>) -> Self {
        Some(T::unreadable(line))
    }
}

impl<T: Part> Part for Vec<T> {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        let Some(entries) = node.as_list() else {
            let expected = "a list: [one, another], or lines `- one` under it, indented";
            found.wrong_form(node, at, expected);
            return Self::unreadable(node.line());
        };
        (1..)
            .zip(entries)
            .map(|(number, entry)| T::read(entry, &at.entry(number), found))
            .collect()
    }

    fn unreadable(line: Option<usize>) -> Self {
        vec![T::unreadable(line)]
    }
}

impl<T: Part> Part for Entries<T> {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        let members = found.members(node, at).unwrap_or_default();
        let entries = members.into_iter().map(|(name, key, value)| {
            let key = Text::new(name, key.line());
            (key, T::read(value, &at.name(name), found))
        });
        Self(entries.collect())
    }

    fn unreadable(_line: Option<usize>) -> Self {
        Self::default()
    }
}

/// The name of a field, which may be a keyword of Rust.
#[doc(hidden)]
pub const fn field_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares a part of a file: the names that a map may have there, and the form of their values. All of them
/// are optional. The struct implements [`Part`] and [`Placed`].
#[macro_export]
macro_rules! part {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $part:ident {
            $( $(#[$field_attribute:meta])* $field_visibility:vis $field:ident: Option<$type:ty> ),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Default)]
        $visibility struct $part {
            place: $crate::Text,
            $( $(#[$field_attribute])* $field_visibility $field: Option<$type>, )*
        }

        impl $crate::Part for $part {
            fn read(node: &$crate::Node, at: &$crate::At<'_>, found: &mut $crate::Found<'_>) -> Self {
                const KNOWN: &[&str] = &[ $( $crate::field_name(stringify!($field)) ),* ];
                let Some(fields) = found.fields(node, at, KNOWN) else {
                    return <Self as $crate::Part>::unreadable(node.line());
                };
                let mut part = Self {
                    place: $crate::Text::place(node),
                    ..Self::default()
                };
                for field in fields {
                    let at = at.field(&field);
                    $( if field.name == $crate::field_name(stringify!($field)) {
                        part.$field = $crate::Part::read(field.value, &at, found);
                    } )*
                }
                part
            }

            fn unreadable(line: Option<usize>) -> Self {
                Self {
                    place: $crate::Text::unreadable(line),
                    $( $field: $crate::Part::unreadable(line), )*
                }
            }
        }

        impl $crate::Placed for $part {
            fn place(&self) -> &$crate::Text {
                &self.place
            }
        }
    };
}
