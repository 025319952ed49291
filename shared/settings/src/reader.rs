//! Reads each setting from the environment or from the file, and collects errors and warnings.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    Environment, Form, Interpolated, Origin, Part, Problem, Text,
    interpolate::{interpolate, variable_in_use, variables_of},
    suggest::closest,
    yaml::{Parsed, parse, parse_json},
};

/// The result of reading a configuration.
pub struct Read {
    /// Every error.
    pub problems: Vec<Problem>,
    /// What looks wrong but does not prevent a start.
    pub warnings: Vec<String>,
    /// The origin of each setting that is set.
    pub origins: BTreeMap<String, Origin>,
}

/// The path of a setting, and the variables that may hold it.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The path in the file, such as `retry.max_retries`.
    pub path: &'a str,
    /// Variables besides `LONGSHORE_…`, such as `REDIS_URL`. `None`: the file alone may set it.
    pub variables: Option<&'a [&'a str]>,
}

/// The variable that sets the setting at `path`.
pub fn variable_name(path: &str) -> String {
    format!("LONGSHORE_{}", path.replace('.', "_").to_uppercase())
}

/// Reads settings and collects errors.
pub struct Reader<'a> {
    env: &'a Environment,
    path: PathBuf,
    known: BTreeSet<String>,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    /// The paths of settings that are not valid.
    invalid: BTreeSet<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads from `env` and from the file at `path`. `other_variables` begin with `LONGSHORE_` but set no
    /// setting.
    pub fn new<'v>(
        env: &'a Environment,
        path: &Path,
        other_variables: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        let known = other_variables.into_iter().map(str::to_owned);
        Self {
            env,
            path: path.to_owned(),
            known: known.collect(),
            origins: BTreeMap::new(),
            problems: Vec::new(),
            invalid: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    /// Takes a file that was parsed, and reports what is wrong with its form.
    pub fn adopt<T>(&mut self, parsed: Parsed<T>) -> T {
        self.problems.extend(parsed.problems);
        self.invalid.extend(parsed.unreadable);
        parsed.value
    }

    /// Parses another file. `None`: it is not YAML.
    pub fn parse<T: Part>(&mut self, path: &Path, text: &str) -> Option<T> {
        self.adopt_if_read(parse(path, text))
    }

    /// As [`Reader::parse`], for a file that is JSON.
    pub fn parse_json<T: Part>(&mut self, path: &Path, text: &str) -> Option<T> {
        self.adopt_if_read(parse_json(path, text))
    }

    fn adopt_if_read<T>(&mut self, parsed: Result<Parsed<T>, Problem>) -> Option<T> {
        match parsed {
            Ok(parsed) => Some(self.adopt(parsed)),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that the file names; a relative one starts at the directory of the file.
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.path
            .parent()
            .map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// Reads values of another file.
    pub fn within<T>(&mut self, path: &Path, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.path, path.to_owned());
        let value = read(self);
        self.path = outer;
        value
    }

    /// Reads a setting from its variables, or else from the file. `None`: it is unset or not valid.
    pub fn setting<T>(
        &mut self,
        key: Key<'_>,
        written: Option<&Text>,
        form: &Form<T>,
    ) -> Option<T> {
        if let Some((origin, text)) = self.find_variable(key, form.is_duration) {
            let value = form.parse(text);
            if value.is_none() {
                self.report_invalid(origin, key.path, text, form);
            } else {
                self.warn_of_ignored(key, &origin, text, form);
            }
            return value;
        }
        let written = written?;
        self.record_origin(key.path, written);
        self.value(key.path, written, form)
    }

    /// Warns of a variable that would set the setting to another value if `origin` were unset. One whose value has
    /// another form, such as a `DATABASE_URL` with `mysql://`, is that of another program.
    fn warn_of_ignored<T>(&mut self, key: Key<'_>, origin: &Origin, text: &str, form: &Form<T>) {
        let others = key.variables.unwrap_or_default().iter();
        for other in others.filter(|other| origin.to_string() != **other) {
            let value = self.env.get(other);
            if value.is_some_and(|value| value != text && form.parse(value).is_some()) {
                self.warnings.push(format!(
                    "{other} is ignored: {origin} is set to another value and takes precedence"
                ));
            }
        }
    }

    /// Reads a list from its variables, where commas separate the values, or else from the file.
    pub fn list<T>(
        &mut self,
        key: Key<'_>,
        written: Option<&[Text]>,
        form: &Form<T>,
    ) -> Option<Vec<T>> {
        if let Some((origin, text)) = self.find_variable(key, form.is_duration) {
            let values: Option<Vec<T>> = text.split(',').map(|one| form.parse(one)).collect();
            if values.is_none() {
                let expected = format!("{}, with commas between", form.expected);
                self.report_value(origin, key.path, text, &expected, form.is_secret);
            }
            return values;
        }
        let written = written?;
        if let Some(first) = written.first() {
            self.record_origin(key.path, first);
        }
        let values = written
            .iter()
            .filter_map(|one| self.value(key.path, one, form));
        Some(values.collect())
    }

    /// Finds the first of a setting's variables that is set, and records it as the setting's origin.
    fn find_variable(&mut self, key: Key<'_>, is_duration: bool) -> Option<(Origin, &'a str)> {
        let others = key.variables?;
        let own = variable_name(key.path);
        let seconds = is_duration.then(|| format!("{own}_SECONDS"));
        let names: Vec<String> = std::iter::once(own)
            .chain(seconds)
            .chain(others.iter().map(|other| (*other).to_owned()))
            .collect();
        // All of them are known, not only those up to the first that is set.
        self.known.extend(names.iter().cloned());
        let env = self.env;
        let (name, text) = names
            .into_iter()
            .find_map(|name| env.get(&name).map(|text| (name, text)))?;
        let origin = Origin::Variable(name);
        self.origins.insert(key.path.to_owned(), origin.clone());
        Some((origin, text))
    }

    /// Reads a value of the file; `name` is its name in errors. `None`: it is not valid, which is reported.
    pub fn value<T>(&mut self, name: &str, written: &Text, form: &Form<T>) -> Option<T> {
        let text = self.resolve(name, Some(written), written.as_str())?;
        let value = form.parse(&text);
        if value.is_none() {
            // Shown with its `${…}`: the value of a variable may be a key.
            let (origin, shown) = (written.origin(&self.path), written.as_str());
            self.report_invalid(origin, name, shown, form);
        }
        value
    }

    /// Replaces the variables in a text of the file, or reports the one that is missing, at `near`.
    pub fn resolve(&mut self, name: &str, near: Option<&Text>, text: &str) -> Option<String> {
        if near.is_some_and(Text::is_unreadable) {
            self.invalid.insert(name.to_owned());
            return None;
        }
        match self.interpolate(text) {
            Interpolated::Value(value) => return Some(value),
            Interpolated::Missing(variable) => {
                let text = format!(
                    "`{name}` needs the variable {variable}, which is not set; \
                     set it, or write ${{{variable}:-default}}"
                );
                self.problem_near(near, text);
            }
            Interpolated::Malformed => self.report_malformed(name, near),
        }
        self.invalid.insert(name.to_owned());
        None
    }

    /// Replaces the variables in a text of the file.
    pub fn interpolate(&mut self, text: &str) -> Interpolated {
        let variables = variables_of(text);
        self.known.extend(variables.into_iter().map(str::to_owned));
        interpolate(text, self.env)
    }

    /// The first variable of a text that is set; if none is, the first that it names.
    pub fn variable_in_use<'t>(&self, text: &'t str) -> Option<&'t str> {
        variable_in_use(text, self.env)
    }

    /// The value of a variable that is no setting, such as a provider's key.
    pub fn variable(&mut self, name: &str) -> Option<&'a str> {
        self.known.insert(name.to_owned());
        self.env.get(name)
    }

    /// Records that the file sets the setting or entry `name`.
    pub fn record_origin(&mut self, name: &str, written: &Text) {
        let origin = written.origin(&self.path);
        self.origins.insert(name.to_owned(), origin);
    }

    /// The file and line of a value, for messages.
    pub fn location(&self, written: &Text) -> String {
        written.origin(&self.path).to_string()
    }

    /// Reports a problem with a value of the file.
    pub fn problem_at(&mut self, written: &Text, text: impl Into<String>) {
        self.problem_near(Some(written), text);
    }

    /// Reports a problem at the line of `near`, or with the file as a whole. What is unreadable is reported already,
    /// and what follows from that is not reported again.
    pub fn problem_near(&mut self, near: Option<&Text>, text: impl Into<String>) {
        if near.is_some_and(Text::is_unreadable) {
            return;
        }
        let origin = near.map_or_else(
            || Origin::file(&self.path, None),
            |near| near.origin(&self.path),
        );
        self.problem(origin, text);
    }

    /// Reports a contradiction between these settings, at the first of them that is set. If one of them is not
    /// valid, its value is unknown, and so is the contradiction.
    pub fn problem_with_settings(&mut self, names: &[&str], text: String) {
        if !self.is_valid(names) {
            return;
        }
        let origin = names.iter().find_map(|name| self.origins.get(*name));
        let origin = origin.cloned().unwrap_or(Origin::Configuration);
        self.problem(origin, text);
    }

    /// Reports a problem.
    pub fn problem(&mut self, origin: Origin, text: impl Into<String>) {
        self.problems.push(Problem::new(origin, text));
    }

    /// Reports a `${` that is not valid.
    pub fn report_malformed(&mut self, name: &str, near: Option<&Text>) {
        let text = format!(
            "`{name}` has a ${{ that is neither ${{NAME}}, ${{NAME|OTHER}} nor ${{NAME:-default}}; write $${{ for a plain ${{"
        );
        self.problem_near(near, text);
    }

    fn report_invalid<T>(&mut self, origin: Origin, name: &str, text: &str, form: &Form<T>) {
        self.report_value(origin, name, text, &form.expected, form.is_secret);
    }

    fn report_value(
        &mut self,
        origin: Origin,
        name: &str,
        text: &str,
        expected: &str,
        is_secret: bool,
    ) {
        self.invalid.insert(name.to_owned());
        let shown: String = text.chars().take(60).collect();
        let what = match shown.as_str() {
            _ if is_secret => "not valid".to_owned(),
            "" => "empty".to_owned(),
            shown => format!("`{shown}`"),
        };
        self.problem(origin, format!("`{name}` is {what}; expected {expected}"));
    }

    /// Whether none of these settings is invalid.
    pub fn is_valid(&self, names: &[&str]) -> bool {
        names.iter().all(|name| !self.invalid.contains(*name))
    }

    /// Whether neither these sections nor anything in them is invalid: whoever refers to what they hold and does not
    /// find it is wrong.
    pub fn is_sound(&self, sections: &[&str]) -> bool {
        let under = |path: &str, name: &str| {
            let rest = path.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut invalid = self.invalid.iter();
        !invalid.any(|path| sections.iter().any(|name| under(path, name)))
    }

    /// The number of problems so far.
    pub fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// Reports something that looks wrong but does not prevent a start.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// Returns the problems in the order of the file, and the warnings, with one for each variable that
    /// begins with `LONGSHORE_` and is not known.
    pub fn finish(mut self) -> Read {
        sort_problems(&self.path, &mut self.problems);
        let unknown = self
            .env
            .names()
            .filter(|name| name.starts_with("LONGSHORE_") && !self.known.contains(*name))
            // Kubernetes sets these in every pod next to a service named `longshore…`.
            .filter(|name| !name.contains("_SERVICE_") && !name.contains("_PORT"))
            .map(|name| {
                let hint = closest(name, self.known.iter().map(String::as_str))
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                format!("the variable {name} is not a setting{hint}")
            });
        self.warnings.extend(unknown);
        Read {
            problems: self.problems,
            warnings: self.warnings,
            origins: self.origins,
        }
    }
}

/// Sorts problems as they stand in the file at `path`, followed by those of other files and of the environment.
pub fn sort_problems(path: &Path, problems: &mut [Problem]) {
    problems.sort_by_cached_key(|problem| match &problem.origin {
        Origin::File { path: at, line } if at == path => (0, None, *line),
        Origin::File { path: at, line } => (1, Some(at.clone()), *line),
        Origin::Variable(_) => (2, None, None),
        Origin::Configuration => (3, None, None),
    });
}
