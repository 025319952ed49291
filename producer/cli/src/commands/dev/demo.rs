//! `longshore dev --demo`: runs a batch and shows its answers and costs.

use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_broker::Broker;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    exec,
    exec::Signals,
    guide::own_name,
    stack::Plan,
    variables::{Variables, quoted},
};
use crate::{
    error::{CommandError, Exit},
    output,
};

/// Maximum characters of an answer.
const ANSWER_CHARS: usize = 100;

/// How long the last event may take to be recorded.
const RECORDING_LIMIT: Duration = Duration::from_secs(10);

/// A demonstration.
pub(super) struct Demo<'a> {
    plan: &'a Plan,
    shown: &'a Path,
    file: &'a Path,
    variables: &'a Variables,
    own: OsString,
    results: PathBuf,
}

/// The fields of batch results that are shown.
#[derive(Debug, Deserialize)]
struct Results {
    results: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    platform: Option<String>,
    success: bool,
    #[serde(default)]
    output: Option<serde_json::Value>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

impl<'a> Demo<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        shown: &'a Path,
        file: &'a Path,
        variables: &'a Variables,
    ) -> Result<Self, CommandError> {
        let own = std::env::current_exe()
            .map_err(CommandError::io("cannot find the path of this program"))?;
        Ok(Self {
            plan,
            shown,
            file,
            variables,
            own: own.into_os_string(),
            results: shown.join("batch-results.json"),
        })
    }

    /// Runs the demonstration; returns the exit code of the batch.
    pub(super) async fn run(&self, signals: &mut Signals) -> Result<Exit, CommandError> {
        let results: OsString = self.results.clone().into();
        // Do not show the results of an earlier run.
        fs::remove_file(&self.results).ok();
        let batch = [
            "batch".into(),
            "--fallback".into(),
            "--input".into(),
            self.file.into(),
        ];
        let done = self
            .longshore(
                &[&batch[..], &["--output".into(), results]].concat(),
                signals,
            )
            .await?;
        if self.results.exists() {
            output::line(format_args!("\nAnswers:\n{}", self.answers()?));
        }
        if done != Exit::Success {
            return Ok(done);
        }
        self.wait_until_recorded().await;
        output::line("");
        let done = self.longshore(&["costs".into()], signals).await?;
        output::line(format_args!("\n{}", next_steps(&own_name(), self.shown)));
        Ok(done)
    }

    async fn longshore(
        &self,
        arguments: &[OsString],
        signals: &mut Signals,
    ) -> Result<Exit, CommandError> {
        let shell_words: Vec<String> = arguments
            .iter()
            .map(|argument| quoted(&argument.to_string_lossy()))
            .collect();
        output::line(format_args!("$ {} {}", own_name(), shell_words.join(" ")));
        let command: Vec<OsString> = [self.own.clone()]
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        exec::run(&command, self.variables, signals).await
    }

    fn answers(&self) -> Result<Answers, CommandError> {
        let shown = self.results.display();
        let text = fs::read_to_string(&self.results)
            .map_err(CommandError::io(format!("cannot read {shown}")))?;
        serde_json::from_str::<Results>(&text)
            .map(|results| Answers(results.results))
            .map_err(|error| {
                CommandError::Input(format!(
                    "{shown} is not a result file of `longshore batch`: {error}"
                ))
            })
    }

    /// Costs come from Postgres, where events arrive shortly after the answer.
    async fn wait_until_recorded(&self) {
        let Some((_, url)) = self.variables.iter().find(|(name, _)| *name == "REDIS_URL") else {
            return;
        };
        let url = SecretString::from(url.clone());
        let Ok(broker) = Broker::connect(&url, &self.plan.config.namespace).await else {
            return;
        };
        let until = Instant::now() + RECORDING_LIMIT;
        while Instant::now() < until && !matches!(broker.events().unrecorded_count().await, Ok(0)) {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

struct Answers(Vec<Answer>);

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, answer) in self.0.iter().enumerate() {
            let content = if answer.success {
                &answer.output
            } else {
                &answer.error
            };
            let text = match content {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            let mark = if answer.success { "" } else { "failed: " };
            let platform = answer.platform.as_deref().unwrap_or("-");
            let line = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(
                f,
                "{:>4}. {platform}: {mark}{}{line}",
                index + 1,
                first_line(&text)
            )?;
        }
        Ok(())
    }
}

/// The first line that is not empty, truncated.
fn first_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default().trim_end();
    let start: String = first.chars().take(ANSWER_CHARS).collect();
    if start.len() < first.len() || lines.next().is_some() {
        start + "…"
    } else {
        start
    }
}

fn next_steps(longshore: &str, dir: &Path) -> String {
    let dir = if dir == Path::new(".longshore") {
        String::new()
    } else {
        format!(" --dir {}", quoted(&dir.to_string_lossy()))
    };
    format!(
        "Next steps:\n  \
         {longshore} dev{dir}    keeps all services running and shows how to submit a job\n  \
         export OPENAI_API_KEY=…    uses a real provider (or ANTHROPIC_API_KEY, GOOGLE_API_KEY, …)\n  \
         {longshore} --help    lists all commands"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_show_their_first_line() {
        let long = "x".repeat(101);
        let results = serde_json::json!({"total_tasks": 4, "results": [
            {"platform": "gemini", "success": true, "output": "Red, yellow, blue.", "error": null},
            {"platform": "openai", "success": true, "output": "\nFirst\nSecond", "error": null},
            {"platform": "openai", "success": true, "output": long},
            {"platform": null, "success": false, "output": null, "error": "All platforms failed."},
        ]});
        let results: Results = serde_json::from_value(results).unwrap();
        let text = Answers(results.results).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "   1. gemini: Red, yellow, blue.");
        assert_eq!(lines[1], "   2. openai: First…");
        assert_eq!(lines[2], format!("   3. openai: {}…", "x".repeat(100)));
        assert_eq!(lines[3], "   4. -: failed: All platforms failed.");
    }
}
