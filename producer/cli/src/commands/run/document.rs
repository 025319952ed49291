//! Converts tasks to a chain of independent steps.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{file::Task, prompt::to_template_literal};

/// The JSON document of the chain.
pub(super) fn chain_json(path: &Path, tasks: &[Task]) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let steps: Vec<Value> = tasks.iter().map(step_json).collect();
    json!({"name": name, "steps": steps}).to_string()
}

fn step_json(task: &Task) -> Value {
    let mut fields: Map<String, Value> =
        serde_json::from_str(&task.job.to_json()).unwrap_or_default();
    if let Some(Value::String(prompt)) = fields.get_mut("prompt") {
        *prompt = to_template_literal(prompt);
    }
    fields.insert("name".to_owned(), json!(task.step));
    Value::Object(fields)
}
