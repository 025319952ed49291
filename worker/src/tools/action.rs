//! Runs a call of a tool: checks its arguments, and does what they ask within the bounds of the configuration.

use std::{io, path::Path, time::Duration};

use longshore_policy::tools::{SecretPairs, ToolAction, ToolDefinition, Workspace};
use longshore_protocol::chain::WorkspaceTool;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    answered::Answered,
    files::{Edit, Files, ListFiles, ReadFile, Search},
    request,
    toolbox::{Action, allowed},
};
use crate::{
    blocking,
    command::{Finished, Process, Program, Stop},
    json_schema,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    command: Vec<String>,
}

impl Action<'_> {
    /// Runs a call with these arguments, for at most the time that is `left`.
    pub(super) async fn run(self, arguments: &str, left: Option<Duration>) -> Answered {
        let within = |most: Duration| left.map_or(most, |left| left.min(most));
        match self {
            Self::InWorkspace(tool, workspace) => {
                let timeout = within(workspace.bounds.timeout);
                match tool {
                    WorkspaceTool::Run => run_command(workspace, arguments, timeout).await,
                    tool => on_files(tool, workspace, arguments, timeout).await,
                }
            }
            Self::Configured(tool) => {
                let timeout = within(tool.bounds.timeout);
                match checked(tool, arguments).await {
                    Ok(arguments) => run_tool(tool, &arguments, timeout).await,
                    Err(error) => Answered::failed(error),
                }
            }
        }
    }
}

async fn run_command(workspace: &Workspace, arguments: &str, timeout: Duration) -> Answered {
    let asked: Run = match read(arguments) {
        Ok(asked) => asked,
        Err(error) => return Answered::failed(error),
    };
    if !workspace.run.contains(&asked.command) {
        let allowed = allowed(workspace);
        return Answered::failed(format!(
            "this command is not allowed; allowed are exactly: {allowed}"
        ));
    }
    let program = Program {
        command: &asked.command,
        working_dir: &workspace.directory,
        env: workspace.env.exposed().collect(),
        input: None,
        max_output: workspace.bounds.max_output,
        max_memory: None,
        warnings: None,
    };
    match finish(program, timeout).await {
        Ok(finished) => of_command(&finished, timeout, true),
        Err(error) => Answered::failed(not_started(&error)),
    }
}

async fn on_files(
    tool: WorkspaceTool,
    workspace: &Workspace,
    arguments: &str,
    timeout: Duration,
) -> Answered {
    let files = Files::new(workspace, timeout);
    let work: Result<Box<dyn FnOnce() -> Result<String, String> + Send>, String> =
        match tool {
            WorkspaceTool::ReadFile => read(arguments)
                .map(|asked: ReadFile| Box::new(move || files.read(&asked)) as Box<_>),
            WorkspaceTool::ListFiles => read(arguments)
                .map(|asked: ListFiles| Box::new(move || files.list(&asked)) as Box<_>),
            WorkspaceTool::Search => read(arguments)
                .map(|asked: Search| Box::new(move || files.search(&asked)) as Box<_>),
            WorkspaceTool::EditFile => {
                read(arguments).map(|asked: Edit| Box::new(move || files.edit(&asked)) as Box<_>)
            }
            WorkspaceTool::Run => Err("`run` reads no files".to_owned()),
        };
    match work {
        Ok(work) => match blocking::FILES.run(work).await {
            Ok(answered) => answered.into(),
            Err(stopped) => Answered::failed(stopped.to_string()),
        },
        Err(error) => Answered::failed(error),
    }
}

async fn run_tool(tool: &ToolDefinition, arguments: &Value, timeout: Duration) -> Answered {
    match &tool.action {
        ToolAction::Command {
            command,
            working_dir,
            env,
        } => {
            let program = with_input(command, working_dir, env, arguments, tool.bounds.max_output);
            match finish(program, timeout).await {
                Ok(finished) => of_command(&finished, timeout, false),
                Err(error) => Answered::failed(not_started(&error)),
            }
        }
        ToolAction::Http {
            method,
            url,
            headers,
        } => {
            let target = request::Target {
                method: *method,
                url,
                headers,
            };
            let most = tool.bounds.max_output;
            request::send(target, arguments, timeout, most).await.into()
        }
    }
}

fn with_input<'a>(
    command: &'a [String],
    working_dir: &'a Path,
    env: &'a SecretPairs,
    arguments: &Value,
    max_output: usize,
) -> Program<'a> {
    Program {
        command,
        working_dir,
        env: env.exposed().collect(),
        input: Some(arguments.to_string().into_bytes()),
        max_output,
        max_memory: None,
        warnings: None,
    }
}

async fn finish(program: Program<'_>, timeout: Duration) -> io::Result<Finished> {
    let process = Process::start(program)?;
    let stop = async {
        tokio::time::sleep(timeout).await;
        Stop::Timeout
    };
    Ok(process.finish(stop).await)
}

/// What a command answered; with the exit code in the text, if the model is to know it.
fn of_command(finished: &Finished, timeout: Duration, shows_code: bool) -> Answered {
    let output = finished.output.text();
    let error = match (finished.exit_code(), finished.stopped) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(Stop::Timeout)) => Some(format!("killed after {} s", timeout.as_secs_f64())),
        (None, Some(Stop::Output)) => Some("killed: it printed too much".to_owned()),
        (None, _) => Some("ended by a signal".to_owned()),
    };
    let text = match &error {
        Some(error) => format!("Error: {error}\n{output}"),
        None if shows_code => format!("exit code 0\n{output}"),
        None => output,
    };
    Answered { text, error }
}

fn not_started(error: &io::Error) -> String {
    format!("the command cannot be started: {error}")
}

/// Reads the arguments of a tool of workspaces.
fn read<T: DeserializeOwned>(arguments: &str) -> Result<T, String> {
    // Some models write nothing where there are no arguments.
    let arguments = match arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    serde_json::from_str(arguments).map_err(|error| format!("wrong arguments: {error}"))
}

/// The arguments, if they match the tool's schema.
async fn checked(tool: &ToolDefinition, arguments: &str) -> Result<Value, String> {
    let arguments: Value = read(arguments)?;
    let schema = tool.parameters.clone();
    let check = move || violations(&schema, &arguments).map(|()| arguments);
    blocking::SCHEMAS
        .run(check)
        .await
        .map_err(|stopped| stopped.to_string())?
}

fn violations(schema: &Value, arguments: &Value) -> Result<(), String> {
    let validator = json_schema::compile(schema)?;
    let found = json_schema::violations(&validator, arguments);
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("wrong arguments: {}", found.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use longshore_policy::tools::ToolBounds;
    use serde_json::json;

    use super::*;

    fn workspace() -> Workspace {
        Workspace {
            directory: "/".into(),
            max_file_bytes: 100,
            run: vec![vec!["cargo".to_owned(), "test".to_owned()]],
            env: SecretPairs::default(),
            bounds: ToolBounds {
                timeout: Duration::from_secs(10),
                max_output: 1024,
            },
        }
    }

    #[tokio::test]
    async fn only_a_command_that_is_listed_runs() {
        let workspace = workspace();
        let run = Action::InWorkspace(WorkspaceTool::Run, &workspace);
        for (arguments, error) in [
            (
                r#"{"command": ["cargo", "test", "--release"]}"#,
                r#"this command is not allowed; allowed are exactly: ["cargo","test"]"#,
            ),
            (
                r#"{"command": ["cargo"]}"#,
                r#"this command is not allowed; allowed are exactly: ["cargo","test"]"#,
            ),
            (
                r#"{"command": "cargo test"}"#,
                "wrong arguments: invalid type: string \"cargo test\", expected a sequence at line 1 column 24",
            ),
            (
                "",
                "wrong arguments: missing field `command` at line 1 column 2",
            ),
            (
                r#"{"command": [], "cwd": "/"}"#,
                "wrong arguments: unknown field `cwd`, expected `command` at line 1 column 21",
            ),
        ] {
            let answered = run.run(arguments, None).await;
            assert_eq!(answered.error.as_deref(), Some(error), "{arguments}");
        }
    }

    #[test]
    fn arguments_match_the_schema_of_the_tool() {
        let schema = json!({"type": "object", "required": ["number"],
            "properties": {"number": {"type": "integer"}}, "additionalProperties": false});
        assert_eq!(violations(&schema, &json!({"number": 7})), Ok(()));
        assert_eq!(
            violations(&schema, &json!({"number": "hunter2", "url": "http://other/"})),
            Err("wrong arguments: /number: value is not of type \"integer\"; Additional properties are not allowed ('url' was unexpected)".to_owned())
        );
    }
}
