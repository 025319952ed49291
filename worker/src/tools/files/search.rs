//! `search`: the lines of files that match a regular expression.

use std::{ops::ControlFlow, path::Path};

use cap_std::fs::Dir;
use regex::Regex;
use serde::Deserialize;

use super::{Files, relative};

/// The most lines that a search finds.
const MOST_FOUND: usize = 200;

/// The most characters of each that are shown.
const SHOWN: usize = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tools) struct Search {
    pattern: String,
    path: Option<String>,
}

impl Files {
    /// `search`.
    pub(in crate::tools) fn search(&self, asked: &Search) -> Result<String, String> {
        let pattern = Regex::new(&asked.pattern).map_err(|error| format!("`pattern`: {error}"))?;
        let path = asked.path.as_deref().unwrap_or(".");
        let mut found = Vec::new();
        let is_file = {
            let metadata = self.open()?.metadata(relative(path)?);
            metadata.is_ok_and(|metadata| metadata.is_file())
        };
        let mut visit = |root: &Dir, path: &Path| {
            let path = path.display().to_string();
            // What is too large or no text is left out.
            let text = self.text(root, &path).unwrap_or_default();
            lines(&pattern, &path, &text, &mut found)
        };
        let end = if is_file {
            let text = self.text(&self.open()?, path)?;
            lines(&pattern, path, &text, &mut found).break_value()
        } else {
            self.walk(path, &mut visit)?
        };
        found.extend(end);
        if found.is_empty() {
            return Ok("nothing found".to_owned());
        }
        Ok(found.join("\n"))
    }
}

/// Adds the lines of a text that match.
fn lines(pattern: &Regex, path: &str, text: &str, found: &mut Vec<String>) -> ControlFlow<String> {
    let lines = (1..).zip(text.lines());
    for (number, line) in lines.filter(|(_, line): &(u32, &str)| pattern.is_match(line)) {
        if found.len() >= MOST_FOUND {
            return ControlFlow::Break(format!(
                "… more than {MOST_FOUND} lines: search for less …"
            ));
        }
        let shown: String = line.chars().take(SHOWN).collect();
        found.push(format!("{path}:{number}: {shown}"));
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::rig, *};

    #[test]
    fn lines_are_found_by_pattern() {
        let (_root, files) = rig();
        let search = |pattern: &str, path: Option<&str>| {
            files.search(&Search {
                pattern: pattern.to_owned(),
                path: path.map(str::to_owned),
            })
        };
        let both = "src/main.rs:2: two\nsrc/deep/lib.rs:1: deep two";
        assert_eq!(search("t[w]o$", None).unwrap(), both);
        assert_eq!(
            search("two", Some("src/main.rs")).unwrap(),
            "src/main.rs:2: two"
        );
        assert_eq!(
            search("two", Some("src/deep")).unwrap(),
            "src/deep/lib.rs:1: deep two"
        );
        assert_eq!(search("hunter2", None).unwrap(), "nothing found");
        search("(", None).unwrap_err();
        search("hunter2", Some("link")).unwrap_err();
        search("hunter2", Some("..")).unwrap_err();
    }
}
