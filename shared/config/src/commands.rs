//! Reads what the commands of gates and of tools have in common.

use std::{collections::BTreeMap, path::PathBuf};

use longshore_settings::{Entries, Form, Reader, Text};

/// The program and its arguments.
pub(crate) fn command(
    r: &mut Reader<'_>,
    at: &str,
    name: &Text,
    written: Option<&[Text]>,
) -> Option<Vec<String>> {
    let words: Vec<String> = written
        .unwrap_or_default()
        .iter()
        .filter_map(|word| r.value(&format!("{at}.command"), word, &any_text()))
        .collect();
    if words.first().is_none_or(String::is_empty) {
        let problem = format!("`{at}` has no `command`; expected a program and its arguments");
        r.problem_at(name, problem);
        return None;
    }
    Some(words)
}

/// A directory that must be set.
pub(crate) fn directory(
    r: &mut Reader<'_>,
    at: &str,
    field: &str,
    name: &Text,
    written: Option<&Text>,
) -> Option<PathBuf> {
    let Some(written) = written else {
        r.problem_at(
            name,
            format!("`{at}` has no `{field}`; expected an absolute path"),
        );
        return None;
    };
    r.value(&format!("{at}.{field}"), written, &absolute_path())
}

/// The variables of a command.
pub(crate) fn variables(
    r: &mut Reader<'_>,
    at: &str,
    env: &Entries<Text>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, written) in &env.0 {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.as_str().is_empty() || !name.as_str().chars().all(is_valid) {
            let problem = format!(
                "`{at}.env`: `{}` is no name of a variable; expected letters, digits and `_`",
                name.as_str()
            );
            r.problem_at(name, problem);
            continue;
        }
        let at = format!("{at}.env.{}", name.as_str());
        if let Some(value) = r.value(&at, written, &any_text().secret()) {
            variables.insert(name.as_str().to_owned(), value);
        }
    }
    variables
}

pub(crate) fn any_text() -> Form<String> {
    Form::new("text", |text| Some(text.to_owned()))
}

pub(crate) fn absolute_path() -> Form<PathBuf> {
    Form::with_format(
        "an absolute path",
        |text| Some(PathBuf::from(text)).filter(|path| path.is_absolute()),
        |path: &PathBuf| path.display().to_string(),
    )
}
