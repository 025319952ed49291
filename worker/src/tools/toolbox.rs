//! The tools of a step: what its names stand for in the configuration of this worker.

use std::{collections::BTreeMap, fmt::Display, ops::ControlFlow};

use longshore_policy::{
    capabilities::Capability,
    tools::{ToolDefinition, Workspace},
};
use longshore_protocol::{
    call::Tool,
    chain::{StepTools, ToolName, WorkspaceTool},
};
use longshore_settings::suggest::closest;
use serde_json::{Value, json};

use crate::{
    context::Context,
    disposition::{Discard, Disposition, Stage, WaitsFor},
    job::Job,
};

/// Why a step is given up whose tool the configuration does not have.
const UNKNOWN_TOOL: &str = "unknown_tool";

/// Why a step is given up whose workspace the configuration does not have.
const UNKNOWN_WORKSPACE: &str = "unknown_workspace";

/// The tools that the model of a step may call.
pub(crate) struct Toolbox<'c> {
    /// In the order of the step.
    tools: Vec<(ToolName, Action<'c>)>,
    /// How many answers may call tools.
    pub(super) max_rounds: u32,
    /// How long the conversation may be.
    pub(super) max_bytes: usize,
}

/// What a tool does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action<'c> {
    InWorkspace(WorkspaceTool, &'c Workspace),
    Configured(&'c ToolDefinition),
}

impl Action<'_> {
    /// Whether a call may change something, so that it is never made again by itself.
    pub(super) fn has_effects(self) -> bool {
        match self {
            Self::InWorkspace(tool, _) => !tool.is_read_only(),
            Self::Configured(_) => true,
        }
    }
}

impl<'c> Toolbox<'c> {
    /// The tools of the job's step, if it names any. Ends the run of a job that this worker may not or cannot run.
    pub(crate) fn of_step(job: &Job, context: &'c Context) -> Stage<Option<Self>> {
        let tools = {
            let progress = job.progress();
            let step = progress.checkpoint.step.as_ref();
            step.and_then(|step| step.tools.clone())
        };
        let Some(tools) = tools else {
            return ControlFlow::Continue(None);
        };
        if !context.config.capabilities.contains(&Capability::Tools) {
            let waits_for = WaitsFor::Worker(Capability::Tools);
            return ControlFlow::Break(Disposition::looked_at_again(
                waits_for,
                context.clock.now(),
            ));
        }
        let limits = context.policy().config.limits;
        match actions(&tools, context) {
            Ok(actions) => ControlFlow::Continue(Some(Self {
                tools: actions,
                max_rounds: tools.max_rounds.map_or(limits.max_tool_rounds, |own| {
                    own.min(limits.max_tool_rounds)
                }),
                max_bytes: limits.max_bytes,
            })),
            Err(discard) => ControlFlow::Break(discard.into()),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Action<'c>> {
        let mut tools = self.tools.iter();
        tools
            .find(|(known, _)| known.as_str() == name)
            .map(|(_, action)| *action)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.tools.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The tools as the model sees them.
    pub(super) fn definitions(&self) -> Vec<Tool> {
        let tools = self.tools.iter();
        tools
            .map(|(name, action)| {
                let (description, parameters) = match action {
                    Action::InWorkspace(tool, workspace) => describe(*tool, workspace),
                    Action::Configured(tool) => (tool.description.clone(), tool.parameters.clone()),
                };
                Tool {
                    name: name.to_string(),
                    description: Some(description),
                    parameters: Some(parameters),
                    strict: None,
                }
            })
            .collect()
    }
}

fn actions<'c>(
    tools: &StepTools,
    context: &'c Context,
) -> Result<Vec<(ToolName, Action<'c>)>, Discard> {
    let config = &context.config;
    let workspace = match &tools.workspace {
        None => None,
        Some(name) => Some(config.workspaces.get(name).ok_or_else(|| {
            let error = unknown("workspace", name.as_str(), &config.workspaces);
            Discard::new(UNKNOWN_WORKSPACE, error)
        })?),
    };
    let action = |name: &ToolName| {
        let of_workspace = name.of_workspace().zip(workspace);
        let action = of_workspace
            .map(|(tool, workspace)| Action::InWorkspace(tool, workspace))
            .or_else(|| config.tools.get(name).map(Action::Configured));
        action.map(|action| (name.clone(), action)).ok_or_else(|| {
            Discard::new(UNKNOWN_TOOL, unknown("tool", name.as_str(), &config.tools))
        })
    };
    tools.names.iter().map(action).collect()
}

fn unknown<N: Display, T>(what: &str, name: &str, known: &BTreeMap<N, T>) -> String {
    let known: Vec<String> = known.keys().map(ToString::to_string).collect();
    let hint = match closest(name, known.iter().map(String::as_str)) {
        Some(close) => format!("did you mean `{close}`?"),
        None if known.is_empty() => format!("the configuration of this worker has no {what}s"),
        None => format!("expected one of {}", known.join(", ")),
    };
    format!("there is no {what} `{name}`; {hint}")
}

/// What a tool of a workspace says of itself: its description, and the JSON schema of its arguments.
fn describe(tool: WorkspaceTool, workspace: &Workspace) -> (String, Value) {
    let text = |words: &str| json!({"type": "string", "description": words});
    let number = |words: &str| json!({"type": "integer", "minimum": 1, "description": words});
    let path = || text("Path of a file, relative to the workspace.");
    let (description, properties, required): (String, Value, &[&str]) = match tool {
        WorkspaceTool::ReadFile => (
            "Reads a text file.".to_owned(),
            json!({
                "path": path(),
                "offset": number("The first line, from 1."),
                "lines": number("How many lines."),
            }),
            &["path"],
        ),
        WorkspaceTool::ListFiles => (
            "Lists the files below a directory.".to_owned(),
            json!({
                "path": text("Path of a directory, relative to the workspace; without it, the workspace."),
                "glob": text("Only files that match, such as *.rs or src/**/*.rs."),
            }),
            &[],
        ),
        WorkspaceTool::Search => (
            "Searches the lines of files for a regular expression. Answers PATH:LINE: TEXT.".to_owned(),
            json!({
                "pattern": text("The regular expression."),
                "path": text("Path of a file or directory, relative to the workspace; without it, the workspace."),
            }),
            &["pattern"],
        ),
        WorkspaceTool::EditFile => (
            "Replaces a text that occurs exactly once in a file. With an empty `old`, creates a file that does \
             not exist."
                .to_owned(),
            json!({
                "path": path(),
                "old": text("The text to replace, with all of its white space."),
                "new": text("What to put in its place."),
            }),
            &["path", "old", "new"],
        ),
        WorkspaceTool::Run => (
            format!("Runs a command. Allowed are exactly: {}.", allowed(workspace)),
            json!({
                "command": {"type": "array", "items": {"type": "string"},
                            "description": "The program and its arguments."},
            }),
            &["command"],
        ),
    };
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    (description, schema)
}

/// The commands that a workspace allows, as JSON.
pub(super) fn allowed(workspace: &Workspace) -> String {
    let commands: Vec<String> = workspace
        .run
        .iter()
        .map(|words| json!(words).to_string())
        .collect();
    if commands.is_empty() {
        return "none".to_owned();
    }
    commands.join(", ")
}
