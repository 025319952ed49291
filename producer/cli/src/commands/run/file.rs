//! Parses `tasks.yaml`; all faults are reported at once, with their lines.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use longshore_client::Job;
use longshore_config::Config;
use longshore_protocol::chain::StepName;
use serde::Deserialize;
use serde_json::json;
use serde_saphyr::Spanned;

use super::{
    context::{ContextFile, Folder, MAX_TOTAL_BYTES},
    prompt::compose_prompt,
};
use crate::{options::check_platform, render::text::grouped};

/// The longest name of a step, without a number behind it.
const LONGEST_STEP_NAME: usize = 40;

/// The longest id of a task, in characters.
const LONGEST_ID: usize = 200;

/// A valid task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) step: StepName,
    pub(super) goal: String,
    pub(super) kind: Option<String>,
    pub(super) risk: Option<String>,
    pub(super) area: Option<String>,
    pub(super) files: usize,
    pub(super) bytes: usize,
    pub(super) job: Job,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    tasks: Vec<Spanned<RawTask>>,
}

type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    id: Option<Text>,
    goal: Option<Text>,
    #[serde(rename = "type")]
    task_type: Option<Text>,
    risk: Option<Text>,
    area: Option<Text>,
    complexity: Option<Text>,
    platform: Option<Text>,
    max_tokens: Option<Spanned<u32>>,
    repo: Option<Text>,
    #[serde(default)]
    context_files: Vec<Text>,
    #[serde(default)]
    constraints: Vec<Text>,
}

/// Error messages with their lines: `LINE: MESSAGE`.
type Faults = Vec<String>;

/// A line and its error message.
type Fault = (u64, String);

/// Parses a file; returns all tasks, or only the one with the id `only`.
pub(super) fn parse_tasks(
    text: &str,
    folder: &Path,
    only: Option<&str>,
    config: &Config,
) -> Result<Vec<Task>, Faults> {
    let folder = Folder::open(folder).map_err(|wrong| vec![format!(" {wrong}")])?;
    let options = serde_saphyr::options! { with_snippet: false };
    let file: RawFile = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| vec![yaml_error(&error)])?;
    if file.tasks.is_empty() {
        return Err(vec![
            "1: expected `tasks`, a list of at least one task".to_owned(),
        ]);
    }
    let mut reader = Reader {
        folder,
        config,
        faults: Vec::new(),
        lines: HashMap::new(),
        steps: HashSet::new(),
    };
    let mut tasks = Vec::with_capacity(file.tasks.len());
    for raw in &file.tasks {
        // All tasks are checked, even if only one is selected.
        if let Some(task) = reader.task(raw)
            && only.is_none_or(|only| only == task.id)
        {
            tasks.push(task);
        }
    }
    if !reader.faults.is_empty() {
        reader.faults.sort_by_key(|(line, _)| *line);
        let faults = reader.faults.into_iter();
        return Err(faults
            .map(|(line, wrong)| format!("{line}: {wrong}"))
            .collect());
    }
    match only {
        Some(only) if tasks.is_empty() => {
            let mut ids: Vec<&str> = reader.lines.keys().map(String::as_str).collect();
            ids.sort_unstable();
            Err(vec![format!(
                " no task `{only}`; expected one of {}",
                ids.join(", ")
            )])
        }
        _ => Ok(tasks),
    }
}

/// The message of the parser after its line number.
fn yaml_error(error: &serde_saphyr::Error) -> String {
    let line = error.location().map_or(1, |location| location.line());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().trim();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    format!("{line}: {message}")
}

fn line_number<T>(value: &Spanned<T>) -> u64 {
    value.referenced.line()
}

fn non_empty(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.value.trim().to_owned())
        .filter(|text| !text.is_empty())
}

struct Reader<'a> {
    folder: Folder,
    config: &'a Config,
    faults: Vec<Fault>,
    /// The line where each id was first used.
    lines: HashMap<String, u64>,
    steps: HashSet<StepName>,
}

impl Reader<'_> {
    fn add(&mut self, line: u64, task: &str, wrong: impl std::fmt::Display) {
        self.faults.push((line, format!("task `{task}`: {wrong}")));
    }

    fn task(&mut self, raw: &Spanned<RawTask>) -> Option<Task> {
        let start_line = line_number(raw);
        let raw = &raw.value;
        let id = self.id(raw, start_line);
        let name = id.clone().unwrap_or_else(|| "?".to_owned());
        let goal = non_empty(raw.goal.as_ref());
        if goal.is_none() {
            let at = raw.goal.as_ref().map_or(start_line, line_number);
            self.add(at, &name, "expected `goal`, a text that describes the task");
        }
        let files = self.files(raw, &name);
        if let Some(platform) = &raw.platform
            && let Err(wrong) = check_platform(&platform.value, &self.config.catalog)
        {
            self.add(
                line_number(platform),
                &name,
                format_args!("field `platform`: {wrong}"),
            );
        }
        let (id, goal) = (id?, goal?);
        let task_type = non_empty(raw.task_type.as_ref())
            .or_else(|| default_type_for_area(non_empty(raw.area.as_ref())?.as_str()));
        let job = job(raw, &id, &goal, task_type.as_deref(), &files);
        if let Err(wrong) = job.check(&self.config.limits) {
            let line = wrong.field.as_deref().and_then(|field| match field {
                "type" => raw.task_type.as_ref().map(line_number),
                "risk" => raw.risk.as_ref().map(line_number),
                "area" => raw.area.as_ref().map(line_number),
                "complexity" => raw.complexity.as_ref().map(line_number),
                "platform" => raw.platform.as_ref().map(line_number),
                "max_tokens" => raw.max_tokens.as_ref().map(line_number),
                _ => None,
            });
            self.add(line.unwrap_or(start_line), &name, wrong);
        }
        let step = step_name(&id, &mut self.steps)?;
        Some(Task {
            step,
            goal,
            kind: task_type,
            risk: non_empty(raw.risk.as_ref()),
            area: non_empty(raw.area.as_ref()),
            files: files.len(),
            bytes: files.iter().map(|file| file.text.len()).sum(),
            job,
            id,
        })
    }

    fn id(&mut self, raw: &RawTask, start_line: u64) -> Option<String> {
        let at = raw.id.as_ref().map_or(start_line, line_number);
        let Some(id) = non_empty(raw.id.as_ref()).filter(|id| id.chars().count() <= LONGEST_ID)
        else {
            self.add(
                at,
                "?",
                format_args!("expected `id`, a text of 1 to {LONGEST_ID} characters"),
            );
            return None;
        };
        if let Some(first) = self.lines.get(&id) {
            let wrong = format!("duplicate id, first used on line {first}");
            self.add(at, &id, wrong);
            return None;
        }
        self.lines.insert(id.clone(), at);
        Some(id)
    }

    fn files(&mut self, raw: &RawTask, task: &str) -> Vec<ContextFile> {
        let mut files: Vec<ContextFile> = Vec::new();
        for name in &raw.context_files {
            match self.folder.read(&name.value) {
                Ok(file) => files.push(file),
                Err(wrong) => self.add(
                    line_number(name),
                    task,
                    format_args!("context_files: {wrong}"),
                ),
            }
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if let Some(first) = raw
            .context_files
            .first()
            .filter(|_| bytes > MAX_TOTAL_BYTES)
        {
            let (most, bytes) = (grouped(MAX_TOTAL_BYTES as u64), grouped(bytes as u64));
            let wrong =
                format!("context_files: expected at most {most} bytes in all, but got {bytes}");
            self.add(line_number(first), task, wrong);
        }
        files
    }
}

/// The default type of a task, from its area. Other areas have no default.
fn default_type_for_area(area: &str) -> Option<String> {
    let task_type = match area {
        "docs" | "comments" => "documentation",
        "tests" => "testing",
        "sql" | "db" | "database" => "sql_db_work",
        _ => return None,
    };
    Some(task_type.to_owned())
}

fn job(raw: &RawTask, id: &str, goal: &str, task_type: Option<&str>, files: &[ContextFile]) -> Job {
    let repo = non_empty(raw.repo.as_ref());
    let constraints: Vec<String> = raw
        .constraints
        .iter()
        .map(|text| text.value.clone())
        .collect();
    let mut job = Job::prompt(compose_prompt(goal, repo.as_deref(), &constraints, files));
    if let Some(task_type) = task_type {
        job = job.task_type(task_type);
    }
    for (field, text) in [
        ("risk", &raw.risk),
        ("area", &raw.area),
        ("complexity", &raw.complexity),
        ("platform", &raw.platform),
    ] {
        if let Some(text) = non_empty(text.as_ref()) {
            job = job.with(field, text);
        }
    }
    if let Some(tokens) = &raw.max_tokens {
        job = job.max_tokens(tokens.value);
    }
    let metadata = match repo {
        Some(repo) => json!({"id": id, "task_id": id, "repo": repo}),
        None => json!({"id": id, "task_id": id}),
    };
    job.with("metadata", metadata)
}

/// The step name of a task: its id with invalid characters replaced, and a number if the name is taken.
fn step_name(id: &str, taken: &mut HashSet<StepName>) -> Option<StepName> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = id.chars().map(allowed).take(LONGEST_STEP_NAME).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    let names = (1..).map(|number| match number {
        1 => name.clone(),
        number => format!("{name}_{number}"),
    });
    names
        .filter_map(|name| StepName::parse(&name).ok())
        .filter(|name| *name != StepName::on_complete())
        .find(|name| taken.insert(name.clone()))
}
