//! How a chain step ended, reported in the settle step of its job.

use longshore_broker::{StepEnd, StepOutcome};
use longshore_protocol::{
    chain::{SKIPPED, StepRef},
    checkpoint::Spent,
    event::JobRecord,
    state::JobState,
};

use crate::job::Progress;

/// How a chain step ended.
#[derive(Debug)]
pub(super) struct StepResult {
    step: StepRef,
    outcome: StepOutcome,
    spent: Spent,
}

impl StepResult {
    pub(super) fn to_step_end(&self) -> StepEnd<'_> {
        StepEnd {
            step: &self.step,
            outcome: self.outcome,
            spent: self.spent,
        }
    }
}

/// The result of the step that the job runs; `None` if it runs none.
pub(super) fn step_result(progress: &Progress, record: &JobRecord) -> Option<StepResult> {
    let checkpoint = &progress.checkpoint;
    let step = checkpoint.step.as_deref().filter(|step| !step.after)?;
    let outcome = match record.state {
        JobState::Completed => StepOutcome::Completed,
        JobState::Cancelled if record.error_class.as_deref() == Some(SKIPPED) => {
            StepOutcome::Skipped
        }
        JobState::Cancelled => StepOutcome::Cancelled,
        JobState::Discarded => StepOutcome::Failed,
        JobState::Scheduled | JobState::Available | JobState::Running | JobState::Retryable => {
            return None;
        }
    };
    Some(StepResult {
        step: step.clone(),
        outcome,
        spent: progress.spent(),
    })
}
