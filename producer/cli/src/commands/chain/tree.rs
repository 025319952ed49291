//! A chain as a tree: each step under the last of those that it needs.

#[cfg(test)]
pub(super) mod tests;

use std::{collections::HashMap, fmt::Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_shared::chain::{ChainState, StepName, StepState};

use super::look::{Chain, Step};
use crate::commands::{
    submit::money::dollars,
    words::{self, count, head, many},
};

/// Deeper than this, steps stand no further to the right.
const DEEPEST: usize = 12;

/// Characters of an error.
const ERROR: usize = 160;

/// Failures that are told of each step.
const FAILURES: usize = 3;

/// A line of the tree: a step, the branches before it, and those before what is told of it.
struct Line<'a> {
    step: &'a Step,
    branch: String,
    below: String,
}

/// The chain in one line, then its steps.
pub(super) fn text(chain: &Chain, now: DateTime<Utc>) -> String {
    let mut text = title(chain, now);
    let lines = lines(&chain.steps);
    let names = lines
        .iter()
        .map(|line| width(&line.branch) + 2 + line.step.name.as_str().len());
    let names = names.max().unwrap_or_default();
    let states = lines.iter().map(|line| width(&state(line.step)));
    let states = states.max().unwrap_or_default();
    let times = lines.iter().map(|line| width(&time(line.step, chain, now)));
    let times = times.max().unwrap_or_default();
    for line in &lines {
        let step = line.step;
        let name = format!("{}{} {}", line.branch, sign(step.state), step.name);
        let row = format!(
            "{}  {}  {}  {}{}",
            padded(&name, names),
            padded(&state(step), states),
            padded(&time(step, chain, now), times),
            cost(step),
            also_needs(step),
        );
        let _written = write!(text, "\n{}", row.trim_end());
        for failure in step.failures.iter().take(FAILURES) {
            let error = head(&failure.error, ERROR);
            let _written = write!(text, "\n{}    {}: {error}", line.below, failure.job);
        }
    }
    text
}

/// What fits a terminal of so many lines: of a larger chain, what goes on.
pub(super) fn short(chain: &Chain, now: DateTime<Utc>, most: usize) -> String {
    let failures: usize = chain
        .steps
        .iter()
        .map(|step| step.failures.len().min(FAILURES))
        .sum();
    if chain.steps.len() + failures < most {
        return text(chain, now);
    }
    let going = |step: &&Step| matches!(step.state, StepState::Running | StepState::Ready);
    let shown = chain
        .steps
        .iter()
        .filter(going)
        .take(most.saturating_sub(2));
    let part = Chain {
        steps: shown
            .map(|step| Step {
                needs: Vec::new(),
                failures: Vec::new(),
                ..step.clone()
            })
            .collect(),
        ..chain.clone()
    };
    let rest = chain.steps.len() - part.steps.len();
    let body = text(&part, now);
    // The title counts all of them.
    let body = body.split_once('\n').map_or("", |(_, body)| body);
    format!(
        "{}\n{body}\n… and {} more",
        title(chain, now),
        many(rest, "step")
    )
}

/// The chain in one line.
pub(super) fn title(chain: &Chain, now: DateTime<Utc>) -> String {
    let record = &chain.record;
    let id = &record.chain_id;
    let name = record.name.as_deref().map_or_else(
        || format!("Chain {id}"),
        |name| format!("{} ({id})", head(name, 60)),
    );
    let ended = chain
        .steps
        .iter()
        .filter(|step| is_over(step.state))
        .count();
    let steps = if chain.steps.is_empty() {
        many(record.steps, "step")
    } else {
        format!(
            "{} of {}",
            count(ended as u64),
            many(chain.steps.len(), "step")
        )
    };
    let unknown = if chain.unknown > 0 {
        let attempts = many(chain.unknown, "attempt");
        format!(" and {attempts} of unknown cost")
    } else {
        String::new()
    };
    format!(
        "{name}: {}, {steps}, {}, {}{unknown}",
        record.state,
        took(chain.until(now) - chain.begun()),
        dollars(chain.cost),
    )
}

fn is_over(state: StepState) -> bool {
    !matches!(
        state,
        StepState::Waiting | StepState::Ready | StepState::Running
    )
}

fn sign(state: StepState) -> char {
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

/// The state, and of one that has fanned out, how far it is.
pub(super) fn state(step: &Step) -> String {
    let Some(items) = step.items else {
        return step.state.to_string();
    };
    let mut text = format!("{} {}/{}", step.state, count(step.completed), count(items));
    if step.ended > step.completed {
        let _written = write!(text, ", {} failed", count(step.ended - step.completed));
    }
    text
}

/// From its first attempt to its end, or until now.
pub(super) fn time(step: &Step, chain: &Chain, now: DateTime<Utc>) -> String {
    let end = match step.state {
        StepState::Running if chain.state() == ChainState::Running => Some(now),
        _ => step.finished,
    };
    let spans = step.started.zip(end);
    spans.map_or_else(String::new, |(from, to)| took(to - from))
}

fn cost(step: &Step) -> String {
    let figures = step.figures.filter(|figures| figures.attempts > 0);
    figures.map_or_else(String::new, |figures| dollars(figures.cost_usd))
}

/// What does not show in the tree.
fn also_needs(step: &Step) -> String {
    if step.needs.len() < 2 {
        return String::new();
    }
    let needs: Vec<&str> = step.needs.iter().map(StepName::as_str).collect();
    format!("  needs {}", head(&needs.join(", "), 80))
}

/// A span, exact to a tenth of a second while it is short.
pub(super) fn took(span: TimeDelta) -> String {
    let tenths = span.num_milliseconds().max(0) / 100;
    if tenths < 1000 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        words::span(span)
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// The steps in the order of the tree.
fn lines(steps: &[Step]) -> Vec<Line<'_>> {
    let parents = parents(steps);
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (index, parent) in parents.iter().enumerate() {
        children.entry(*parent).or_default().push(index);
    }
    let mut lines = Vec::with_capacity(steps.len());
    // A chain may be deeper than the machine's stack.
    let mut open: Vec<(usize, usize, bool, String)> = Vec::new();
    let push = |open: &mut Vec<_>, parent: Option<usize>, depth: usize, before: &str| {
        let of = children.get(&parent).map(Vec::as_slice).unwrap_or_default();
        let last = of.last().copied();
        for index in of.iter().rev() {
            open.push((*index, depth, Some(*index) == last, before.to_owned()));
        }
    };
    push(&mut open, None, 0, "");
    while let Some((index, depth, last, before)) = open.pop() {
        let Some(step) = steps.get(index) else {
            continue;
        };
        let (branch, after) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let below = if depth < DEEPEST {
            format!("{before}{after}")
        } else {
            before.clone()
        };
        push(&mut open, Some(index), depth + 1, &below);
        lines.push(Line {
            step,
            branch: format!("{before}{branch}"),
            below,
        });
    }
    lines
}

/// Of each step, the need that it stands under: the one furthest from the beginning.
fn parents(steps: &[Step]) -> Vec<Option<usize>> {
    let places: HashMap<&StepName, usize> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| (&step.name, index))
        .collect();
    let needs: Vec<Vec<usize>> = steps
        .iter()
        .map(|step| {
            step.needs
                .iter()
                .filter_map(|need| places.get(need).copied())
                .collect()
        })
        .collect();
    let mut depths: Vec<Option<usize>> = vec![None; steps.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut left: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (index, of) in needs.iter().enumerate() {
        for need in of {
            if let Some(list) = dependents.get_mut(*need) {
                list.push(index);
            }
        }
    }
    let depth_of = |depths: &[Option<usize>], index: usize| depths.get(index).copied().flatten();
    let deepest = |depths: &[Option<usize>], index: usize| {
        let of = needs.get(index).map(Vec::as_slice).unwrap_or_default();
        of.iter()
            .copied()
            .max_by_key(|need| (depth_of(depths, *need), *need))
    };
    let mut free: Vec<usize> = (0..steps.len())
        .filter(|index| left.get(*index) == Some(&0))
        .collect();
    while let Some(index) = free.pop() {
        let under = deepest(&depths, index).and_then(|need| depth_of(&depths, need));
        if let Some(depth) = depths.get_mut(index) {
            *depth = Some(under.map_or(0, |under| under + 1));
        }
        for dependent in dependents.get(index).map(Vec::as_slice).unwrap_or_default() {
            if let Some(left) = left.get_mut(*dependent) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    free.push(*dependent);
                }
            }
        }
    }
    // One of a circle would hang under itself; no chain that began has any.
    let placed = |index: usize| depth_of(&depths, index).is_some();
    (0..steps.len())
        .map(|index| deepest(&depths, index).filter(|_| placed(index)))
        .collect()
}
