//! A chain as JSON: the document that `--output` and `--format json` write.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_client::{ChainId, ChainState, Client, StepName, StepOutput, StepState, Usd};
use longshore_protocol::chain::ChainKind;
use serde::Serialize;

use super::reader::{ChainStatus, StepStatus};
use crate::{
    error::CommandError,
    render::{money::exact, time::seconds_from_ms},
};

#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    chain_id: &'a ChainId,
    name: Option<&'a str>,
    kind: ChainKind,
    state: ChainState,
    success: bool,
    begun_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    /// Seconds from the start to the end, or until now.
    duration: f64,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
    unknown_cost_attempts: u64,
    steps: Vec<StepReport<'a>>,
    /// The answers of the last steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Outputs>,
}

#[derive(Debug, Serialize)]
struct StepReport<'a> {
    name: &'a StepName,
    needs: &'a [StepName],
    state: StepState,
    items: Option<u64>,
    items_ended: u64,
    items_completed: u64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    figures: Option<FiguresReport>,
    errors: Vec<ErrorReport<'a>>,
}

#[derive(Debug, Serialize)]
struct FiguresReport {
    attempts: u64,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

#[derive(Debug, Serialize)]
struct ErrorReport<'a> {
    job_id: &'a str,
    error: &'a str,
}

/// The answers of steps, by name.
pub(super) type Outputs = BTreeMap<StepName, StepOutput>;

impl<'a> Report<'a> {
    pub(super) fn new(
        chain: &'a ChainStatus,
        outputs: Option<Outputs>,
        now: DateTime<Utc>,
    ) -> Self {
        let record = &chain.record;
        let took = (chain.until(now) - chain.begun()).num_milliseconds();
        Self {
            chain_id: &record.chain_id,
            name: record.name.as_deref(),
            kind: record.kind,
            state: record.state,
            success: record.state == ChainState::Completed,
            begun_at: chain.begun(),
            ended_at: record.ended_ms.map(|_| chain.until(now)),
            duration: seconds_from_ms(u64::try_from(took).unwrap_or_default()),
            total_cost: chain.cost,
            unknown_cost_attempts: chain.unknown,
            steps: chain.steps.iter().map(StepReport::new).collect(),
            outputs,
        }
    }
}

impl<'a> StepReport<'a> {
    fn new(step: &'a StepStatus) -> Self {
        let errors = step.failures.iter().map(|failure| ErrorReport {
            job_id: failure.job.as_str(),
            error: &failure.error,
        });
        Self {
            name: &step.name,
            needs: &step.needs,
            state: step.state,
            items: step.items,
            items_ended: step.ended,
            items_completed: step.completed,
            started_at: step.started,
            finished_at: step.finished,
            figures: step.figures.map(|figures| FiguresReport {
                attempts: figures.attempts,
                input_tokens: figures.input_tokens,
                output_tokens: figures.output_tokens,
                cost: figures.cost_usd,
                unknown_cost_attempts: figures.unknown_cost_attempts,
            }),
            errors: errors.collect(),
        }
    }
}

/// The answers of the last steps that Redis still has.
pub(super) async fn read_outputs(
    chain: &ChainStatus,
    client: &Client,
) -> Result<Outputs, CommandError> {
    let mut outputs = Outputs::new();
    for step in chain.last_steps() {
        if matches!(step.state, StepState::Completed | StepState::Failed) {
            let id = &chain.record.chain_id;
            let output = client.step_output(id, &step.name, step.items).await?;
            outputs.insert(step.name.clone(), output);
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chain::tree::tests::example_chain;

    #[test]
    fn the_document_has_every_figure() {
        let mut chain = example_chain(ChainState::Failed);
        chain.steps.truncate(2);
        let outputs = Outputs::from([(
            chain.steps[1].name.clone(),
            StepOutput::Items(vec![Some("Berlin".to_owned()), None]),
        )]);
        let now = chain.begun();
        let text = serde_json::to_string_pretty(&Report::new(&chain, Some(outputs), now)).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "chain_id": "report-7",
          "name": "weekly report",
          "kind": "chain",
          "state": "failed",
          "success": false,
          "begun_at": "2026-11-21T03:47:58.059Z",
          "ended_at": "2026-11-21T03:48:10.404Z",
          "duration": 12.345,
          "total_cost": 0.0113004,
          "unknown_cost_attempts": 0,
          "steps": [
            {
              "name": "research",
              "needs": [],
              "state": "completed",
              "items": null,
              "items_ended": 0,
              "items_completed": 0,
              "started_at": "2026-11-21T03:47:58.099Z",
              "finished_at": "2026-11-21T03:48:00.199Z",
              "attempts": 1,
              "input_tokens": 0,
              "output_tokens": 0,
              "cost": 0.0012,
              "unknown_cost_attempts": 0,
              "errors": []
            },
            {
              "name": "each",
              "needs": [
                "research"
              ],
              "state": "failed",
              "items": 1200,
              "items_ended": 4,
              "items_completed": 3,
              "started_at": "2026-11-21T03:48:00.259Z",
              "finished_at": "2026-11-21T03:48:07.059Z",
              "attempts": 1,
              "input_tokens": 0,
              "output_tokens": 0,
              "cost": 0.0101,
              "unknown_cost_attempts": 0,
              "errors": [
                {
                  "job_id": "report-7/each/3",
                  "error": "All platforms failed. Last error: overloaded.\nTried: gemini"
                }
              ]
            }
          ],
          "outputs": {
            "each": [
              "Berlin",
              null
            ]
          }
        }
        "#);
    }
}
