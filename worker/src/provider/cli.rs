//! Command-line tools as providers: each call runs a program, without a shell.

mod failure;
mod output;
mod process;
mod prompt;
#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use longshore_policy::catalog::{ProviderEntry, SEEN_BY_TOOLS};
use longshore_protocol::call::{
    Answer, Call, CallCost, CallError, ErrorClass, ReportedLimits, Usage,
};
use secrecy::{ExposeSecret, SecretString};

#[cfg(test)]
pub(crate) use self::prompt::prompt_text;
use self::{
    output::{OutputForm, ToolOutput},
    process::{FinishedProcess, ToolProcess},
};
use super::{
    classify,
    dialect::{Provider, unusable_answer},
};

/// A command-line tool that answers calls.
pub(crate) struct CliProvider {
    name: String,
    command: Vec<String>,
    env: Vec<(String, SecretString)>,
    /// The values of the variables that only this tool gets.
    secrets: Vec<SecretString>,
    form: OutputForm,
}

impl CliProvider {
    /// The tool of a catalog entry.
    pub(crate) fn new(entry: &ProviderEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            form: OutputForm::from_command(&entry.command),
            command: entry.command.clone(),
            env: entry.env.clone(),
            secrets: entry
                .env
                .iter()
                .filter(|(name, _)| !SEEN_BY_TOOLS.contains(&name.as_str()))
                .map(|(_, value)| value.clone())
                .collect(),
        }
    }

    async fn run(&self, call: &Call) -> Result<Answer, CallError> {
        let prompt = prompt::prompt_text(call);
        let finished = self.start(&call.model, &prompt).await?;
        let output = self.form.parse_output(&finished.stdout);
        let error = output.as_ref().and_then(|output| output.error.as_deref());
        if error.is_some() || !finished.status.success() {
            let usage = output.as_ref().map(|output| output.usage);
            return Err(self.failure(&finished, error, usage.unwrap_or_default()));
        }
        match output {
            Some(output) => answer_from(output, self.form, &prompt),
            None => unusable_answer(
                "the output is not in the requested format",
                Usage::default(),
            ),
        }
    }

    async fn start(&self, model: &str, prompt: &str) -> Result<FinishedProcess, CallError> {
        let Some((program, args)) = self.command.split_first() else {
            return Err(CallError::new(
                ErrorClass::Internal,
                "the provider has no command",
            ));
        };
        let as_argument = args.iter().any(|arg| arg.contains(prompt::PROMPT));
        let process = ToolProcess {
            program,
            // The prompt is inserted last, so that a placeholder in it stays as it is.
            args: args
                .iter()
                .map(|arg| {
                    arg.replace("{model}", model)
                        .replace(prompt::PROMPT, prompt)
                })
                .collect(),
            env: &self.env,
            stdin: (!as_argument).then_some(prompt.as_bytes()),
        };
        process.run().await
    }

    fn failure(&self, finished: &FinishedProcess, error: Option<&str>, usage: Usage) -> CallError {
        let on_stderr = self.form.parse_output(&finished.stderr);
        let message = match (error, on_stderr.and_then(|output| output.error)) {
            (Some(error), _) => error.to_owned(),
            (None, Some(error)) => error,
            (None, None) => failure::last_lines(finished),
        };
        failure::classify_failure(&message, finished.status, usage)
    }
}

fn answer_from(output: ToolOutput, form: OutputForm, prompt: &str) -> Result<Answer, CallError> {
    let usage = match form {
        OutputForm::Plain => estimated_usage(prompt, &output.text),
        _ => output.usage,
    };
    if output.text.trim().is_empty() {
        return unusable_answer("the answer has no text", usage);
    }
    Ok(Answer {
        output: output.text,
        tool_calls: Vec::new(),
        logprobs: None,
        finish_reason: output.finish,
        usage,
        model: output.model,
        response_id: output.id,
        reported_cost: output.cost,
        room: ReportedLimits::default(),
    })
}

/// The usage of a tool that reports none: about four bytes a token, as in English text.
fn estimated_usage(prompt: &str, output: &str) -> Usage {
    let tokens = |text: &str| u64::try_from(text.len().div_ceil(4)).unwrap_or(u64::MAX);
    Usage {
        input: tokens(prompt),
        output: tokens(output),
        ..Usage::default()
    }
}

impl Provider for CliProvider {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            // When the future is dropped, all processes of the call are killed.
            let result = tokio::time::timeout(call.timeout, self.run(call)).await;
            let result = result.unwrap_or_else(|_| {
                let message = format!("killed after {} s", call.timeout.as_secs_f64());
                Err(CallError::new(ErrorClass::Timeout, message).spend(CallCost::Unknown))
            });
            result.map_err(|error| {
                let summary = match error.class {
                    ErrorClass::Auth => format!("{}: Cannot be used", self.name),
                    _ => classify::describe(&self.name, true, &error),
                };
                let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
                let secrets: Vec<&str> = secrets.collect();
                classify::explain(summary, &secrets, call, error)
            })
        })
    }
}
