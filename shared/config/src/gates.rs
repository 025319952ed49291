//! Reads the section `gates:`.

use std::time::Duration;

use longshore_policy::gates::{Gate, Gates, Pattern};
use longshore_protocol::chain::GateName;
use longshore_settings::{
    Entries, Form, Reader, Text,
    form::{bytes, duration},
};

use crate::{
    commands::{any_text, command, directory, variables},
    table::RawGate,
};

const TIMEOUT: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(24);
const MAX_OUTPUT: usize = 1 << 20;

/// Reads the gates.
pub(crate) fn gates(r: &mut Reader<'_>, raws: &Entries<RawGate>) -> Gates {
    let mut gates = Gates::new();
    for (written, raw) in &raws.0 {
        let name = match GateName::parse(written.as_str()) {
            Ok(name) => name,
            Err(error) => {
                r.problem_at(written, format!("`gates`: {error}"));
                continue;
            }
        };
        let at = format!("gates.{name}");
        r.record_origin(&at, written);
        if let Some(gate) = gate(r, &at, written, raw) {
            gates.insert(name, gate);
        }
    }
    gates
}

fn gate(r: &mut Reader<'_>, at: &str, name: &Text, raw: &RawGate) -> Option<Gate> {
    let command = command(r, at, name, raw.command.as_deref());
    let working_dir = directory(r, at, "working_dir", name, raw.working_dir.as_ref());
    let mut size = |field: &str, written: Option<&Text>, form: &Form<usize>| {
        r.value(&format!("{at}.{field}"), written?, form)
    };
    let max_output = size(
        "max_output",
        raw.max_output.as_ref(),
        &bytes(1 << 10..=1 << 30),
    );
    let max_memory = size(
        "max_memory",
        raw.max_memory.as_ref(),
        &bytes(16 << 20..=1 << 40),
    );
    let timeout = raw.timeout.as_ref().and_then(|written| {
        let form = duration(Duration::from_secs(1)..=LONGEST);
        r.value(&format!("{at}.timeout"), written, &form)
    });
    let warnings = raw.warnings.as_ref().and_then(|written| {
        let text = r.value(&format!("{at}.warnings"), written, &any_text())?;
        let pattern = Pattern::parse(&text).map_err(|_| {
            let problem = format!("`{at}.warnings` is `{text}`; expected a regular expression");
            r.problem_at(written, problem);
        });
        pattern.ok()
    });
    let env = raw.env.as_ref().map(|env| variables(r, at, env));
    Some(Gate {
        command: command?,
        working_dir: working_dir?,
        timeout: timeout.unwrap_or(TIMEOUT),
        env: env.unwrap_or_default(),
        max_output: max_output.unwrap_or(MAX_OUTPUT),
        max_memory,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_settings::Environment;

    use super::*;
    use crate::Config;

    fn load(yaml: &str) -> Result<Config, String> {
        let env = Environment::default();
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_omitted_has_a_default() {
        let config =
            load("gates: { rust: { command: [cargo, test], working_dir: /work } }").unwrap();
        let gate = &config.gates[&GateName::parse("rust").unwrap()];
        assert_eq!(gate.command, ["cargo", "test"]);
        assert_eq!((gate.timeout, gate.max_output), (TIMEOUT, MAX_OUTPUT));
        assert_eq!((gate.max_memory, &gate.warnings), (None, &None));
        // Only a worker with the capability reads the queue.
        assert_eq!(config.queues.len(), 1);
    }

    #[test]
    fn every_fault_is_reported() {
        let yaml = "gates:
  two words: { command: [x], working_dir: / }
  a: { working_dir: here }
  b: { command: [''], timeout: 0, max_output: 1, max_memory: 1MiB, warnings: '(' }
  c: { command: [x], working_dir: /, comand: [y], env: { 'A B': x } }
capabilities: [shell]
";
        insta::assert_snapshot!(load(yaml).unwrap_err());
    }
}
