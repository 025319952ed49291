//! The log of a chain as Markdown.

use chrono::{DateTime, Utc};
use longshore_client::{StepName, StepState};
use longshore_ledger::Figures;

use super::{ChainLog, JobOfStep};
use crate::{
    commands::{
        chain::reader::{ChainStatus, StepStatus},
        jobs::job_section,
    },
    render::{
        markdown::{block, code, inline},
        text::{counted, grouped},
        time::{exact_timestamp, span_with_tenths},
    },
};

/// What is known of the chain, then its steps in order, each with its jobs.
pub(super) fn chain_section(log: &ChainLog, now: DateTime<Utc>) -> String {
    let chain = &log.chain;
    let kind = chain.record.kind;
    let id = code(chain.record.chain_id.as_str());
    let mut parts = vec![format!("# {} {id}", heading(kind.as_str()))];
    parts.push(facts(log, now));
    if let Some(error) = &log.outcome.error {
        parts.push(format!("Error:\n\n{}", block(error, 0)));
    }
    for step in &chain.steps {
        parts.push(step_facts(step, chain));
        parts.extend(jobs_of(log, Some(&step.name), now));
    }
    let others: Vec<String> = jobs_of(log, None, now).collect();
    if !others.is_empty() {
        parts.push("## Jobs that belong to no step".to_owned());
        parts.extend(others);
    }
    parts.join("\n\n")
}

fn heading(kind: &str) -> &'static str {
    if kind == "batch" { "Batch" } else { "Chain" }
}

fn jobs_of<'a>(
    log: &'a ChainLog,
    step: Option<&'a StepName>,
    now: DateTime<Utc>,
) -> impl Iterator<Item = String> + 'a {
    let jobs = log.jobs.iter().filter(move |job| job.step.as_ref() == step);
    jobs.map(move |JobOfStep { details, .. }| job_section(details, 3, now))
}

fn facts(log: &ChainLog, now: DateTime<Utc>) -> String {
    let (chain, outcome) = (&log.chain, &log.outcome);
    let end = chain.ended().unwrap_or(now);
    let mut lines = Vec::new();
    if let Some(name) = &chain.record.name {
        lines.push(format!("- Name: {}", inline(name)));
    }
    lines.push(format!("- State: {}", chain.state()));
    lines.push(format!("- Began: {}", exact_timestamp(chain.begun())));
    if let Some(ended) = chain.ended() {
        lines.push(format!("- Ended: {}", exact_timestamp(ended)));
    }
    lines.push(format!(
        "- Duration: {}",
        span_with_tenths(end - chain.begun())
    ));
    // The outcome counts items, and no step that was never reached.
    let count = |state: StepState| {
        chain
            .steps
            .iter()
            .filter(|step| step.state == state)
            .count()
    };
    lines.push(format!(
        "- Steps: {}; {} completed, {} failed, {} skipped, {} cancelled",
        grouped(chain.steps.len()),
        grouped(count(StepState::Completed)),
        grouped(count(StepState::Failed)),
        grouped(count(StepState::Skipped)),
        grouped(count(StepState::Cancelled))
    ));
    lines.push(format!(
        "- Total: {}",
        figures_line(&Figures {
            attempts: outcome.attempts,
            input_tokens: outcome.input_tokens,
            output_tokens: outcome.output_tokens,
            cost_usd: chain.cost,
            unknown_cost_attempts: chain.unknown,
        })
    ));
    for warning in &outcome.warnings {
        lines.push(format!("- Warning: {}", inline(warning)));
    }
    if let Some(error) = &log.record_error {
        let error = inline(error);
        lines.push(format!(
            "- Only the data in Redis is shown; Postgres query failed: {error}"
        ));
    }
    lines.join("\n")
}

fn figures_line(figures: &Figures) -> String {
    let unknown = match figures.unknown_cost_attempts {
        0 => String::new(),
        count => format!(", and {} of unknown cost", counted(count, "attempt")),
    };
    format!(
        "{}, {} tokens in, {} out, ${}{unknown}",
        counted(figures.attempts, "attempt"),
        grouped(figures.input_tokens),
        grouped(figures.output_tokens),
        figures.cost_usd
    )
}

fn step_facts(step: &StepStatus, chain: &ChainStatus) -> String {
    let mut lines = vec![format!(
        "## Step {}: {}\n",
        code(step.name.as_str()),
        step.state
    )];
    if !step.needs.is_empty() {
        let needs: Vec<String> = step.needs.iter().map(|name| code(name.as_str())).collect();
        lines.push(format!("- Needs: {}", needs.join(", ")));
    }
    let conditions = &step.conditions;
    if let Some(condition) = &conditions.when {
        lines.push(format!("- Runs when: {}", code(condition)));
    }
    if let Some(list) = &conditions.foreach {
        lines.push(format!("- Runs for each of: {}", code(list)));
    }
    if let Some(step) = &conditions.gather {
        lines.push(format!("- Gathers: {}", code(step.as_str())));
    }
    if let Some(models) = &conditions.models {
        lines.push(format!("- Asks: {models}"));
    }
    if let Some(of) = &conditions.merge {
        let (asked, kind) = (code(of.asked.as_str()), of.merge.kind());
        lines.push(format!("- Merges the answers of: {asked}, by {kind}"));
    }
    if let Some(not_by) = &conditions.not_by {
        lines.push(format!("- Not by: the {not_by}"));
    }
    if let Some(tools) = conditions.tools_of_worker() {
        lines.push(format!("- Tools: {tools}"));
    }
    if let Some(gate) = &conditions.gate {
        lines.push(format!("- Runs the gate: {}", code(gate.as_str())));
    }
    if let Some(validate) = &conditions.validate {
        lines.push(format!(
            "- Checks the answer of: {}",
            code(validate.of.as_str())
        ));
    }
    if let Some(part) = conditions.extract {
        lines.push(format!("- Takes out of its answer: {part}"));
    }
    if let Some(person) = &conditions.person {
        let asks = person.asks.as_deref().unwrap_or("a person");
        lines.push(format!("- Asks {asks}: {}", code(&person.question)));
    }
    if let Some(items) = step.items {
        lines.push(format!(
            "- Items: {}; {} ended, {} completed",
            grouped(items),
            grouped(step.ended),
            grouped(step.completed)
        ));
    }
    if let Some(reason) = why_skipped(step, chain) {
        lines.push(format!("- Skipped: {reason}"));
    }
    if let Some(started) = step.started {
        lines.push(format!("- Started: {}", exact_timestamp(started)));
    }
    if let Some(finished) = step.finished {
        lines.push(format!("- Finished: {}", exact_timestamp(finished)));
    }
    if let Some(figures) = step.figures.filter(|figures| figures.attempts > 0) {
        lines.push(format!("- Total: {}", figures_line(&figures)));
    }
    lines.join("\n").trim_end().to_owned()
}

/// Why a step was skipped, if it was.
fn why_skipped(step: &StepStatus, chain: &ChainStatus) -> Option<String> {
    if step.state != StepState::Skipped {
        return None;
    }
    let needed = chain
        .steps
        .iter()
        .filter(|other| step.needs.contains(&other.name));
    let unmet: Vec<String> = needed
        .filter(|other| other.state != StepState::Completed)
        .map(|other| format!("{} was {}", code(other.name.as_str()), passive(other.state)))
        .collect();
    Some(if !unmet.is_empty() {
        unmet.join(", ")
    } else if step.conditions.when.is_some() {
        "its condition was false".to_owned()
    } else {
        "the chain ended before it began".to_owned()
    })
}

fn passive(state: StepState) -> &'static str {
    match state {
        StepState::Failed => "not successful",
        StepState::Skipped => "skipped",
        StepState::Cancelled => "cancelled",
        StepState::Waiting | StepState::Ready | StepState::Running | StepState::Completed => {
            "not finished"
        }
    }
}
