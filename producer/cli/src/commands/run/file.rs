//! Parses `tasks.yaml`; all faults are reported at once, with their lines.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use longshore_client::{Job, Malformed};
use longshore_config::Config;
use longshore_protocol::{chain::StepName, recipe::RecipeName};
use longshore_settings::{
    ConfigError, Origin, Placed as _, Problem, Text, part, sort_problems, yaml::parse_fields,
};
use serde_json::json;

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

part! {
    struct RawFile {
        tasks: Option<Vec<RawTask>>,
    }
}

part! {
    struct RawTask {
        id: Option<Text>,
        goal: Option<Text>,
        r#type: Option<Text>,
        risk: Option<Text>,
        area: Option<Text>,
        complexity: Option<Text>,
        platform: Option<Text>,
        recipe: Option<Text>,
        max_tokens: Option<Text>,
        repo: Option<Text>,
        context_files: Option<Vec<Text>>,
        constraints: Option<Vec<Text>>,
    }
}

/// Parses a file; returns all tasks, or only the one with the id `only`.
pub(super) fn parse_tasks(
    path: &Path,
    text: &str,
    folder: &Path,
    only: Option<&str>,
    config: &Config,
) -> Result<Vec<Task>, ConfigError> {
    let whole = |text: String| ConfigError::from(Problem::new(Origin::file(path, None), text));
    let folder = Folder::open(folder).map_err(whole)?;
    let file = parse_fields::<RawFile>(path, text)?;
    let mut reader = Reader {
        path,
        folder,
        config,
        problems: file.problems,
        lines: HashMap::new(),
        steps: HashSet::new(),
    };
    let raws = file.value.tasks.unwrap_or_default();
    if raws.is_empty() && reader.problems.is_empty() {
        return Err(whole(
            "expected `tasks`, a list of at least one task".to_owned(),
        ));
    }
    let mut tasks = Vec::with_capacity(raws.len());
    for raw in &raws {
        // All tasks are checked, even if only one is selected.
        if let Some(task) = reader.task(raw)
            && only.is_none_or(|only| only == task.id)
        {
            tasks.push(task);
        }
    }
    if !reader.problems.is_empty() {
        sort_problems(path, &mut reader.problems);
        return Err(reader.problems.into());
    }
    match only {
        Some(only) if tasks.is_empty() => {
            let mut ids: Vec<&str> = reader.lines.keys().map(String::as_str).collect();
            ids.sort_unstable();
            let ids = ids.join(", ");
            Err(whole(format!("no task `{only}`; expected one of {ids}")))
        }
        _ => Ok(tasks),
    }
}

fn non_empty(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.as_str().trim().to_owned())
        .filter(|text| !text.is_empty())
}

struct Reader<'a> {
    path: &'a Path,
    folder: Folder,
    config: &'a Config,
    problems: Vec<Problem>,
    /// The line where each id was first used.
    lines: HashMap<String, Option<usize>>,
    steps: HashSet<StepName>,
}

impl Reader<'_> {
    /// Reports a problem of a task, unless the value is unreadable, which is reported already.
    fn add(&mut self, at: &Text, task: &str, wrong: impl std::fmt::Display) {
        if !at.is_unreadable() {
            let text = format!("task `{task}`: {wrong}");
            self.problems.push(Problem::new(at.origin(self.path), text));
        }
    }

    fn task(&mut self, raw: &RawTask) -> Option<Task> {
        let id = self.id(raw);
        let name = id.clone().unwrap_or_else(|| "?".to_owned());
        let goal = non_empty(raw.goal.as_ref());
        if goal.is_none() {
            let at = raw.goal.as_ref().unwrap_or(raw.place());
            self.add(at, &name, "expected `goal`, a text that describes the task");
        }
        let files = self.files(raw, &name);
        let max_tokens = self.max_tokens(raw, &name);
        if let Some(platform) = raw.platform.as_ref().filter(|text| !text.is_unreadable())
            && let Err(wrong) = check_platform(platform.as_str(), &self.config.catalog)
        {
            self.add(platform, &name, format_args!("field `platform`: {wrong}"));
        }
        if let Some(recipe) = raw.recipe.as_ref().filter(|text| !text.is_unreadable())
            && let Ok(called) = RecipeName::parse(recipe.as_str().trim())
            && let Err(wrong) = self.config.recipes.find(&called)
        {
            self.add(recipe, &name, format_args!("field `recipe`: {wrong}"));
        }
        let task_type = non_empty(raw.r#type.as_ref())
            .or_else(|| default_type_for_area(non_empty(raw.area.as_ref())?.as_str()));
        let (id_or_name, goal_or_name) = (
            id.as_deref().unwrap_or(&name),
            goal.as_deref().unwrap_or(&name),
        );
        let mut job = job(raw, id_or_name, goal_or_name, task_type.as_deref(), &files);
        if let Some(tokens) = max_tokens {
            job = job.max_tokens(tokens);
        }
        if let Err(wrong) = job.check_all(&self.config.limits) {
            for wrong in wrong {
                self.add(near(raw, &wrong), &name, wrong);
            }
        }
        let (id, goal) = (id?, goal?);
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

    fn max_tokens(&mut self, raw: &RawTask, task: &str) -> Option<u32> {
        let written = raw.max_tokens.as_ref()?;
        let number = written.as_str().trim().replace('_', "");
        let tokens = number.parse().ok();
        if tokens.is_none() {
            let wrong = format!(
                "field `max_tokens`: expected a whole number from 1 to 10000000, but got `{}`",
                written.as_str()
            );
            self.add(written, task, wrong);
        }
        tokens
    }

    fn id(&mut self, raw: &RawTask) -> Option<String> {
        let at = raw.id.as_ref().unwrap_or(raw.place());
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
            let first =
                first.map_or_else(String::new, |line| format!(", first used on line {line}"));
            self.add(at, &id, format!("duplicate id{first}"));
            return None;
        }
        self.lines.insert(id.clone(), at.line());
        Some(id)
    }

    fn files(&mut self, raw: &RawTask, task: &str) -> Vec<ContextFile> {
        let mut files: Vec<ContextFile> = Vec::new();
        let written = raw.context_files.as_deref().unwrap_or_default();
        for name in written.iter().filter(|name| !name.is_unreadable()) {
            match self.folder.read(name.as_str()) {
                Ok(file) => files.push(file),
                Err(wrong) => self.add(name, task, format_args!("context_files: {wrong}")),
            }
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if let Some(first) = written.first().filter(|_| bytes > MAX_TOTAL_BYTES) {
            let (most, bytes) = (grouped(MAX_TOTAL_BYTES as u64), grouped(bytes as u64));
            let wrong =
                format!("context_files: expected at most {most} bytes in all, but got {bytes}");
            self.add(first, task, wrong);
        }
        files
    }
}

/// Where the field at fault stands, or else the task.
fn near<'r>(raw: &'r RawTask, wrong: &Malformed) -> &'r Text {
    let written = match wrong.field.as_deref() {
        Some("type") => raw.r#type.as_ref(),
        Some("risk") => raw.risk.as_ref(),
        Some("area") => raw.area.as_ref(),
        Some("complexity") => raw.complexity.as_ref(),
        Some("platform") => raw.platform.as_ref(),
        Some("recipe") => raw.recipe.as_ref(),
        Some("max_tokens") => raw.max_tokens.as_ref(),
        _ => None,
    };
    written.unwrap_or(raw.place())
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
    let constraints = raw.constraints.iter().flatten();
    let constraints: Vec<String> = constraints.map(|text| text.as_str().to_owned()).collect();
    let mut job = Job::prompt(compose_prompt(goal, repo.as_deref(), &constraints, files));
    if let Some(task_type) = task_type {
        job = job.task_type(task_type);
    }
    for (field, text) in [
        ("risk", &raw.risk),
        ("area", &raw.area),
        ("complexity", &raw.complexity),
        ("platform", &raw.platform),
        ("recipe", &raw.recipe),
    ] {
        if let Some(text) = non_empty(text.as_ref()) {
            job = job.with(field, text);
        }
    }
    let metadata = match repo {
        Some(repo) => json!({"task_id": id, "repo": repo}),
        None => json!({ "task_id": id }),
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
