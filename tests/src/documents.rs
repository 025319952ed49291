//! Checks what commands print as JSON against `docs/commands.schema.json`.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// The schema of every command's output: in `$defs`, by the words of the command.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| read("commands.schema.json"));

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The output of a command that was asked for JSON must fit the schema.
///
/// # Panics
///
/// When it does not, or when the schema does not describe the command.
pub(crate) fn check(arguments: &[&str], stdout: &str) {
    let Some(format) = format_of(arguments).filter(|_| !stdout.trim().is_empty()) else {
        return;
    };
    let documents: Vec<Value> = serde_json::Deserializer::from_str(stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{arguments:?} printed no JSON: {error}: {stdout}"));
    let command = command_of(arguments, format);
    for document in documents {
        let faults = faults(&command, &document);
        assert!(
            faults.is_empty(),
            "docs/commands.schema.json does not describe what `{command}` printed: {faults:#?}\n{document:#}"
        );
    }
}

/// `json` or `jsonl`, if the command was asked for one of them.
fn format_of<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let at = arguments.iter().position(|word| *word == "--format")?;
    let format = arguments.get(at + 1)?;
    ["json", "jsonl"].contains(format).then_some(*format)
}

/// The name in the schema: the command's words, and `line` for JSON Lines where a line has another form than the
/// document.
fn command_of(arguments: &[&str], format: &str) -> String {
    let defined = |name: &str| SCHEMA["$defs"].get(name).is_some();
    let words = arguments.iter().take_while(|word| !word.starts_with('-'));
    let words: Vec<&str> = words.copied().take(2).collect();
    let command = [
        words.join(" "),
        words.first().copied().unwrap_or_default().to_owned(),
    ]
    .into_iter()
    .find(|command| defined(command));
    let command = command
        .unwrap_or_else(|| panic!("docs/commands.schema.json does not describe {arguments:?}"));
    let line = format!("{command} line");
    if format == "jsonl" && defined(&line) {
        line
    } else {
        command
    }
}

fn faults(command: &str, document: &Value) -> Vec<String> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators
        .entry(command.to_owned())
        .or_insert_with(|| validator(command));
    let faults = validator.iter_errors(document);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

fn validator(command: &str) -> Validator {
    let definition = format!("#/$defs/{}", command.replace(' ', "%20"));
    let schema = json!({"$ref": definition, "$defs": SCHEMA["$defs"]});
    let registry = jsonschema::Registry::new()
        .add(
            "urn:longshore:protocol:1:outcome",
            read("protocol/outcome.schema.json"),
        )
        .and_then(|registry| registry.prepare())
        .unwrap_or_else(|error| panic!("outcome.schema.json: {error}"));
    let options = jsonschema::options().with_registry(&registry);
    options
        .build(&schema)
        .unwrap_or_else(|error| panic!("{command}: {error}"))
}
