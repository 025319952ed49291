//! What `submit` and `batch` say while they wait, and the results that they write.

mod documents;
mod lines;
mod words;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::ensure;
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Ran, Stack, eventually, expect_success};
use serde_json::Value;

use crate::simulated::{Model, SimulatedProvider, config_yaml};

/// A stack whose providers are `a`, the cheaper one, and `b`; `rest` is the rest of the configuration.
async fn stack(limits_of_a: &str, rest: &str) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::limited("a", Model::Cheap, limits_of_a),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let config = config_yaml(&stack, &providers, rest);
    stack.config_yaml(&config).unwrap();
    stack
}

/// Retries at once, so that a platform that fails is soon left.
const FAST_RETRY: &str = "retry: {max_retries: 1, base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";

/// The provider refuses all calls, and asks to wait for six hours.
fn limited() -> Faults {
    Faults {
        rate_429: 1.0,
        retry_after_s: Some(6.0 * 3600.0),
        ..Faults::default()
    }
}

/// Runs a command that must succeed; returns what it prints.
async fn run(stack: &Stack, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    expect_success(stack.longshore(&words).await.unwrap())
}

/// A command that is still running, with its outputs in files.
struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    fn start(stack: &Stack, arguments: &[&str]) -> Self {
        let mut command = stack.command("longshore").unwrap();
        command.args(arguments);
        Self::spawn(stack, command)
    }

    /// Starts it on a terminal of 80 columns; both outputs are what the terminal shows.
    fn on_terminal(stack: &Stack, arguments: &str) -> Self {
        let longshore = stack.command("longshore").unwrap();
        let program = longshore.get_program().to_str().unwrap().to_owned();
        let line = format!("stty cols 80 rows 24; exec {program} {arguments}");
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(stack.dir())
            .env_clear()
            .envs(stack.env())
            .env("TERM", "xterm");
        Self::spawn(stack, script)
    }

    fn spawn(stack: &Stack, mut command: Command) -> Self {
        let file = |name: &str| {
            let path = stack.dir().join(name);
            (std::fs::File::create(&path).unwrap(), path)
        };
        let ((out, stdout), (err, stderr)) = (file("out"), file("err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        Self {
            child,
            stdout,
            stderr,
        }
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    /// Waits until it has said this on stderr.
    async fn says(&self, text: &str) {
        eventually(text, || async {
            let said = self.stderr();
            ensure!(said.contains(text), "{said}");
            Ok(())
        })
        .await
        .unwrap();
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    async fn end(mut self) -> Ran {
        let status = eventually("it ends", || {
            let ended = self.child.try_wait();
            async move { ended?.ok_or_else(|| anyhow::anyhow!("it runs")) }
        })
        .await
        .unwrap();
        Ran {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a terminal has shown, without its escape sequences: each time that a line was written.
fn painted(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            plain.push('\n');
        } else {
            plain.push(if c == '\r' { '\n' } else { c });
        }
    }
    plain.lines().map(str::to_owned).collect()
}

/// Checks a document against the schema of outcomes.
fn assert_is_outcome(document: &Value) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/protocol/outcome.schema.json"
    );
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(document)
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{}\n{document:#}", faults.join("\n"));
    for (old, new) in [
        ("task_id", "id"),
        ("duration", "duration_ms"),
        ("cost", "cost_usd"),
    ] {
        assert!(
            document.get(old).is_some() && document.get(new).is_some(),
            "{document:#}"
        );
    }
}
