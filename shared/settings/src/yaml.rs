//! Reads YAML, and words its errors for people.

use std::{collections::BTreeSet, path::Path};

use serde_saphyr::Error;

use crate::{
    Booleans, Node, Origin, Part, Problem,
    part::{At, Found},
};

/// A file that is YAML, and what is wrong with its form.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The file. What could not be read in it is marked as unreadable.
    pub value: T,
    /// Unknown names, names that are set twice, and values of the wrong form.
    pub problems: Vec<Problem>,
    /// The paths of the parts that could not be read.
    pub(crate) unreadable: BTreeSet<String>,
}

/// Reads a file of settings. Fails only if it is not YAML. An error names the line and the setting, but shows no
/// value, which may be a secret.
pub fn parse<T: Part>(path: &Path, text: &str) -> Result<Parsed<T>, Problem> {
    read(path, text, "setting")
}

/// As [`parse`], for a file whose names are those of fields.
pub fn parse_fields<T: Part>(path: &Path, text: &str) -> Result<Parsed<T>, Problem> {
    read(path, text, "field")
}

fn read<T: Part>(path: &Path, text: &str, kind: &'static str) -> Result<Parsed<T>, Problem> {
    Ok(read_node(path, &load(path, text, Booleans::Words)?, kind))
}

/// As [`parse`], for a file that is JSON. Its problems have no lines.
pub(crate) fn parse_json<T: Part>(path: &Path, text: &str) -> Result<Parsed<T>, Problem> {
    let node = Node::from_json(text).map_err(|error| {
        Problem::new(
            Origin::file(path, Some(error.line())),
            format!("this is not JSON: {error}"),
        )
    })?;
    Ok(read_node(path, &node, "setting"))
}

fn read_node<T: Part>(path: &Path, node: &Node, kind: &'static str) -> Parsed<T> {
    let mut found = Found::new(path, kind);
    let value = T::read(node, &At::TOP, &mut found);
    Parsed {
        value,
        problems: found.problems,
        unreadable: found.unreadable,
    }
}

/// Reads a document of any form.
pub fn load(path: &Path, text: &str, booleans: Booleans) -> Result<Node, Problem> {
    Node::load(text, booleans).map_err(|error| {
        let line = error
            .location()
            .and_then(|location| usize::try_from(location.line()).ok())
            .filter(|line| *line > 0);
        Problem::new(Origin::file(path, line), describe_error(&error, text, line))
    })
}

/// What is wrong, and what would be right.
fn describe_error(error: &Error, text: &str, line: Option<usize>) -> String {
    match error {
        Error::DuplicateMappingKey { key: twice, .. } => format!(
            "{} is set twice; remove one",
            twice
                .as_ref()
                .map_or_else(|| "a name".to_owned(), |twice| format!("`{twice}`"))
        ),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; expected a single one, so remove the `---`".to_owned()
        }
        Error::UnknownAnchor { .. } => format!(
            "`{}` begins with *, which refers to an anchor in YAML, and no anchor has this name; \
             expected quotes around a value that begins with *",
            last_name_before(text, line)
        ),
        other => indented_with_tab(text, line).unwrap_or_else(|| not_yaml(other, text, line)),
    }
}

fn not_yaml(error: &Error, text: &str, line: Option<usize>) -> String {
    format!(
        "this is not YAML, in or after `{}`: {}; expected `name: value`, with quotes around a value that contains any \
         of : # {{ }} [ ] , & * ? | > @ `",
        last_name_before(text, line),
        parser_message(error)
    )
}

/// Explains a line that is indented with a tab, which YAML forbids.
fn indented_with_tab(text: &str, line: Option<usize>) -> Option<String> {
    let line = text.lines().nth(line?.checked_sub(1)?)?;
    let content = line.trim_start();
    let (indent, _) = line.split_at(line.len() - content.len());
    let name = content.split(':').next()?;
    indent
        .contains('\t')
        .then(|| format!("`{name}` is indented with a tab; use spaces"))
}

/// The parser's message without the location, which precedes it.
fn parser_message(error: &Error) -> String {
    let message = error.to_string();
    let end = message.find(" at line ").unwrap_or(message.len());
    message.get(..end).unwrap_or_default().to_owned()
}

/// The last name on the line or before it.
fn last_name_before(text: &str, line: Option<usize>) -> &str {
    let lines: Vec<&str> = text.lines().take(line.unwrap_or(usize::MAX)).collect();
    lines
        .into_iter()
        .rev()
        .find_map(|line| {
            let (name, _) = line
                .trim_start_matches([' ', '-', '{', '\t'])
                .split_once(':')?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            (!name.is_empty() && name.chars().all(plain)).then_some(name)
        })
        .unwrap_or("the beginning")
}
