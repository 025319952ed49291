//! Shows the progress of a chain: a live tree on a terminal, else a line for each step that ends.

use std::collections::HashMap;

use longshore_client::{StepName, StepState};
use longshore_protocol::clock::local_time;

use super::{
    reader::ChainStatus,
    tree::{short_chain_tree, step_duration, step_state},
};
use crate::{
    output,
    render::progress::Progress,
    waiting::{StatusLine, WaitStatus},
};

/// Maximum lines of the tree.
const LINES: usize = 20;

pub(super) struct Live {
    tree: Progress,
    /// The steps whose ends were reported.
    reported: HashMap<StepName, StepState>,
    /// What the steps wait for.
    waiting: Option<WaitStatus>,
    line: StatusLine,
}

impl Live {
    pub(super) fn new() -> Self {
        let message = "Waiting for a worker to start the chain";
        Self {
            tree: Progress::spinner("{msg}\n{spinner} {elapsed}", message),
            reported: HashMap::new(),
            waiting: None,
            line: StatusLine::default(),
        }
    }

    pub(super) fn show(&mut self, chain: &ChainStatus) {
        let now = local_time();
        if self.tree.is_visible() {
            let mut tree = short_chain_tree(chain, now, LINES);
            if let Some(waiting) = &self.waiting {
                tree = format!("{tree}\n{}", waiting.line());
            }
            self.tree.set_message(tree);
            return;
        }
        for step in &chain.steps {
            let has_ended = matches!(
                step.state,
                StepState::Completed
                    | StepState::Failed
                    | StepState::Skipped
                    | StepState::Cancelled
            );
            if has_ended && self.reported.insert(step.name.clone(), step.state) != Some(step.state)
            {
                let took = step_duration(step, chain, now);
                let took = if took.is_empty() {
                    took
                } else {
                    format!(", {took}")
                };
                output::note(format_args!("{}: {}{took}", step.name, step_state(step)));
            }
        }
    }

    /// Says what the steps wait for; `None` if they run.
    pub(super) fn tell(&mut self, waiting: Option<WaitStatus>) {
        match &waiting {
            Some(status) => self.line.announce(status, &self.tree),
            None => self.line.forget(),
        }
        self.waiting = waiting;
    }

    /// Prints a line above the tree.
    pub(super) fn note(&self, text: &str) {
        self.tree.note(text);
    }

    /// Removes the tree.
    pub(super) fn clear(&self) {
        self.tree.clear();
    }
}
