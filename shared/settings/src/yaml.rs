//! Reads YAML, and tells what is wrong with it in our words.

use std::path::Path;

use serde::{Deserialize as _, de::DeserializeOwned};
use serde_path_to_error::{Deserializer, Segment, Track};
use serde_saphyr::Error;

use crate::{Origin, Problem, suggest::closest};

/// Settings that have moved, and where to.
const MOVED: [(&str, &str); 1] = [(
    "max_concurrent",
    "it belongs in the provider's limits: `limits: {max_concurrent: 50}`",
)];

/// Reads YAML of one of the forms of [`file`](super::file); a problem names the line and the key, and
/// shows nothing of the values, which may be keys of another kind.
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
        let key = key(&track.path());
        Problem::new(Origin::file(path, line), told(&error, &key, text, line))
    })
}

/// Where in the document the reading stopped, as in `retry.max_delay` or `models[0]`; empty at the top.
fn key(path: &serde_path_to_error::Path) -> String {
    let mut segments: Vec<&Segment> = path.iter().collect();
    // A value with its line is read as if it were a struct with this field.
    if matches!(segments.last(), Some(Segment::Map { key }) if key == "value") {
        segments.pop();
    }
    segments
        .into_iter()
        .fold(String::new(), |before, segment| match segment {
            Segment::Seq { index } => format!("{before}[{index}]"),
            Segment::Map { key } | Segment::Enum { variant: key } => under(&before, key),
            // A name of the user's choice.
            Segment::Unknown => under(&before, "…"),
        })
}

fn under(before: &str, key: &str) -> String {
    if before.is_empty() {
        key.to_owned()
    } else {
        format!("{before}.{key}")
    }
}

/// What is wrong, and what would be right.
fn told(error: &Error, key: &str, text: &str, line: Option<usize>) -> String {
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => match (moved(field), closest(field, expected.iter().copied())) {
            (Some(moved), _) => format!("`{key}` is not a setting; {moved}"),
            (None, Some(near)) => format!("`{key}` is not a setting; did you mean `{near}`?"),
            (None, None) => format!(
                "`{key}` is not a setting; expected one of {}",
                expected.join(", ")
            ),
        },
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
            "{} is set twice; take one away",
            twice
                .as_ref()
                .map_or_else(|| "a name".to_owned(), |twice| format!("`{twice}`"))
        ),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; expected a single one, so take the `---` away"
                .to_owned()
        }
        Error::UnknownAnchor { .. } => format!(
            "`{}` begins with *, which in YAML names an anchor, and there is none of this name; \
             expected quotes around a value that begins so",
            near(text, line)
        ),
        other => format!(
            "this is not YAML, in or after `{}`: {}; expected `name: value`, with quotes around a \
             value that holds any of : # {{ }} [ ] , & * ? | > @ `",
            near(text, line),
            words_of(other)
        ),
    }
}

fn moved(field: &str) -> Option<&'static str> {
    let found = MOVED.iter().find(|(name, _)| *name == field);
    found.map(|(_, moved)| *moved)
}

/// The parser's own words, without the place, which is told before them.
fn words_of(error: &Error) -> String {
    let words = error.to_string();
    let end = words.find(" at line ").unwrap_or(words.len());
    words.get(..end).unwrap_or_default().to_owned()
}

/// The last name before or on a line.
fn near(text: &str, line: Option<usize>) -> &str {
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
