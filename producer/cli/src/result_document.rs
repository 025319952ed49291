//! The JSON of a job's result, the same in all commands that print answers.

use longshore_client::{JobId, Outcome, Usd};
use serde::Serialize;

use crate::render::{money::exact, time::seconds_from_ms};

/// An outcome (`docs/protocol/outcome.schema.json`) with the names that earlier releases gave to some of its fields.
#[derive(Debug, Serialize)]
pub(crate) struct ResultDocument<'a> {
    /// The position of the task in its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// The old name of `id`.
    task_id: &'a JobId,
    /// The old form of `cost_usd`: a number.
    #[serde(serialize_with = "exact")]
    cost: Usd,
    /// The old form of `duration_ms`: seconds.
    duration: f64,
}

impl<'a> ResultDocument<'a> {
    pub(crate) fn new(outcome: &'a Outcome) -> Self {
        Self {
            index: None,
            outcome,
            task_id: &outcome.id,
            cost: outcome.cost_usd,
            duration: seconds_from_ms(outcome.duration_ms),
        }
    }

    /// The result of the task at this position of a batch.
    pub(crate) fn of_task(index: u32, outcome: &'a Outcome) -> Self {
        Self {
            index: Some(index),
            ..Self::new(outcome)
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_client::JobState;

    use super::*;

    #[test]
    fn a_result_has_every_field_of_an_outcome_and_the_old_names() {
        let id = JobId::parse("inv-1").unwrap();
        let error = "another job has the id".to_owned();
        let outcome = Outcome::without_calls(id, JobState::Discarded, "id_conflict", error);
        let document = ResultDocument::of_task(7, &outcome);
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap(), @r#"
        {
          "index": 7,
          "id": "inv-1",
          "state": "discarded",
          "success": false,
          "output": null,
          "error": "another job has the id",
          "error_class": "id_conflict",
          "platform": null,
          "model": null,
          "finish_reason": null,
          "attempts": 0,
          "input_tokens": 0,
          "output_tokens": 0,
          "cached_tokens": 0,
          "reasoning_tokens": 0,
          "cost_usd": "0",
          "duration_ms": 0,
          "queued_ms": 0,
          "metadata": null,
          "task_id": "inv-1",
          "cost": 0,
          "duration": 0.0
        }
        "#);
    }
}
