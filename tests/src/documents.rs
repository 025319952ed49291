//! Checks what commands print as JSON against `docs/commands.schema.json`.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

/// The identity of `docs/protocol/outcome.schema.json`, to which the other schema refers.
const OUTCOME: &str = "urn:longshore:protocol:1:outcome";

/// Fails if a command that was asked for JSON printed what the schema does not describe.
pub(crate) fn check(arguments: &[&str], stdout: &str) -> anyhow::Result<()> {
    let Some(format) = format_of(arguments).filter(|_| !stdout.trim().is_empty()) else {
        return Ok(());
    };
    let documents = serde_json::Deserializer::from_str(stdout).into_iter();
    let documents: Vec<Value> = documents
        .collect::<Result<_, _>>()
        .with_context(|| format!("{arguments:?} printed no JSON: {stdout}"))?;
    let schema = read("commands.schema.json")?;
    let definitions = schema.get("$defs").context("the schema has no $defs")?;
    let command = command_of(arguments, format, definitions)
        .with_context(|| format!("docs/commands.schema.json does not describe {arguments:?}"))?;
    let validator = validator(&command, definitions)?;
    for document in documents {
        let faults = validator.iter_errors(&document);
        let faults: Vec<String> = faults
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        ensure!(
            faults.is_empty(),
            "docs/commands.schema.json does not describe what `{command}` printed: {faults:#?}\n{document:#}"
        );
    }
    Ok(())
}

fn read(name: &str) -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// `json` or `jsonl`, if the command was asked for one of them.
fn format_of<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let at = arguments.iter().position(|word| *word == "--format")?;
    let format = arguments.get(at + 1)?;
    ["json", "jsonl"].contains(format).then_some(*format)
}

/// The name in the schema: the command's words, and `line` for JSON Lines that are not elements of the document.
fn command_of(arguments: &[&str], format: &str, definitions: &Value) -> Option<String> {
    let words = arguments.iter().take_while(|word| !word.starts_with('-'));
    let words: Vec<&str> = words.copied().take(2).collect();
    let names = [words.join(" "), (*words.first()?).to_owned()];
    let command = names
        .into_iter()
        .find(|name| definitions.get(name).is_some())?;
    let line = format!("{command} line");
    let has_line = format == "jsonl" && definitions.get(&line).is_some();
    Some(if has_line { line } else { command })
}

fn validator(command: &str, definitions: &Value) -> anyhow::Result<Validator> {
    let definition = format!("#/$defs/{}", command.replace(' ', "%20"));
    let schema = json!({"$ref": definition, "$defs": definitions});
    let registry = jsonschema::Registry::new()
        .add(OUTCOME, read("protocol/outcome.schema.json")?)?
        .prepare()?;
    let options = jsonschema::options().with_registry(&registry);
    options.build(&schema).with_context(|| command.to_owned())
}
