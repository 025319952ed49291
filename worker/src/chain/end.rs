//! How a step ended, told with the end of its job.

use longshore_broker::{StepEnd, StepOutcome};
use longshore_protocol::{
    chain::{SKIPPED, StepRef},
    checkpoint::Resume,
    event::JobRecord,
    money::Usd,
    state::JobState,
};

/// How a step ended.
#[derive(Debug)]
pub(crate) struct StepResult {
    step: StepRef,
    outcome: StepOutcome,
    cost: Usd,
}

impl StepResult {
    /// As the script is told.
    pub(crate) fn end(&self) -> StepEnd<'_> {
        StepEnd {
            step: &self.step,
            outcome: self.outcome,
            cost: self.cost,
        }
    }
}

/// How the step that a job runs has ended with it; nothing of a job that runs none.
pub(crate) fn step_result(resume: &Resume, record: &JobRecord) -> Option<StepResult> {
    let step = resume.step.as_deref().filter(|step| !step.after)?;
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
        cost: resume.cost,
    })
}
