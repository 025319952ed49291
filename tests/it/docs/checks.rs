//! Documents in JSON and YAML: what they are, and whether Longshore takes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use jsonschema::Validator;
use longshore_simulator::Script;
use serde_json::{Value, json};

use super::reader::Reader;

/// The schemas of the protocol.
pub(super) struct Checks {
    job: Validator,
    chain: Validator,
    outcome: Validator,
}

pub(super) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

impl Checks {
    pub(super) fn new() -> Self {
        let read = |name: &str| -> Value {
            let path = repository().join("docs/protocol").join(name);
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
        };
        let registry = jsonschema::Registry::new()
            .add("urn:longshore:protocol:1:job", read("job.schema.json"))
            .unwrap()
            .prepare()
            .unwrap();
        let validator = |name| {
            let options = jsonschema::options().with_registry(&registry);
            options.build(&read(name)).unwrap()
        };
        Self {
            job: validator("job.schema.json"),
            chain: validator("chain.schema.json"),
            outcome: validator("outcome.schema.json"),
        }
    }

    /// Jobs and chains fit their schema and complete; outcomes fit theirs.
    pub(super) async fn json(&self, reader: &mut Reader, text: &str) -> anyhow::Result<()> {
        let mut value: Value = serde_json::from_str(text)?;
        if value.pointer("/0/role").is_some() {
            value = json!({"messages": value});
        }
        let (schema, field) = if value.get("steps").is_some() {
            (&self.chain, Some("chain"))
        } else if value.get("prompt").or(value.get("messages")).is_some() {
            (&self.job, Some("job"))
        } else if value.get("state").is_some() {
            (&self.outcome, None)
        } else {
            bail!(
                "this is no job, messages, chain or outcome: add what it is to tests/it/docs/checks.rs, or list the \
                 block in NOT_RUN of tests/it/docs.rs with the reason"
            );
        };
        let faults: Vec<String> = schema
            .iter_errors(&value)
            .map(|fault| fault.to_string())
            .collect();
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        if let Some(field) = field {
            let document = value.to_string();
            reader
                .redis(&["XADD", "{longshore}:queue:default", "*", field, &document])
                .await?;
        }
        Ok(())
    }

    /// Tasks run, and rules are a script of the simulator; everything else is a configuration.
    pub(super) async fn yaml(&self, reader: &Reader, text: &str) -> anyhow::Result<()> {
        if text.starts_with("rules:") {
            Script::read(Path::new("script.yaml"), text)?;
            return Ok(());
        }
        reader.write("block.yaml", text);
        let arguments = if text.starts_with("tasks:") {
            ["run", "--tasks", "block.yaml"]
        } else {
            ["config", "validate", "block.yaml"]
        };
        let ran = reader.longshore(&arguments).await;
        ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
        Ok(())
    }
}
