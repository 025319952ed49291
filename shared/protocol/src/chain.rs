//! Chains: jobs that depend on one another (`docs/PROTOCOL.md`, "Chains").
//!
//! A step is an ordinary job. Its worker learns about the chain from a [`StepRef`] in the job's
//! checkpoint ([`Checkpoint`](crate::checkpoint::Checkpoint)), never from its message.

mod check;
pub mod code;
mod document;
mod extract;
mod faults;
mod gate;
mod graph;
pub mod merge;
mod models;
mod name;
mod parse;
mod person;
mod several;
pub mod spawn;
mod state;
mod step;
pub mod template;
#[cfg(test)]
mod tests;
mod tools;
mod validate;
mod work;

pub use self::{
    document::{Document, OnComplete, Step, Work},
    extract::{Extract, Extracted},
    faults::{BadChain, ChainFault},
    gate::{BadGateName, GateName, GateReason, GateResult},
    graph::{dot, mermaid},
    models::{AUTO_CATEGORY, AuthorPart, MAX_MODELS, Merge, MergeKind, ModelName, Models, NotBy},
    name::{BadChainName, ChainId, Instance, StepName},
    parse::{FIELDS, MAX_STEPS, STEP_FIELDS, parse, parse_recipe},
    person::Person,
    state::StepState,
    step::{ChainCap, MergeOf, OnFailure, StepRef},
    tools::{BadToolName, StepTools, ToolName, WorkspaceName, WorkspaceTool},
    validate::{Check, Validate, Validation, Verdict, pattern},
};

/// The error class of a step that was skipped because its condition was false.
pub const SKIPPED: &str = "skipped";

string_enum! {
    /// The state of a chain.
    ChainState {
        /// A batch whose producer is still adding tasks, or died while adding them.
        Open = "open",
        /// Its steps run or wait.
        Running = "running",
        /// The chain is ending: running jobs are being cancelled, and no further step starts.
        Stopping = "stopping",
        /// Every required step completed.
        Completed = "completed",
        /// A required step failed.
        Failed = "failed",
        /// Cancelled on request.
        Cancelled = "cancelled",
    }
}

impl ChainState {
    /// Whether the state can only change by a replay.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

string_enum! {
    /// The origin of a chain.
    ChainKind {
        /// A document of steps.
        Chain = "chain",
        /// A file of independent tasks.
        Batch = "batch",
    }
}
