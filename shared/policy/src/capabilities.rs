//! What a worker does beside calls.

use longshore_protocol::{chain::StepRef, id::QueueName, string_enum};

string_enum! {
    /// What a worker does beside calls. The steps that need it have a queue of its name.
    Capability {
        /// It runs the commands of gates.
        Gates = "gates",
        /// It runs the tools that steps name.
        Tools = "tools",
    }
}

impl Capability {
    /// What a worker must be able to do to run a step; `None` if every worker can run it.
    pub fn of(step: &StepRef) -> Option<Self> {
        if step.gate.is_some() {
            return Some(Self::Gates);
        }
        step.tools.as_ref().map(|_| Self::Tools)
    }

    /// The queue that only workers with the capability read.
    pub fn queue(self) -> QueueName {
        QueueName::from_stored(self.as_str())
    }
}
