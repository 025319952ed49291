//! A YAML document as a tree of nodes, each with its line. It is read before anything is known about what
//! the nodes should be, so that a node of the wrong form hides no other.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Error, Spanned,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};

/// A value of a document, of any form.
#[derive(Debug, Clone, Default)]
pub struct Node {
    line: Option<usize>,
    content: Content,
}

/// What a node is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Content {
    /// Nothing, `~` or `null`.
    #[default]
    Nothing,
    /// A single value.
    Single(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map in its order. A name may occur twice.
    Map(Vec<(Node, Node)>),
}

/// A single value: its text, and what YAML takes it for.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    text: String,
    kind: ScalarKind,
}

#[derive(Debug, Clone, Copy)]
enum ScalarKind {
    Text,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// How the words `yes`, `no`, `on` and `off` are read in a document that becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booleans {
    /// `yes`, `no`, `on` and `off` are booleans, as in YAML 1.1.
    Words,
    /// Only `true` and `false` are, as in YAML 1.2.
    Strict,
}

impl Node {
    /// Reads a document. Fails if it is not YAML.
    pub(crate) fn load(text: &str, booleans: Booleans) -> Result<Self, Error> {
        let twice = match load_with(text, booleans, DuplicateKeyPolicy::Error) {
            Err(twice @ Error::DuplicateMappingKey { .. }) => twice,
            other => return other,
        };
        // A name that is set twice makes no other part unreadable. The parser passes both on, unless they are numbers.
        let node = load_with(text, booleans, DuplicateKeyPolicy::LastWins)?;
        if node.repeated_names().is_empty() {
            Err(twice)
        } else {
            Ok(node)
        }
    }

    /// Reads a document that is JSON, which takes a tenth of the time. Its nodes have no lines.
    pub(crate) fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(|JsonNode(node)| node)
    }

    /// Its line, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Whether it is absent, `~` or `null`.
    pub fn is_nothing(&self) -> bool {
        matches!(self.content, Content::Nothing)
    }

    /// Its text, if it is a single value.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Single(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Its members, if it is a map.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.content {
            Content::Map(members) => Some(members),
            _ => None,
        }
    }

    /// Its entries, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.content {
            Content::List(entries) => Some(entries),
            _ => None,
        }
    }

    /// The member `name` of a map: its name, and its value.
    pub fn member(&self, name: &str) -> Option<&(Node, Node)> {
        let mut members = self.as_map()?.iter();
        members.find(|(key, _)| key.as_text() == Some(name))
    }

    /// The value of the member `name` of a map.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.member(name).map(|(_, value)| value)
    }

    /// The names that stand in a map more than once, at any depth: each name where it is repeated, and the
    /// line where it stands first.
    pub(crate) fn repeated_names(&self) -> Vec<(&Node, Option<usize>)> {
        let mut found = Vec::new();
        self.find_repeated(&mut found);
        found
    }

    /// What is to be said of the names that stand in a map more than once, each with its line.
    pub fn names_set_twice(&self) -> Vec<(Option<usize>, String)> {
        let repeated = self.repeated_names().into_iter();
        let described = repeated.map(|(key, first)| {
            let name = key.as_text().unwrap_or_default();
            (key.line, set_twice(&format!("`{name}`"), key, first))
        });
        described.collect()
    }

    fn find_repeated<'n>(&'n self, found: &mut Vec<(&'n Self, Option<usize>)>) {
        match &self.content {
            Content::Map(members) => {
                found.extend(repeated(members));
                for (_, value) in members {
                    value.find_repeated(found);
                }
            }
            Content::List(entries) => {
                for entry in entries {
                    entry.find_repeated(found);
                }
            }
            Content::Nothing | Content::Single(_) => {}
        }
    }

    /// The form, for messages.
    pub(crate) fn form(&self) -> &'static str {
        match self.content {
            Content::Nothing => "empty",
            Content::Single(_) => "a single value",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }
}

/// The names that occur again in a map, each with the line where it occurs first.
pub(crate) fn repeated(members: &[(Node, Node)]) -> Vec<(&Node, Option<usize>)> {
    let mut first = HashMap::new();
    let mut again = Vec::new();
    for (key, _) in members {
        let Some(name) = key.as_text() else { continue };
        match first.entry(name) {
            Entry::Occupied(first) => again.push((key, *first.get())),
            Entry::Vacant(vacant) => {
                vacant.insert(key.line);
            }
        }
    }
    again
}

/// Says that a name is set twice; `first` is the line where it stands first.
pub(crate) fn set_twice(subject: &str, key: &Node, first: Option<usize>) -> String {
    let first = first.filter(|first| Some(*first) != key.line);
    let first = first.map_or_else(String::new, |line| format!(", first on line {line}"));
    format!("{subject} is set twice{first}; remove one")
}

fn load_with(
    text: &str,
    booleans: Booleans,
    duplicate_keys: DuplicateKeyPolicy,
) -> Result<Node, Error> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: booleans == Booleans::Strict,
        duplicate_keys: duplicate_keys,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    };
    let loaded: Option<Loaded> = serde_saphyr::from_str_with_options(text, options)?;
    Ok(loaded
        .map(|loaded| loaded.into_node(text))
        .unwrap_or_default())
}

/// The same value in JSON. Of a name that is set twice, the first value counts.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.content {
            Content::Nothing => serializer.serialize_unit(),
            Content::Single(scalar) => match scalar.kind {
                ScalarKind::Text => serializer.serialize_str(&scalar.text),
                ScalarKind::Bool(flag) => serializer.serialize_bool(flag),
                ScalarKind::Unsigned(number) => serializer.serialize_u64(number),
                ScalarKind::Signed(number) => serializer.serialize_i64(number),
                ScalarKind::Float(number) => serializer.serialize_f64(number),
            },
            Content::List(entries) => serializer.collect_seq(entries),
            Content::Map(members) => {
                let mut seen = HashSet::new();
                let named = members
                    .iter()
                    .filter_map(|(key, value)| Some((key.as_text()?, value)));
                serializer.collect_map(named.filter(|(name, _)| seen.insert(*name)))
            }
        }
    }
}

/// A node as the parser passes it on: without the text of numbers and booleans.
struct Loaded(Spanned<Form>);

enum Form {
    Nothing,
    Text(String),
    /// A number or a boolean.
    Other(ScalarKind),
    List(Vec<Loaded>),
    Map(Vec<(Loaded, Loaded)>),
}

impl Loaded {
    fn into_node(self, document: &str) -> Node {
        let line = usize::try_from(self.0.referenced.line()).ok();
        let content = match self.0.value {
            Form::Nothing => Content::Nothing,
            Form::Text(text) => Content::Single(Scalar {
                text,
                kind: ScalarKind::Text,
            }),
            Form::Other(kind) => Content::Single(Scalar {
                text: written(document, self.0.defined).unwrap_or_else(|| kind.to_string()),
                kind,
            }),
            Form::List(entries) => {
                let entries = entries.into_iter();
                Content::List(entries.map(|entry| entry.into_node(document)).collect())
            }
            Form::Map(members) => {
                let members = members.into_iter();
                let nodes = members
                    .map(|(key, value)| (key.into_node(document), value.into_node(document)));
                Content::Map(nodes.collect())
            }
        };
        Node {
            line: line.filter(|line| *line > 0),
            content,
        }
    }
}

/// A number or a boolean as it is written: `1_000` and `4.10` are not `1000` and `4.1` if a text is expected.
fn written(document: &str, at: serde_saphyr::Location) -> Option<String> {
    let from = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    let text = document.get(from..from.checked_add(length)?)?.trim();
    // An explicit tag or quotes belong to the span, but not to the value.
    let is_plain = !text.is_empty() && !text.starts_with(['!', '&', '"', '\'', '|', '>']);
    is_plain.then(|| text.to_owned())
}

impl fmt::Display for ScalarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => Ok(()),
            Self::Bool(flag) => flag.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Loaded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of any form")
    }

    fn visit_unit<E>(self) -> Result<Form, E> {
        Ok(Form::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Form, E> {
        Ok(Form::Other(ScalarKind::Bool(flag)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Form, E> {
        Ok(Form::Other(ScalarKind::Unsigned(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Form, E> {
        Ok(Form::Other(ScalarKind::Signed(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Form, E> {
        Ok(Form::Other(ScalarKind::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Form, E> {
        Ok(Form::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Form, E> {
        Ok(Form::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Form, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Form::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Form::Map(members))
    }
}

/// A node of a JSON document.
struct JsonNode(Node);

impl JsonNode {
    fn scalar(text: impl Into<String>, kind: ScalarKind) -> Self {
        let text = text.into();
        Self::of(Content::Single(Scalar { text, kind }))
    }

    fn of(content: Content) -> Self {
        Self(Node {
            line: None,
            content,
        })
    }
}

impl<'de> Deserialize<'de> for JsonNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = JsonNode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of any form")
    }

    fn visit_unit<E>(self) -> Result<JsonNode, E> {
        Ok(JsonNode(Node::default()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<JsonNode, E> {
        Ok(JsonNode::scalar(flag.to_string(), ScalarKind::Bool(flag)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonNode, E> {
        Ok(JsonNode::scalar(
            number.to_string(),
            ScalarKind::Unsigned(number),
        ))
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsonNode, E> {
        Ok(JsonNode::scalar(
            number.to_string(),
            ScalarKind::Signed(number),
        ))
    }

    fn visit_f64<E>(self, number: f64) -> Result<JsonNode, E> {
        Ok(JsonNode::scalar(
            number.to_string(),
            ScalarKind::Float(number),
        ))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonNode, E> {
        Ok(JsonNode::scalar(text, ScalarKind::Text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<JsonNode, A::Error> {
        let mut entries = Vec::new();
        while let Some(JsonNode(entry)) = list.next_element()? {
            entries.push(entry);
        }
        Ok(JsonNode::of(Content::List(entries)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonNode, A::Error> {
        let mut members = Vec::new();
        while let Some((JsonNode(name), JsonNode(value))) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(JsonNode::of(Content::Map(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Node {
        Node::load(text, Booleans::Words).unwrap()
    }

    fn text_of(document: &str) -> String {
        let node = load(document);
        node.get("a").unwrap().as_text().unwrap().to_owned()
    }

    #[test]
    fn a_single_value_keeps_its_text() {
        for (written, text) in [
            ("1_000", "1_000"),
            ("4.10", "4.10"),
            ("0.000000001", "0.000000001"),
            ("0x10", "0x10"),
            ("007", "007"),
            ("yes", "yes"),
            ("True", "True"),
            ("12:00", "12:00"),
            ("-5 # a comment", "-5"),
            ("1e999", ".inf"),
            ("\"5\"", "5"),
            ("!!str 5", "5"),
            ("ä 5 ", "ä 5"),
            ("|\n  two\n  lines\n", "two\nlines\n"),
        ] {
            assert_eq!(text_of(&format!("b: ü\na: {written}\n")), text, "{written}");
            assert_eq!(
                text_of(&format!("\u{feff}b: ü\na: {written}\n")),
                text,
                "{written}"
            );
        }
        assert_eq!(text_of("{b: [1.50, 2], a: 1.50, c: x}"), "1.50");
        assert_eq!(text_of("b: &x 4.10\na: *x\n"), "4.10");
    }

    #[test]
    fn aliases_and_merged_maps_are_followed() {
        let node = load("base: &base { a: 1.0, b: 2 }\nuse:\n  <<: *base\n  b: 3.0\nsame: *base\n");
        let text = |name: &str, field: &str| {
            let node = node.get(name).unwrap().get(field).unwrap();
            (node.as_text().unwrap().to_owned(), node.line())
        };
        assert_eq!(text("use", "a").0, "1.0");
        assert_eq!(text("use", "b"), ("3.0".to_owned(), Some(4)));
        assert_eq!(text("same", "b").0, "2");
    }

    #[test]
    fn every_name_that_is_set_twice_is_found() {
        let node = load("a: 1\nb: { c: 1, c: 2 }\nd:\n  - e: 1\n    e: 2\na: 2\na: 3\n");
        let repeated: Vec<_> = node
            .repeated_names()
            .into_iter()
            .map(|(name, first)| {
                (
                    name.as_text().unwrap(),
                    name.line().unwrap(),
                    first.unwrap(),
                )
            })
            .collect();
        assert_eq!(
            repeated,
            [("a", 6, 1), ("a", 7, 1), ("c", 2, 2), ("e", 5, 4)]
        );
        // Of numbers, the parser passes on only one.
        assert!(Node::load("7: a\n7: b\n", Booleans::Words).is_err());
    }

    #[test]
    fn json_is_read_as_the_same_document() {
        let yaml = "z: [1, -2, 0.000000001, true, ~, \"5\", {}]\na: { b: ü, c: [] }\n7: x\n";
        let json = serde_json::to_string(&load(yaml)).unwrap();
        let node = Node::from_json(&json).unwrap();
        assert_eq!(serde_json::to_string(&node).unwrap(), json);
        let names = node.as_map().unwrap().iter();
        let names: Vec<_> = names.map(|(name, _)| name.as_text().unwrap()).collect();
        assert_eq!(names, ["z", "a", "7"]);
        let numbers = node.get("z").unwrap().as_list().unwrap().iter();
        let numbers: Vec<_> = numbers.map_while(Node::as_text).collect();
        assert_eq!(numbers, ["1", "-2", "0.000000001", "true"]);
        assert!(Node::from_json("{").is_err());
    }

    #[test]
    fn a_document_without_content_is_nothing() {
        for text in ["", "# nothing\n", "---\n", "~"] {
            assert!(load(text).is_nothing(), "{text:?}");
        }
    }
}
