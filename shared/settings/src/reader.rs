//! Finds each setting in the environment or in the file, and gathers what is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    Environment, Form, Interpolated, Origin, Problem, Text,
    interpolate::{interpolate, variables_of},
    suggest::closest,
};

/// Variables of ours that are read elsewhere: the file's path, logging, the command line's, and those
/// of `longshore dev`.
const OTHER_VARIABLES: [&str; 10] = [
    "LONGSHORE_CONFIG",
    "LONGSHORE_LOG",
    "LONGSHORE_LOG_FORMAT",
    "LONGSHORE_POSTGRES_BIN",
    "LONGSHORE_REDIS_SERVER",
    "LONGSHORE_SCHEDULER_URL",
    "LONGSHORE_TASKS_FILE",
    "LONGSHORE_WORKER_URL",
    "LONGSHORE_WORKER_URLS",
    "LONGSHORE_WORKING_DIR",
];

/// What a reading comes to.
pub struct Read {
    /// All that is wrong.
    pub problems: Vec<Problem>,
    /// What looks wrong but keeps nothing from running.
    pub warnings: Vec<String>,
    /// Where each setting stands that is set.
    pub origins: BTreeMap<String, Origin>,
}

/// Finds settings and gathers problems.
pub struct Reader<'a> {
    env: &'a Environment,
    path: PathBuf,
    known: BTreeSet<String>,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads from `env` and from the file at `path`.
    pub fn new(env: &'a Environment, path: &Path) -> Self {
        Self {
            env,
            path: path.to_owned(),
            known: OTHER_VARIABLES.map(str::to_owned).into(),
            origins: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads values of another file.
    pub fn within<T>(&mut self, path: &Path, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.path, path.to_owned());
        let value = read(self);
        self.path = outer;
        value
    }

    /// A setting, by its variable or as it is `written` in the file.
    pub fn setting<T>(&mut self, name: &str, written: Option<&Text>, form: &Form<T>) -> Option<T> {
        self.setting_also(name, &[], written, form)
    }

    /// The same, also by the variables `others`, which come after our own.
    pub fn setting_also<T>(
        &mut self,
        name: &str,
        others: &[&str],
        written: Option<&Text>,
        form: &Form<T>,
    ) -> Option<T> {
        let own = format!("LONGSHORE_{}", name.replace('.', "_").to_uppercase());
        let seconds = form.seconds.then(|| format!("{own}_SECONDS"));
        let names = std::iter::once(own)
            .chain(seconds)
            .chain(others.iter().map(|other| (*other).to_owned()));
        let mut found = None;
        // All of them, not up to the first that is set: each is to be known.
        for variable in names {
            if found.is_none() {
                found = self
                    .env
                    .get(&variable)
                    .map(|value| (variable.clone(), value));
            }
            self.known.insert(variable);
        }
        let Some((variable, value)) = found else {
            let written = written?;
            self.stands_at(name, written);
            return self.value(name, written, form);
        };
        let origin = Origin::Variable(variable);
        self.origins.insert(name.to_owned(), origin.clone());
        let understood = form.understand(value);
        if understood.is_none() {
            self.wrong(origin, name, value, form);
        }
        understood
    }

    /// Remembers that this setting, or the entry of this name, stands in the file.
    pub fn stands_at(&mut self, name: &str, written: &Text) {
        let origin = written.origin(&self.path);
        self.origins.insert(name.to_owned(), origin);
    }

    /// A value of the file.
    pub fn value<T>(&mut self, name: &str, written: &Text, form: &Form<T>) -> Option<T> {
        match self.filled(written) {
            Interpolated::Value(value) => {
                let understood = form.understand(&value);
                if understood.is_none() {
                    // As it was written: what was filled in may be a key.
                    self.wrong(written.origin(&self.path), name, written.as_written(), form);
                }
                understood
            }
            Interpolated::Missing(variable) => {
                let text = format!(
                    "`{name}` needs the variable {variable}, which is not set; \
                     set it, or write ${{{variable}:-default}}"
                );
                self.problem_at(written, text);
                None
            }
            Interpolated::Malformed => {
                self.malformed(name, written);
                None
            }
        }
    }

    /// A value of the file, with its variables filled in.
    pub fn filled(&mut self, written: &Text) -> Interpolated {
        self.fill(written.as_written())
    }

    /// A text of the file, with its variables filled in.
    pub fn fill(&mut self, text: &str) -> Interpolated {
        let variables = variables_of(text);
        self.known.extend(variables.into_iter().map(str::to_owned));
        interpolate(text, self.env)
    }

    /// Tells of a `${` that is of no known form.
    pub fn malformed(&mut self, name: &str, written: &Text) {
        let text = format!(
            "`{name}` has a ${{ that is neither ${{NAME}} nor ${{NAME:-default}}; write $${{ for a plain ${{"
        );
        self.problem_at(written, text);
    }

    /// Tells of a problem with a value of the file.
    pub fn problem_at(&mut self, written: &Text, text: impl Into<String>) {
        self.problems
            .push(Problem::new(written.origin(&self.path), text));
    }

    /// Tells of a problem near a value of the file, or with the file at no line.
    pub fn problem_near(&mut self, near: Option<&Text>, text: impl Into<String>) {
        let origin = near.map_or_else(
            || Origin::file(&self.path, None),
            |near| near.origin(&self.path),
        );
        self.problem(origin, text);
    }

    /// Tells of a problem with the file at no line, or with how settings stand to each other.
    pub fn problem(&mut self, origin: Origin, text: impl Into<String>) {
        self.problems.push(Problem::new(origin, text));
    }

    /// Tells of a problem with a setting that is set, where it stands.
    pub fn problem_with(&mut self, name: &str, text: String) {
        self.misfit([name, name], text);
    }

    /// Tells that these settings do not fit each other, where the first of them stands that is set.
    pub fn misfit(&mut self, names: [&str; 2], text: String) {
        let origin = names.iter().find_map(|name| self.origins.get(*name));
        let origin = origin.cloned().unwrap_or(Origin::Together);
        self.problems.push(Problem::new(origin, text));
    }

    /// How many problems there are so far.
    pub fn told(&self) -> usize {
        self.problems.len()
    }

    /// The value of a variable that is not ours.
    pub fn variable(&mut self, name: &str) -> Option<&'a str> {
        self.known.insert(name.to_owned());
        self.env.get(name)
    }

    /// Where a value stands, for messages.
    pub fn place(&self, written: &Text) -> String {
        written.origin(&self.path).to_string()
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells of what looks wrong but keeps nothing from running.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn wrong<T>(&mut self, origin: Origin, name: &str, value: &str, form: &Form<T>) {
        let expected = &form.expected;
        let text = if form.secret {
            format!("`{name}` is not valid; expected {expected}")
        } else {
            let shown: String = value.chars().take(60).collect();
            format!("`{name}` is `{shown}`; expected {expected}")
        };
        self.problems.push(Problem::new(origin, text));
    }

    /// Ends the reading: the problems in the file's order, and the warnings, one of them for each
    /// variable that looks like ours and is not.
    pub fn finish(mut self) -> Read {
        self.problems.sort_by_key(|problem| match &problem.origin {
            Origin::File { line, .. } => (0, *line),
            Origin::Variable(_) => (1, None),
            Origin::Together => (2, None),
        });
        let mistyped = self
            .env
            .names()
            .filter(|name| name.starts_with("LONGSHORE_") && !self.known.contains(*name))
            // Kubernetes sets these in every pod beside a service named `longshore…`.
            .filter(|name| !name.contains("_SERVICE_") && !name.contains("_PORT"))
            .map(|name| {
                let hint = closest(name, self.known.iter().map(String::as_str))
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                format!("the variable {name} is not a setting{hint}")
            });
        self.warnings.extend(mistyped);
        Read {
            problems: self.problems,
            warnings: self.warnings,
            origins: self.origins,
        }
    }
}
