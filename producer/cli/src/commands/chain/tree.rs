//! A chain as a tree: each step under the last of the steps that it needs.

#[cfg(test)]
pub(super) mod tests;

use std::{collections::HashMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use longshore_client::{ChainState, StepName, StepState};

use super::reader::{ChainStatus, StepStatus};
use crate::render::{
    money::dollars,
    text::{counted, grouped, one_line},
    time::span_with_tenths,
    tree::{Branch, branches},
};

/// Characters shown of an error.
const ERROR: usize = 160;

/// Failures shown per step.
const FAILURES: usize = 3;

/// A title line, then the steps.
pub(super) fn chain_tree(chain: &ChainStatus, now: DateTime<Utc>) -> String {
    let indices: HashMap<&StepName, usize> = chain
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| (&step.name, index))
        .collect();
    let needs: Vec<Vec<usize>> = chain
        .steps
        .iter()
        .map(|step| {
            let needs = step.needs.iter();
            needs
                .filter_map(|need| indices.get(need).copied())
                .collect()
        })
        .collect();
    let branches = branches(&needs);
    let lines: Vec<(&Branch, &StepStatus)> = branches
        .iter()
        .filter_map(|branch| Some((branch, chain.steps.get(branch.index)?)))
        .collect();
    let rows: Vec<[String; 3]> = lines
        .iter()
        .map(|(branch, step)| {
            [
                format!("{}{} {}", branch.before, state_sign(step.state), step.name),
                step_state(step),
                step_duration(step, chain, now),
            ]
        })
        .collect();
    let [names, states, times] = [0, 1, 2].map(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    });
    let mut text = title(chain, now);
    for ((branch, step), [name, state, time]) in lines.into_iter().zip(&rows) {
        let (cost, needs) = (step_cost(step), multiple_needs(step));
        let row = format!("{name:<names$}  {state:<states$}  {time:<times$}  {cost}{needs}");
        let _written = write!(text, "\n{}", row.trim_end());
        for failure in step.failures.iter().take(FAILURES) {
            let error = one_line(&failure.error, ERROR);
            let _written = write!(text, "\n{}    {}: {error}", branch.below, failure.job);
        }
    }
    text
}

/// A tree of at most `max_lines` lines. A larger chain shows only steps that are running or ready.
pub(super) fn short_chain_tree(
    chain: &ChainStatus,
    now: DateTime<Utc>,
    max_lines: usize,
) -> String {
    let failures: usize = chain
        .steps
        .iter()
        .map(|step| step.failures.len().min(FAILURES))
        .sum();
    if chain.steps.len() + failures < max_lines {
        return chain_tree(chain, now);
    }
    let active = |step: &&StepStatus| matches!(step.state, StepState::Running | StepState::Ready);
    let shown = chain
        .steps
        .iter()
        .filter(active)
        .take(max_lines.saturating_sub(2));
    let part = ChainStatus {
        steps: shown
            .map(|step| StepStatus {
                needs: Vec::new(),
                failures: Vec::new(),
                ..step.clone()
            })
            .collect(),
        ..chain.clone()
    };
    let rest = chain.steps.len() - part.steps.len();
    let body = chain_tree(&part, now);
    // The title must count all steps.
    let body = body.split_once('\n').map_or("", |(_, body)| body);
    format!(
        "{}\n{body}\n… and {}",
        title(chain, now),
        counted(rest, "more step")
    )
}

/// The chain's name, state, progress, time and cost.
fn title(chain: &ChainStatus, now: DateTime<Utc>) -> String {
    let record = &chain.record;
    let id = &record.chain_id;
    let name = record.name.as_deref().map_or_else(
        || format!("Chain {id}"),
        |name| format!("{} ({id})", one_line(name, 60)),
    );
    let ended = chain
        .steps
        .iter()
        .filter(|step| has_ended(step.state))
        .count();
    let steps = if chain.steps.is_empty() {
        counted(record.steps, "step")
    } else {
        format!(
            "{} of {}",
            grouped(ended as u64),
            counted(chain.steps.len(), "step")
        )
    };
    let unknown = if chain.unknown > 0 {
        let attempts = counted(chain.unknown, "attempt");
        format!(" and {attempts} of unknown cost")
    } else {
        String::new()
    };
    format!(
        "{name}: {}, {steps}, {}, {}{unknown}",
        record.state,
        span_with_tenths(chain.ended().unwrap_or(now) - chain.begun()),
        dollars(chain.cost),
    )
}

fn has_ended(state: StepState) -> bool {
    !matches!(
        state,
        StepState::Waiting | StepState::Ready | StepState::Running
    )
}

fn state_sign(state: StepState) -> char {
    match state {
        StepState::Waiting => '·',
        StepState::Ready => '○',
        StepState::Running => '●',
        StepState::Completed => '✓',
        StepState::Failed => '✗',
        StepState::Skipped => '–',
        StepState::Cancelled => '■',
    }
}

/// The state, with the progress of a step that fanned out.
pub(super) fn step_state(step: &StepStatus) -> String {
    let Some(items) = step.items else {
        return step.state.to_string();
    };
    let mut text = format!(
        "{} {}/{}",
        step.state,
        grouped(step.completed),
        grouped(items)
    );
    if step.ended > step.completed {
        let _written = write!(text, ", {} failed", grouped(step.ended - step.completed));
    }
    text
}

/// The time from the step's first attempt to its end, or until now.
pub(super) fn step_duration(step: &StepStatus, chain: &ChainStatus, now: DateTime<Utc>) -> String {
    let end = match step.state {
        StepState::Running if chain.state() == ChainState::Running => Some(now),
        _ => step.finished,
    };
    let spans = step.started.zip(end);
    spans.map_or_else(String::new, |(from, to)| span_with_tenths(to - from))
}

fn step_cost(step: &StepStatus) -> String {
    let figures = step.figures.filter(|figures| figures.attempts > 0);
    figures.map_or_else(String::new, |figures| dollars(figures.cost_usd))
}

/// The needs of a step with more than one: the tree shows only one of them.
fn multiple_needs(step: &StepStatus) -> String {
    if step.needs.len() < 2 {
        return String::new();
    }
    let needs: Vec<&str> = step.needs.iter().map(StepName::as_str).collect();
    format!("  needs {}", one_line(&needs.join(", "), 80))
}
