//! Command-line tools as providers: a program is run for each call, without a shell.

mod output;
mod process;
mod prompt;
#[cfg(test)]
mod tests;
mod trouble;

use futures::future::BoxFuture;
use longshore_policy::catalog::{ProviderEntry, SEEN_BY_TOOLS};
use longshore_protocol::call::{Answer, Call, CallError, ErrorClass, ProviderRoom, Spend, Usage};
use secrecy::{ExposeSecret, SecretString};

use self::{
    output::{Form, Said},
    process::{Finished, Run},
};
use super::{Provider, error, unusable};

/// A command-line tool.
pub struct CliProvider {
    name: String,
    command: Vec<String>,
    env: Vec<(String, SecretString)>,
    /// The values of the variables that it needs beside those of every tool.
    secrets: Vec<SecretString>,
    form: Form,
}

impl CliProvider {
    /// The tool of a provider's entry.
    pub fn new(entry: &ProviderEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            form: Form::of(&entry.command),
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
        let prompt = prompt::whole(call);
        let finished = self.start(&call.model, &prompt).await?;
        let said = self.form.read(&finished.stdout);
        let failed = said.as_ref().and_then(|said| said.error.as_deref());
        if failed.is_some() || !finished.status.success() {
            let usage = said.as_ref().map(|said| said.usage).unwrap_or_default();
            return Err(self.failure(&finished, failed, usage));
        }
        match said {
            Some(said) => answer(said, self.form, &prompt),
            None => unusable(
                "its output is not in the form that it was asked for",
                Usage::default(),
            ),
        }
    }

    async fn start(&self, model: &str, prompt: &str) -> Result<Finished, CallError> {
        let Some((program, args)) = self.command.split_first() else {
            return Err(CallError::new(ErrorClass::Internal, "it has no command"));
        };
        let as_argument = args.iter().any(|arg| arg.contains(prompt::PROMPT));
        let run = Run {
            program,
            // The prompt last, so that nothing in it is filled in.
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
        run.finish().await
    }

    fn failure(&self, finished: &Finished, failed: Option<&str>, usage: Usage) -> CallError {
        let in_stderr = self.form.read(&finished.stderr).and_then(|said| said.error);
        let said = match (failed, in_stderr) {
            (Some(said), _) => said.to_owned(),
            (None, Some(said)) => said,
            (None, None) => trouble::last_words(finished),
        };
        trouble::failure(&said, finished.status, usage)
    }
}

fn answer(said: Said, form: Form, prompt: &str) -> Result<Answer, CallError> {
    let usage = match form {
        Form::Plain => estimate(prompt, &said.output),
        _ => said.usage,
    };
    if said.output.trim().is_empty() {
        return unusable("the answer has no text", usage);
    }
    Ok(Answer {
        output: said.output,
        finish_reason: said.finish,
        usage,
        model: said.model,
        response_id: said.id,
        reported_cost: said.cost,
        room: ProviderRoom::default(),
    })
}

/// A tool that tells no counts: about four bytes a token, as English text has.
fn estimate(prompt: &str, output: &str) -> Usage {
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
            // Dropped, it kills what it started.
            let result = tokio::time::timeout(call.timeout, self.run(call)).await;
            let result = result.unwrap_or_else(|_| {
                let said = format!("killed after {} s", call.timeout.as_secs_f64());
                Err(CallError::new(ErrorClass::Timeout, said).spend(Spend::Unknown))
            });
            result.map_err(|error| {
                let what = match error.class {
                    ErrorClass::Auth => format!("{}: Cannot be used", self.name),
                    _ => error::what(&self.name, true, &error),
                };
                let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
                let secrets: Vec<&str> = secrets.collect();
                error::explain(what, &secrets, call, error)
            })
        })
    }
}
