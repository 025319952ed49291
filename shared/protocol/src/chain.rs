//! Chains: jobs that depend on one another (`docs/PROTOCOL.md`, "Chains").
//!
//! A step is an ordinary job. What its worker has to know of the chain travels in the job's memory
//! ([`Resume`](crate::checkpoint::Resume)) as a [`StepRef`], never in its message.

mod check;
mod document;
mod graph;
mod name;
mod parse;
pub mod spawn;
mod state;
mod step;
pub mod template;
#[cfg(test)]
mod tests;
mod work;

pub use self::{
    document::{Document, OnComplete, Step, Work},
    graph::{dot, mermaid},
    name::{BadChainName, ChainId, Instance, StepName},
    parse::{BadChain, MAX_STEPS, parse},
    state::StepState,
    step::{OnFailure, StepRef},
};

/// The class of the end of a step whose condition did not hold.
pub const SKIPPED: &str = "skipped";

string_enum! {
    /// Where a chain is in its life.
    ChainState {
        /// A batch whose producer is still putting in, or died while it did.
        Open = "open",
        /// Its steps run, or wait.
        Running = "running",
        /// It is to end: what runs is being cancelled, and nothing more is started.
        Stopping = "stopping",
        /// Everything ran that had to.
        Completed = "completed",
        /// A step failed that had to run.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

impl ChainState {
    /// Whether nothing more will happen to the chain by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

string_enum! {
    /// What a chain came from.
    ChainKind {
        /// A document of steps.
        Chain = "chain",
        /// Many tasks that do not depend on one another.
        Batch = "batch",
    }
}
