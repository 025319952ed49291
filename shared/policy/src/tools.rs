//! Tools of the configuration that chain steps may name, and the workspaces in which the tools for files work.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use longshore_protocol::{
    chain::{ToolName, WorkspaceName},
    string_enum,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

/// The workspaces of a worker by name.
pub type Workspaces = BTreeMap<WorkspaceName, Workspace>;

/// The tools of a worker by name, without those of workspaces.
pub type Tools = BTreeMap<ToolName, ToolDefinition>;

/// A directory whose files a model may read and change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub directory: PathBuf,
    /// The largest file that is read or written.
    pub max_file_bytes: usize,
    /// The commands that may run in it, each with all of its arguments.
    pub run: Vec<Vec<String>>,
    /// The variables of the commands beside those that every command gets.
    pub env: SecretPairs,
    pub bounds: ToolBounds,
}

/// How long a call may take, and how much it may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolBounds {
    pub timeout: Duration,
    pub max_output: usize,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolDefinition {
    /// What it does, for the model.
    pub description: String,
    /// The JSON schema of its arguments.
    pub parameters: Value,
    pub action: ToolAction,
    pub bounds: ToolBounds,
}

/// What a call of a tool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolAction {
    /// Runs a command, with the arguments of the call on its standard input.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        working_dir: PathBuf,
        env: SecretPairs,
    },
    /// Sends a request to a fixed address.
    Http {
        method: ToolMethod,
        url: Url,
        headers: SecretPairs,
    },
}

string_enum! {
    /// The method of a tool's request.
    ToolMethod {
        /// The arguments of the call are the query.
        Get = "GET",
        /// The arguments of the call are the body, as JSON.
        Post = "POST",
    }
}

/// Names with values that nobody is shown: variables, or headers.
#[derive(Debug, Clone, Default)]
pub struct SecretPairs(pub Vec<(String, SecretString)>);

impl SecretPairs {
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn exposed(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.expose_secret()))
    }
}

impl PartialEq for SecretPairs {
    fn eq(&self, other: &Self) -> bool {
        self.exposed().eq(other.exposed())
    }
}

impl Eq for SecretPairs {}
