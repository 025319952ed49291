//! Reads the file of tasks, and tells of everything that is wrong with it at once.

use std::{fmt, io::Read as _, path::PathBuf};

use longshore::{Job, MalformedCode};
use longshore_shared::{catalog::Catalog, envelope::Limits};
use serde_json::value::RawValue;

use crate::{commands::submit::check_platform, error::CommandError};

/// Where the tasks come from.
#[derive(Debug)]
pub(in crate::commands) enum Source {
    Stdin,
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    pub(in crate::commands) fn of(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) if path.as_os_str() != "-" => Self::File(path),
            _ => Self::Stdin,
        }
    }

    /// The tasks, every one of them right; or all that is wrong, in words.
    pub(super) fn tasks(
        &self,
        limits: &Limits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        self.read(listed, limits, catalog)
    }

    /// The same, where one task may stand without a list around it.
    pub(in crate::commands) fn task_or_tasks(
        &self,
        limits: &Limits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        self.read(one_or_listed, limits, catalog)
    }

    fn read(
        &self,
        parts: impl FnOnce(&str) -> Result<Vec<&RawValue>, String>,
        limits: &Limits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        let bytes = match self {
            Self::File(path) => std::fs::read(path),
            Self::Stdin => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .map(|_| bytes)
            }
        };
        let bytes = bytes.map_err(|source| CommandError::Io {
            what: format!("{self} cannot be read"),
            source,
        })?;
        read(&bytes, parts, limits, catalog).map_err(|wrong| {
            let lines: Vec<String> = wrong
                .into_iter()
                .map(|wrong| format!("{self}: {wrong}"))
                .collect();
            CommandError::Input(lines.join("\n"))
        })
    }
}

fn read(
    bytes: &[u8],
    parts: impl FnOnce(&str) -> Result<Vec<&RawValue>, String>,
    limits: &Limits,
    catalog: &Catalog,
) -> Result<Vec<Job>, Vec<String>> {
    let tasks = text(bytes).and_then(parts).map_err(|wrong| vec![wrong])?;
    let (mut jobs, mut wrong) = (Vec::with_capacity(tasks.len()), Vec::new());
    let mut ids = std::collections::HashMap::new();
    for (index, text) in tasks.iter().enumerate() {
        let task = task(text.get(), limits, catalog).and_then(|(job, id)| {
            // The second would be dropped, or be a conflict: either way not what was meant.
            match id.and_then(|id| ids.insert(id, index)) {
                Some(first) => Err(format!("field `id`: task {} has the same", first + 1)),
                None => Ok(job),
            }
        });
        match task {
            Ok(job) => jobs.push(job),
            Err(reason) => wrong.push(format!("task {} (index {index}): {reason}", index + 1)),
        }
    }
    if wrong.is_empty() {
        Ok(jobs)
    } else {
        Err(wrong)
    }
}

/// The text, without the mark that some editors put before it.
fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        format!(
            "expected UTF-8, but got another byte at {}",
            error.valid_up_to()
        )
    })?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// The same of a list, or a task that stands by itself.
fn one_or_listed(text: &str) -> Result<Vec<&RawValue>, String> {
    let task: Option<&RawValue> = serde_json::from_str(text).ok();
    match task.filter(|task| task.get().starts_with('{')) {
        Some(task) => Ok(vec![task]),
        None => listed(text),
    }
}

/// The elements of the list, not yet looked into.
fn listed(text: &str) -> Result<Vec<&RawValue>, String> {
    if text.trim().is_empty() {
        return Err("expected a JSON list of tasks, but it is empty".to_owned());
    }
    let whole: &RawValue =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if !whole.get().starts_with('[') {
        return Err(r#"expected a JSON list of tasks: [{"prompt": "…"}, …]"#.to_owned());
    }
    let tasks: Vec<&RawValue> =
        serde_json::from_str(whole.get()).map_err(|error| format!("not JSON: {error}"))?;
    if tasks.is_empty() {
        return Err("expected at least one task, but the list is empty".to_owned());
    }
    Ok(tasks)
}

/// One task, with the id that it was given.
fn task(
    text: &str,
    limits: &Limits,
    catalog: &Catalog,
) -> Result<(Job, Option<longshore::JobId>), String> {
    let envelope = Job::from_json(text, limits)
        .and_then(|job| job.check(limits).map(|envelope| (job, envelope)))
        .map_err(|wrong| match wrong.code {
            MalformedCode::NotAnObject => r#"expected an object: {"prompt": "…"}"#.to_owned(),
            _ => wrong.to_string(),
        });
    let (job, envelope) = envelope?;
    if let Some(platform) = &envelope.platform {
        check_platform(platform, catalog).map_err(|wrong| format!("field `platform`: {wrong}"))?;
    }
    Ok((job, envelope.id))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use longshore_shared::config::{Config, Environment};

    use super::*;

    fn read_text(text: &str) -> Result<Vec<Job>, String> {
        let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
        read(text.as_bytes(), listed, &Limits::default(), &config.catalog)
            .map_err(|wrong| wrong.join("\n"))
    }

    #[test]
    fn tasks_are_kept_as_they_were_written() {
        let text = r#"[{"prompt": "a", "metadata": {"n": 0.10}, "later": 1}, {"messages": [{"role": "user", "content": "b"}]}]"#;
        let tasks = read_text(text).unwrap();
        assert_eq!(
            tasks[0].to_json(),
            r#"{"later":1,"metadata":{"n": 0.10},"prompt":"a"}"#
        );
        assert_eq!(tasks.len(), 2);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text = r#"[
            {"prompt": "fine"},
            {"prompt": "x", "timeout": "soon"},
            {"type": "research"},
            "just text",
            {"prompt": "x", "platform": "skynet"},
            {"prompt": "x", "id": "one"},
            {"prompt": "y", "id": "one"},
            {"prompt": "x", "prompt": "y"},
            {"prompt": "x", "_resume": 1}
        ]"#;
        assert_snapshot!(read_text(text).unwrap_err(), @r#"
        task 2 (index 1): field `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
        task 3 (index 2): field `prompt`: expected `prompt`, or `messages`, but got neither
        task 4 (index 3): expected an object: {"prompt": "…"}
        task 5 (index 4): field `platform`: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        task 7 (index 6): field `id`: task 6 has the same
        task 8 (index 7): field `prompt`: expected it once, but got it more often
        task 9 (index 8): field `_resume`: names that begin with `_` are reserved for the server
        "#);
    }

    #[test]
    fn what_is_no_list_of_tasks_is_told_apart() {
        let texts = [
            "",
            "[{\"prompt\": \"x\"},\n {\"prompt\" \"y\"}]",
            "{\"prompt\": \"x\"}",
            "[]",
            "[] []",
        ];
        let wrong: Vec<String> = texts
            .into_iter()
            .map(|text| read_text(text).unwrap_err())
            .collect();
        assert_snapshot!(wrong.join("\n"), @r#"
        expected a JSON list of tasks, but it is empty
        not JSON: expected `:` at line 2 column 12
        expected a JSON list of tasks: [{"prompt": "…"}, …]
        expected at least one task, but the list is empty
        not JSON: trailing characters at line 1 column 4
        "#);
        let wrong = read(b"[\xff]", listed, &Limits::default(), &Catalog::default()).unwrap_err();
        assert_eq!(wrong, ["expected UTF-8, but got another byte at 1"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = Source::of(Some("no/such/batch.json".into()));
        let error = source
            .tasks(&Limits::default(), &Catalog::default())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no/such/batch.json cannot be read: "),
            "{error}"
        );
    }
}
