//! Reads YAML, and words its errors for people.

use std::path::Path;

use serde::{Deserialize as _, de::DeserializeOwned};
use serde_path_to_error::{Deserializer, Segment, Track};
use serde_saphyr::Error;

use crate::{Origin, Problem, suggest::closest};

/// Settings that have moved, and their new place.
const MOVED: [(&str, &str); 1] = [(
    "max_concurrent",
    "it belongs in the provider's limits: `limits: {max_concurrent: 50}`",
)];

/// A name that is read only to be refused with what to write instead, and so is never suggested.
const REFUSED: &str = "settings";

/// Reads YAML. An error names the line and the setting, but shows no value, which may be a secret.
pub fn parse<T: DeserializeOwned + Default>(path: &Path, text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut track = Track::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        Option::<T>::deserialize(Deserializer::new(yaml, &mut track))
    });
    read.map(Option::unwrap_or_default).map_err(|error| {
        let line = error
            .location()
            .and_then(|location| usize::try_from(location.line()).ok())
            .filter(|line| *line > 0);
        let key = key_path(&track.path());
        Problem::new(
            Origin::file(path, line),
            describe_error(&error, &key, text, line),
        )
    })
}

/// Where reading stopped, such as `retry.max_delay` or `models[0]`; empty at the top.
fn key_path(path: &serde_path_to_error::Path) -> String {
    let mut segments: Vec<&Segment> = path.iter().collect();
    // A value with its line is read as a struct with this field.
    if matches!(segments.last(), Some(Segment::Map { key }) if key == "value") {
        segments.pop();
    }
    segments
        .into_iter()
        .fold(String::new(), |before, segment| match segment {
            Segment::Seq { index } => format!("{before}[{index}]"),
            Segment::Map { key } | Segment::Enum { variant: key } => join_path(&before, key),
            // A name that the user chose.
            Segment::Unknown => join_path(&before, "…"),
        })
}

fn join_path(before: &str, key: &str) -> String {
    if before.is_empty() {
        key.to_owned()
    } else {
        format!("{before}.{key}")
    }
}

/// What is wrong, and what would be right.
fn describe_error(error: &Error, key: &str, text: &str, line: Option<usize>) -> String {
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let names: Vec<&str> = expected
                .iter()
                .copied()
                .filter(|name| *name != REFUSED)
                .collect();
            match (moved_to(field), closest(field, names.iter().copied())) {
                (Some(place), _) => format!("`{key}` is not a setting; {place}"),
                (None, Some(name)) => format!("`{key}` is not a setting; did you mean `{name}`?"),
                (None, None) => format!(
                    "`{key}` is not a setting; expected one of {}",
                    names.join(", ")
                ),
            }
        }
        Error::Unexpected {
            expected: "mapping start",
            ..
        } if key.is_empty() => {
            "this is not a map of settings; expected lines such as `concurrency: 100`".to_owned()
        }
        Error::Unexpected {
            expected: "mapping start",
            ..
        } => format!("`{key}` is not a map; expected lines `name: value` under it, indented"),
        Error::Unexpected {
            expected: "sequence start",
            ..
        } => format!(
            "`{key}` is not a list; expected [one, another], or lines `- one` under it, indented"
        ),
        Error::Unexpected {
            expected: "string scalar",
            ..
        } => format!("`{key}` is a list or a map; expected a single value"),
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
        .then(|| format!("`{name}` is indented with a tab; expected spaces"))
}

fn moved_to(field: &str) -> Option<&'static str> {
    let found = MOVED.iter().find(|(name, _)| *name == field);
    found.map(|(_, place)| *place)
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
