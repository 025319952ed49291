//! What is seen while a chain goes on: the tree where somebody looks on, else a line for each step that has ended.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use chrono::Utc;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_shared::chain::{StepName, StepState};

use super::{look::Chain, tree};
use crate::output;

/// Lines that the tree may have.
const LINES: usize = 20;

/// What is seen of a chain.
pub(super) struct Live {
    bar: Option<ProgressBar>,
    told: HashMap<StepName, StepState>,
}

impl Live {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::new_spinner().with_message("Waiting for a worker to begin the chain");
            if let Ok(style) = ProgressStyle::with_template("{msg}\n{spinner} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            told: HashMap::new(),
        }
    }

    pub(super) fn show(&mut self, chain: &Chain) {
        let now = Utc::now();
        if let Some(bar) = &self.bar {
            bar.set_message(tree::short(chain, now, LINES));
            return;
        }
        for step in &chain.steps {
            let news = matches!(
                step.state,
                StepState::Completed
                    | StepState::Failed
                    | StepState::Skipped
                    | StepState::Cancelled
            );
            if news && self.told.insert(step.name.clone(), step.state) != Some(step.state) {
                let took = tree::time(step, chain, now);
                let took = if took.is_empty() {
                    took
                } else {
                    format!(", {took}")
                };
                output::note(format_args!("{}: {}{took}", step.name, tree::state(step)));
            }
        }
    }

    /// A line above the tree.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Takes the tree away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
