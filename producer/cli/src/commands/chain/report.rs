//! A chain as JSON: the document that `--output` and `--format json` write.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_client::{ChainOutcome, ChainState, Client, StepName, StepState, Usd};
use serde::Serialize;

use super::reader::{ChainStatus, StepStatus};
use crate::{
    error::CommandError,
    render::{money::exact, time::seconds_from_ms},
};

/// The chain's outcome, when it ran, and its steps.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    #[serde(flatten)]
    outcome: &'a ChainOutcome,
    name: Option<&'a str>,
    begun_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    unknown_cost_attempts: u64,
    steps: Vec<StepReport<'a>>,
    #[serde(flatten)]
    old: OldNames<'a>,
}

/// Names that fields had before; kept for one release.
#[derive(Debug, Serialize)]
struct OldNames<'a> {
    chain_id: &'a str,
    duration: f64,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
}

#[derive(Debug, Serialize)]
struct StepReport<'a> {
    name: &'a StepName,
    needs: &'a [StepName],
    when: Option<&'a str>,
    foreach: Option<&'a str>,
    gather: Option<&'a StepName>,
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
    cost_usd: Usd,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    unknown_cost_attempts: u64,
}

#[derive(Debug, Serialize)]
struct ErrorReport<'a> {
    id: &'a str,
    job_id: &'a str,
    error: &'a str,
}

impl<'a> Report<'a> {
    pub(super) fn new(chain: &'a ChainStatus, outcome: &'a ChainOutcome) -> Self {
        let record = &chain.record;
        Self {
            outcome,
            name: record.name.as_deref(),
            begun_at: chain.begun(),
            ended_at: chain.ended(),
            unknown_cost_attempts: chain.unknown,
            steps: chain.steps.iter().map(StepReport::new).collect(),
            old: OldNames {
                chain_id: record.chain_id.as_str(),
                duration: seconds_from_ms(outcome.duration_ms),
                total_cost: outcome.cost_usd,
            },
        }
    }
}

impl<'a> StepReport<'a> {
    fn new(step: &'a StepStatus) -> Self {
        let errors = step.failures.iter().map(|failure| ErrorReport {
            id: failure.job.as_str(),
            job_id: failure.job.as_str(),
            error: &failure.error,
        });
        Self {
            name: &step.name,
            needs: &step.needs,
            when: step.conditions.when.as_deref(),
            foreach: step.conditions.foreach.as_deref(),
            gather: step.conditions.gather.as_ref(),
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
                cost_usd: figures.cost_usd,
                cost: figures.cost_usd,
                unknown_cost_attempts: figures.unknown_cost_attempts,
            }),
            errors: errors.collect(),
        }
    }
}

/// The outcome of a chain with all its answers, or what there is of it while it runs. Of a chain that only Postgres
/// has, it has no answers.
pub(super) async fn read_outcome(
    chain: &ChainStatus,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<ChainOutcome, CommandError> {
    let id = &chain.record.chain_id;
    let Some(mut outcome) = client.chain_outcome(id).await? else {
        return Ok(recorded_outcome(chain, now));
    };
    if !outcome.warnings.is_empty() {
        for (step, output) in &mut outcome.outputs {
            let status = chain.steps.iter().find(|status| status.name == *step);
            let items = status.and_then(|status| status.items);
            *output = client.step_output(id, step, items).await?;
        }
        outcome.warnings.clear();
    }
    Ok(outcome)
}

/// What Postgres knows of a chain's outcome.
pub(super) fn recorded_outcome(chain: &ChainStatus, now: DateTime<Utc>) -> ChainOutcome {
    let record = &chain.record;
    let count = |state: StepState| {
        let in_state = chain.steps.iter().filter(|step| step.state == state);
        u64::try_from(in_state.count()).unwrap_or(u64::MAX)
    };
    let figures = || chain.steps.iter().filter_map(|step| step.figures);
    let failure = chain.steps.iter().flat_map(|step| &step.failures).next();
    let took = (chain.ended().unwrap_or(now) - chain.begun()).num_milliseconds();
    ChainOutcome {
        id: record.chain_id.clone(),
        state: record.state,
        success: record.state == ChainState::Completed,
        kind: record.kind,
        output: None,
        outputs: BTreeMap::new(),
        error: failure.map(|failure| failure.error.clone()),
        error_class: None,
        errors: Vec::new(),
        platform: None,
        model: None,
        finish_reason: None,
        total_steps: record.steps,
        completed: count(StepState::Completed),
        failed: count(StepState::Failed),
        skipped: count(StepState::Skipped),
        cancelled: count(StepState::Cancelled),
        attempts: figures().map(|figures| figures.attempts).sum(),
        input_tokens: figures().map(|figures| figures.input_tokens).sum(),
        output_tokens: figures().map(|figures| figures.output_tokens).sum(),
        cached_tokens: 0,
        reasoning_tokens: 0,
        cost_usd: chain.cost,
        cost_estimated: chain.unknown > 0,
        duration_ms: u64::try_from(took).unwrap_or_default(),
        queued_ms: 0,
        metadata: None,
        warnings: vec![
            "Redis no longer has this chain: answers and metadata are missing; `longshore jobs show ID/STEP` \
             shows each answer"
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use longshore_client::StepOutput;

    use super::*;
    use crate::commands::chain::tree::tests::example_chain;

    #[test]
    fn the_document_has_every_figure() {
        let mut chain = example_chain(ChainState::Failed);
        chain.steps.truncate(2);
        let now = chain.begun();
        let mut outcome = recorded_outcome(&chain, now);
        let answers = StepOutput::Items(vec![Some("Berlin".to_owned()), None]);
        outcome.outputs.insert(chain.steps[1].name.clone(), answers);
        let text = serde_json::to_string_pretty(&Report::new(&chain, &outcome)).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "id": "report-7",
          "state": "failed",
          "success": false,
          "kind": "chain",
          "output": null,
          "outputs": {
            "each": [
              "Berlin",
              null
            ]
          },
          "error": "All platforms failed. Last error: overloaded.\nTried: gemini",
          "error_class": null,
          "errors": [],
          "platform": null,
          "model": null,
          "finish_reason": null,
          "total_steps": 6,
          "completed": 1,
          "failed": 1,
          "skipped": 0,
          "cancelled": 0,
          "attempts": 2,
          "input_tokens": 0,
          "output_tokens": 0,
          "cached_tokens": 0,
          "reasoning_tokens": 0,
          "cost_usd": "0.0113004",
          "duration_ms": 12345,
          "queued_ms": 0,
          "metadata": null,
          "warnings": [
            "Redis no longer has this chain: answers and metadata are missing; `longshore jobs show ID/STEP` shows each answer"
          ],
          "name": "weekly report",
          "begun_at": "2026-11-21T03:47:58.059Z",
          "ended_at": "2026-11-21T03:48:10.404Z",
          "unknown_cost_attempts": 0,
          "steps": [
            {
              "name": "research",
              "needs": [],
              "when": null,
              "foreach": null,
              "gather": null,
              "state": "completed",
              "items": null,
              "items_ended": 0,
              "items_completed": 0,
              "started_at": "2026-11-21T03:47:58.099Z",
              "finished_at": "2026-11-21T03:48:00.199Z",
              "attempts": 1,
              "input_tokens": 0,
              "output_tokens": 0,
              "cost_usd": "0.0012",
              "cost": 0.0012,
              "unknown_cost_attempts": 0,
              "errors": []
            },
            {
              "name": "each",
              "needs": [
                "research"
              ],
              "when": null,
              "foreach": null,
              "gather": null,
              "state": "failed",
              "items": 1200,
              "items_ended": 4,
              "items_completed": 3,
              "started_at": "2026-11-21T03:48:00.259Z",
              "finished_at": "2026-11-21T03:48:07.059Z",
              "attempts": 1,
              "input_tokens": 0,
              "output_tokens": 0,
              "cost_usd": "0.0101",
              "cost": 0.0101,
              "unknown_cost_attempts": 0,
              "errors": [
                {
                  "id": "report-7/each/3",
                  "job_id": "report-7/each/3",
                  "error": "All platforms failed. Last error: overloaded.\nTried: gemini"
                }
              ]
            }
          ],
          "chain_id": "report-7",
          "duration": 12.345,
          "total_cost": 0.0113004
        }
        "#);
    }
}
