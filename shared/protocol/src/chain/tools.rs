//! Tools that the worker runs for a model. A step names them; the configuration of the worker says what they do.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::faults::{Faults, Location};
use crate::envelope::{
    MalformedCode, MessageLimits,
    fields::{self, Fields, Input, Problem, Read, decoded, is_plain},
    json::Kind,
};

/// The longest name of a tool or a workspace.
const LONGEST_NAME: usize = 64;

/// The most tools that a step may name.
const MOST_TOOLS: usize = 64;

const TOOL_FORM: &str = "1 to 64 characters of [A-Za-z0-9_-]";
const WORKSPACE_FORM: &str = "1 to 64 characters of [A-Za-z0-9._-]";

string_enum! {
    /// The tools that every workspace has.
    WorkspaceTool {
        /// Reads a file.
        ReadFile = "read_file",
        /// Lists files.
        ListFiles = "list_files",
        /// Searches files for a pattern.
        Search = "search",
        /// Replaces a text in a file, or creates a file.
        EditFile = "edit_file",
        /// Runs a command that the workspace allows.
        Run = "run",
    }
}

impl WorkspaceTool {
    /// Whether a call changes nothing, so that it can be made again.
    pub fn is_read_only(self) -> bool {
        match self {
            Self::ReadFile | Self::ListFiles | Self::Search => true,
            Self::EditFile | Self::Run => false,
        }
    }
}

/// A name of an invalid form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} name `{name}` is not valid: expected {expected}")]
pub struct BadToolName {
    what: &'static str,
    name: String,
    expected: &'static str,
}

/// The name of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolName(String);

impl ToolName {
    pub fn parse(text: &str) -> Result<Self, BadToolName> {
        let name = checked("tool", text, "_-", TOOL_FORM)?;
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tool of a workspace with this name.
    pub fn of_workspace(&self) -> Option<WorkspaceTool> {
        WorkspaceTool::from_name(&self.0)
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a workspace in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkspaceName(String);

impl WorkspaceName {
    pub fn parse(text: &str) -> Result<Self, BadToolName> {
        let name = checked("workspace", text, "._-", WORKSPACE_FORM)?;
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(
    what: &'static str,
    text: &str,
    others: &str,
    expected: &'static str,
) -> Result<String, BadToolName> {
    if is_plain(text, LONGEST_NAME, others) {
        return Ok(text.to_owned());
    }
    Err(BadToolName {
        what,
        name: text.chars().take(LONGEST_NAME).collect(),
        expected,
    })
}

/// The tools that a step names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTools {
    /// Each once.
    pub names: Vec<ToolName>,
    /// Where the tools of workspaces work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceName>,
    /// How many answers may call tools, if fewer than the configuration allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<u32>,
}

impl fmt::Display for StepTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names.iter().map(ToolName::as_str).collect();
        write!(f, "{}", names.join(", "))?;
        match &self.workspace {
            Some(workspace) => write!(f, " in workspace {workspace}"),
            None => Ok(()),
        }
    }
}

/// Takes the tools that a step names, and what belongs to them. Tools that it defines stay in its job.
pub(super) fn step_tools(
    members: &mut Fields<'_>,
    location: &Location,
    limits: &MessageLimits,
    faults: &mut Faults,
) -> Option<StepTools> {
    let has_workspace = members
        .0
        .get("workspace")
        .is_some_and(|name| !name.is_null());
    let workspace = faults.kept(location, members.take("workspace", workspace_name));
    let most = limits.max_tool_rounds;
    let max_rounds = faults.kept(
        location,
        members.take("max_rounds", |value| fields::whole(value, 1..=most)),
    );
    if members
        .0
        .get("tools")
        .is_none_or(|tools| !has_names(*tools))
    {
        let beside = [
            ("workspace", workspace.is_some()),
            ("max_rounds", max_rounds.is_some()),
        ];
        for (field, _) in beside.into_iter().filter(|(_, is_set)| *is_set) {
            faults.add(
                location,
                format!("field `{field}`: needs `tools`, a list of names of tools"),
            );
        }
        return None;
    }
    let names = faults.kept(location, members.take("tools", names));
    refuse_beside(members, location, faults);
    let names = names?;
    check_workspace(&names, has_workspace, location, faults);
    Some(StepTools {
        names,
        workspace,
        max_rounds,
    })
}

/// Whether a list of tools has a name among them.
fn has_names(tools: Input<'_>) -> bool {
    let Input::Json(list) = tools else {
        return false;
    };
    let list: Result<Vec<&RawValue>, _> = serde_json::from_str(list.get());
    list.is_ok_and(|list| list.iter().any(|tool| Kind::detect(tool) == Kind::Text))
}

fn workspace_name(input: Input<'_>) -> Read<WorkspaceName> {
    let expected = format!("the name of a workspace: {WORKSPACE_FORM}");
    let text = input.text(&expected)?;
    WorkspaceName::parse(&text).map_err(|_| input.is_not(MalformedCode::BadValue, &expected))
}

fn names(input: Input<'_>) -> Read<Vec<ToolName>> {
    const EXPECTED: &str = "a list of names of tools";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    if list.iter().any(|tool| Kind::detect(tool) != Kind::Text) {
        return Err(bad_value(
            "expected either names of tools, which the worker runs, or definitions of tools, which the producer \
             runs, but got both"
                .to_owned(),
        ));
    }
    if list.len() > MOST_TOOLS {
        let message = format!(
            "expected at most {MOST_TOOLS} names, but got {}",
            list.len()
        );
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message,
        });
    }
    let mut names: Vec<ToolName> = Vec::with_capacity(list.len());
    for name in list {
        let name = Input::Json(name).text(EXPECTED)?;
        let name = ToolName::parse(&name).map_err(|error| bad_value(error.to_string()))?;
        if names.contains(&name) {
            return Err(bad_value(format!(
                "expected each name once, but got `{name}` more often"
            )));
        }
        names.push(name);
    }
    Ok(names)
}

fn bad_value(message: String) -> Problem {
    Problem {
        code: MalformedCode::BadValue,
        message,
    }
}

/// Refuses the fields of a job that mean nothing where the worker runs the tools.
fn refuse_beside(members: &mut Fields<'_>, location: &Location, faults: &mut Faults) {
    const BESIDE: &[(&str, &str)] = &[
        ("tool_choice", "the model decides in each round"),
        ("parallel_tool_calls", "calls run one after another"),
        ("spawn", "the answer follows several calls"),
        ("recipe", "name the tools in the steps of the recipe"),
    ];
    for (field, why) in BESIDE {
        if members
            .0
            .remove(field)
            .is_some_and(|value| !value.is_null())
        {
            faults.add(
                location,
                format!("field `{field}`: cannot stand beside names of tools: {why}"),
            );
        }
    }
}

fn check_workspace(
    names: &[ToolName],
    has_workspace: bool,
    location: &Location,
    faults: &mut Faults,
) {
    let of_workspace = names.iter().find(|name| name.of_workspace().is_some());
    match of_workspace {
        Some(name) if !has_workspace => faults.add(
            location,
            format!("field `tools`: `{name}` needs `workspace`, the name of a workspace of the configuration"),
        ),
        None if has_workspace => {
            let known: Vec<&str> = WorkspaceTool::ALL.iter().map(|tool| tool.as_str()).collect();
            let known = known.join(", ");
            faults.add(
                location,
                format!("field `workspace`: no tool works in it; expected one of {known} in `tools`"),
            );
        }
        _ => {}
    }
}
