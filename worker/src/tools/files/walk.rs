//! `list_files`, and the walk through the files of a directory.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use cap_std::fs::Dir;
use regex::Regex;
use serde::Deserialize;

use super::{Files, PROTECTED, fault, relative};

/// The most files that a list has.
const MOST_LISTED: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tools) struct ListFiles {
    path: Option<String>,
    glob: Option<String>,
}

impl Files {
    /// `list_files`.
    pub(in crate::tools) fn list(&self, asked: &ListFiles) -> Result<String, String> {
        let pattern = asked.glob.as_deref().map(glob).transpose()?;
        let mut listed = Vec::new();
        let end = self.walk(asked.path.as_deref().unwrap_or("."), &mut |_, path| {
            let path = path.display().to_string();
            if pattern.as_ref().is_none_or(|glob| glob.is_match(&path)) {
                if listed.len() >= MOST_LISTED {
                    return ControlFlow::Break(format!(
                        "… more than {MOST_LISTED} files: ask for fewer with `glob` or `path` …"
                    ));
                }
                listed.push(path);
            }
            ControlFlow::Continue(())
        })?;
        listed.extend(end);
        if listed.is_empty() {
            return Ok("no files".to_owned());
        }
        Ok(listed.join("\n"))
    }

    /// Visits the regular files below a directory in order of their names, without links and without what is protected.
    /// Returns why it ended early.
    pub(super) fn walk(
        &self,
        below: &str,
        visit: &mut dyn FnMut(&Dir, &Path) -> ControlFlow<String>,
    ) -> Result<Option<String>, String> {
        let below = relative(below)?;
        let root = self.open()?;
        let named = below.display().to_string();
        let first = root
            .open_dir(below)
            .map_err(|error| fault(&named, &error))?;
        let mut left = vec![(first, without_dots(below))];
        while let Some((dir, path)) = left.pop() {
            let mut below = Vec::new();
            for (name, is_dir) in entries(&dir).map_err(|error| fault(&named, &error))? {
                if Instant::now() > self.until {
                    return Ok(Some("… not all files: the time is over …".to_owned()));
                }
                let path = path.join(&name);
                if is_dir {
                    // It may be gone by now, or not be readable.
                    below.extend(dir.open_dir(&name).ok().map(|dir| (dir, path)));
                } else if let ControlFlow::Break(why) = visit(&root, &path) {
                    return Ok(Some(why));
                }
            }
            left.extend(below.into_iter().rev());
        }
        Ok(None)
    }
}

/// The files and directories of a directory by name.
fn entries(dir: &Dir) -> std::io::Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    for entry in dir.entries()? {
        let entry = entry?;
        // A name that is no text cannot be asked for either.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let kind = entry.file_type()?;
        if name != PROTECTED && (kind.is_dir() || kind.is_file()) {
            entries.push((name, kind.is_dir()));
        }
    }
    entries.sort();
    Ok(entries)
}

fn without_dots(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != std::path::Component::CurDir)
        .collect()
}

/// The expression of a glob: `*` and `?` stand for characters of one name, `**` for any path. One without `/` is about
/// names in any directory.
fn glob(glob: &str) -> Result<Regex, String> {
    let anywhere = if glob.contains('/') { "" } else { "(?:.*/)?" };
    let mut expression = format!("^{anywhere}");
    let mut rest = glob.trim_start_matches("./");
    while let Some(next) = rest.chars().next() {
        let (part, length) = if rest.starts_with("**/") {
            ("(?:.*/)?".to_owned(), 3)
        } else if rest.starts_with("**") {
            (".*".to_owned(), 2)
        } else if next == '*' {
            ("[^/]*".to_owned(), 1)
        } else if next == '?' {
            ("[^/]".to_owned(), 1)
        } else {
            (
                regex::escape(next.encode_utf8(&mut [0; 4])),
                next.len_utf8(),
            )
        };
        expression.push_str(&part);
        rest = rest.get(length..).unwrap_or_default();
    }
    expression.push('$');
    Regex::new(&expression).map_err(|error| format!("`glob`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::rig, *};

    #[test]
    fn files_are_listed_without_links_and_git() {
        let (_root, files) = rig();
        for (path, glob, listed) in [
            (None, None, "binary\nlarge\nsrc/main.rs\nsrc/deep/lib.rs"),
            (None, Some("*.rs"), "src/main.rs\nsrc/deep/lib.rs"),
            (None, Some("src/*.rs"), "src/main.rs"),
            (None, Some("src/**/*.rs"), "src/main.rs\nsrc/deep/lib.rs"),
            (None, Some("l?rge"), "large"),
            (None, Some("*.toml"), "no files"),
            (Some("./src/deep"), None, "src/deep/lib.rs"),
        ] {
            let asked = ListFiles {
                path: path.map(str::to_owned),
                glob: glob.map(str::to_owned),
            };
            assert_eq!(files.list(&asked).unwrap(), listed, "{path:?} {glob:?}");
        }
        for path in ["..", "up", "/", "nowhere", "large"] {
            let asked = ListFiles {
                path: Some(path.to_owned()),
                glob: None,
            };
            files.list(&asked).unwrap_err();
        }
    }
}
