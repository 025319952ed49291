//! The tasks as a chain: steps that do not depend on one another.

use std::{collections::HashSet, path::Path};

use longshore_shared::chain::StepName;
use serde_json::{Map, Value, json};

use super::{file::Task, prompt::literal};

/// The longest name of a step that has room for a number behind it.
const LONGEST: usize = 40;

/// The document of the chain.
pub(super) fn of(path: &Path, tasks: &[Task]) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let steps: Vec<Value> = tasks.iter().map(step).collect();
    json!({"name": name, "steps": steps}).to_string()
}

fn step(task: &Task) -> Value {
    let mut fields: Map<String, Value> =
        serde_json::from_str(&task.job.to_json()).unwrap_or_default();
    if let Some(Value::String(prompt)) = fields.get_mut("prompt") {
        *prompt = literal(prompt);
    }
    fields.insert("name".to_owned(), json!(task.step));
    Value::Object(fields)
}

/// The name of a task's step: its id, as far as a step may have it, and no other's.
pub(super) fn step_name(id: &str, taken: &mut HashSet<StepName>) -> Option<StepName> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = id.chars().map(allowed).take(LONGEST).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_called_as_their_tasks() {
        let mut taken = HashSet::new();
        let ids = ["MY-TASK-001", "MY_TASK_001", "7", "on_complete", "ä b"];
        let names = ids.map(|id| step_name(id, &mut taken).unwrap().to_string());
        assert_eq!(
            names,
            ["MY_TASK_001", "MY_TASK_001_2", "_7", "on_complete_2", "__b"]
        );
        let long = step_name(&"x".repeat(200), &mut taken).unwrap();
        assert_eq!(long.as_str().len(), LONGEST);
    }
}
