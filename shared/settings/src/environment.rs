//! The environment of the process, read once.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{ConfigError, Origin, Problem};

/// The file that is read from the working directory unless `LONGSHORE_CONFIG` names another.
pub const FILE_NAME: &str = "longshore.yaml";

/// A snapshot of the environment variables and of `.env`; nothing else in Longshore reads either.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The directory of `longshore.yaml`, if that file is to be read.
    directory: Option<PathBuf>,
}

impl Environment {
    /// The variables of the process, and those that `.env` in the working directory adds.
    pub fn read() -> Result<Self, ConfigError> {
        // Not `vars()`, which panics on a variable that is not UTF-8.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut environment = Self {
            variables,
            directory: Some(PathBuf::from(".")),
        };
        environment.add_dotenv(Path::new(".env"))?;
        Ok(environment)
    }

    /// An environment of these variables only, without a file.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            variables: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: None,
        }
    }

    /// The variables of a file of `NAME=value` lines; none if there is no such file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let mut environment = Self::default();
        environment.add_dotenv(path)?;
        Ok(environment)
    }

    /// The same environment, with `longshore.yaml` and `.env` from `directory`.
    pub fn in_directory(mut self, directory: &Path) -> Result<Self, ConfigError> {
        self.directory = Some(directory.to_owned());
        self.add_dotenv(&directory.join(".env"))?;
        Ok(self)
    }

    /// The same environment with this variable set, or unset if `value` is empty.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The names of all variables, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    pub fn config_path(&self) -> Option<PathBuf> {
        if let Some(path) = self.get("LONGSHORE_CONFIG") {
            return Some(PathBuf::from(path));
        }
        let directory = self.directory.as_ref()?;
        // In the working directory the bare name, so that messages are `longshore.yaml:3: …`.
        let path = if directory == Path::new(".") {
            PathBuf::from(FILE_NAME)
        } else {
            directory.join(FILE_NAME)
        };
        path.exists().then_some(path)
    }

    fn add_dotenv(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                return Err(Problem::new(Origin::file(path, None), text).into());
            }
        };
        let text = text.trim_start_matches('\u{feff}');
        let mut problems = Vec::new();
        for pair in dotenvy::from_read_iter(text.as_bytes()) {
            match pair {
                Ok((name, value)) => {
                    self.variables.entry(name).or_insert(value);
                }
                Err(error) => problems.push(invalid_line(path, text, &error)),
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.into())
        }
    }
}

/// Names the line without showing it: it may contain a key.
fn invalid_line(path: &Path, text: &str, error: &dotenvy::Error) -> Problem {
    let line = match error {
        // The error has the line, or the part after its `=`.
        dotenvy::Error::LineParse(wrong, _) if !wrong.is_empty() => text
            .lines()
            .position(|line| line.trim_end().ends_with(wrong))
            .map(|index| index + 1),
        _ => None,
    };
    Problem::new(
        Origin::file(path, line),
        "cannot be read: expected NAME=value, with quotes around a value that has spaces or #",
    )
}

/// Names only: values may be keys.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("directory", &self.directory)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_adds_variables_that_are_unset() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join(".env"),
            "# keys\nexport A=from-file\nB=\"two words\"\n",
        )
        .unwrap();
        let environment = Environment::from_pairs([("A", "own")])
            .in_directory(directory.path())
            .unwrap();
        assert_eq!(environment.get("A"), Some("own"));
        assert_eq!(environment.get("B"), Some("two words"));
    }

    #[test]
    fn invalid_lines_are_reported_but_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join(".env"),
            "A=1\nOPENAI_API_KEY=sk-secret more\nB=2\nD=two words\nnot a line\n",
        )
        .unwrap();
        let error = Environment::default()
            .in_directory(directory.path())
            .unwrap_err();
        let lines: Vec<Option<usize>> = error
            .problems()
            .iter()
            .map(|problem| match &problem.origin {
                Origin::File { line, .. } => *line,
                _ => None,
            })
            .collect();
        assert_eq!(lines, [Some(2), Some(4), Some(5)], "{error}");
        let text =
            "cannot be read: expected NAME=value, with quotes around a value that has spaces or #";
        for problem in error.problems() {
            assert_eq!(problem.text, text);
        }
    }

    #[test]
    fn debug_hides_values() {
        let environment = Environment::from_pairs([("OPENAI_API_KEY", "sk-secret")]);
        let debug = format!("{environment:?}");
        assert!(debug.contains("OPENAI_API_KEY"));
        assert!(!debug.contains("sk-secret"));
    }

    #[test]
    fn reads_the_environment_of_the_process() {
        assert!(Environment::read().unwrap().get("PATH").is_some());
    }
}
