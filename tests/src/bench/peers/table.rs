//! Results as tables.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Measure,
    measures::{Sizes, columns, title},
};
use crate::bench::{median, report::number};

/// The figures of one measurement; one that never came is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) figures: Vec<Option<f64>>,
    /// The share of the machine that other programs used meanwhile.
    pub(super) others: f64,
}

/// What came of one measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Measured(Measured),
    /// Other programs used that share of the machine, so nothing was measured.
    Busy(f64),
    Failed(String),
}

impl Outcome {
    pub(super) fn of(result: anyhow::Result<Measured>) -> Self {
        match result {
            Ok(measured) => Self::Measured(measured),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }

    /// Drops the figures if other programs used more than this.
    pub(super) fn unless_busy(self, percent: u8) -> Self {
        match self {
            Self::Measured(Measured { others, .. }) if others * 100.0 > f64::from(percent) => {
                Self::Busy(others)
            }
            other => other,
        }
    }
}

/// A system's results.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    system: String,
    pub(super) outcomes: Vec<Outcome>,
}

impl Row {
    pub(super) fn new(system: &str) -> Self {
        Self {
            system: system.to_owned(),
            outcomes: Vec::new(),
        }
    }

    fn measured(&self) -> Vec<&Measured> {
        let measured = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Measured(measured) => Some(measured),
            Outcome::Busy(_) | Outcome::Failed(_) => None,
        });
        measured.collect()
    }

    fn failure(&self) -> Option<&str> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(reason) => Some(reason.as_str()),
            Outcome::Measured(_) | Outcome::Busy(_) => None,
        })
    }

    /// Whether another round would only take time: it failed, or a figure never came.
    pub(super) fn is_hopeless(&self) -> bool {
        let never = |measured: &&Measured| measured.figures.iter().any(Option::is_none);
        self.failure().is_some() || self.measured().iter().any(never)
    }

    /// The cells after the name.
    fn cells(&self, columns: usize, never: &str) -> Vec<String> {
        let measured = self.measured();
        if measured.is_empty() {
            let reason = match (self.failure(), self.outcomes.last()) {
                (Some(reason), _) => {
                    format!("failed: {}", reason.lines().next().unwrap_or_default())
                }
                (None, Some(Outcome::Busy(others))) => {
                    format!(
                        "the machine was busy: other programs used {:.0} %",
                        others * 100.0
                    )
                }
                (None, _) => "not measured".to_owned(),
            };
            let mut cells = vec![reason];
            cells.resize(columns + 1, String::new());
            return cells;
        }
        let mut cells: Vec<String> = (0..columns).map(|at| cell(&measured, at, never)).collect();
        cells.push(measured.len().to_string());
        cells
    }
}

/// The median of a figure, with the least and the most.
fn cell(measured: &[&Measured], at: usize, never: &str) -> String {
    let figures: Option<Vec<f64>> = measured
        .iter()
        .map(|measured| measured.figures.get(at).copied().flatten())
        .collect();
    let Some(figures) = figures else {
        return never.to_owned();
    };
    let middle = number(median(figures.iter().copied()));
    let least = number(figures.iter().copied().fold(f64::INFINITY, f64::min));
    let most = number(figures.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if least == most {
        middle
    } else {
        format!("{middle} [{least} to {most}]")
    }
}

/// The results of one measure.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    measure: Measure,
    title: String,
    columns: &'static [&'static str],
    /// Shown in place of a figure that was not measured.
    #[serde(skip)]
    never: String,
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(measure: Measure, sizes: &Sizes, rows: Vec<Row>) -> Self {
        Self {
            measure,
            title: title(measure, sizes),
            columns: columns(measure),
            never: format!("not within {}", sizes.patience.as_secs()),
            rows,
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.rows.iter().any(|row| row.failure().is_some())
    }

    /// The table in Markdown.
    pub(super) fn text(&self) -> String {
        let mut text = format!("\n### {}\n\n", self.title);
        let mut line = |cells: &[String]| {
            // Writing to a string does not fail.
            let _written = writeln!(text, "| {} |", cells.join(" | "));
        };
        let head = ["system"].iter().chain(self.columns).chain(&["rounds"]);
        let head: Vec<String> = head.map(|name| (*name).to_owned()).collect();
        line(&head);
        line(&vec!["---".to_owned(); head.len()]);
        for row in &self.rows {
            let mut cells = vec![row.system.clone()];
            cells.extend(row.cells(self.columns.len(), &self.never));
            line(&cells);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(figures: &[Option<f64>], others: f64) -> Outcome {
        Outcome::Measured(Measured {
            figures: figures.to_vec(),
            others,
        })
    }

    #[test]
    fn a_table_tells_what_was_not_measured_and_why() {
        let row = |system: &str, outcomes: Vec<Outcome>| Row {
            system: system.to_owned(),
            outcomes,
        };
        let full = |wall| measured(&[Some(wall), Some(2.0), Some(3.0), Some(40.0)], 0.01);
        let rows = vec![
            row("steady", vec![full(1.5), full(1.25), full(9.0)]),
            row("disturbed", vec![full(1.0), Outcome::Busy(0.5)]),
            row("unlucky", vec![measured(&[Some(1.0)], 0.3).unless_busy(10)]),
            row("broken", vec![Outcome::Failed("no such\nthing".to_owned())]),
            row(
                "slow",
                vec![measured(&[None, Some(2.0), Some(3.0), Some(4.0)], 0.0)],
            ),
        ];
        let hopeless: Vec<bool> = rows.iter().map(Row::is_hopeless).collect();
        assert_eq!(hopeless, [false, false, false, true, true]);
        let table = Table::new(Measure::Provider, &Sizes::of(true, 0, 0), rows);
        insta::assert_snapshot!(table.text(), @r"

        ### 100 jobs that wait 1 s for a provider

        | system | wall, s | worker CPU, µs/job | server CPU, µs/job | memory, MiB | rounds |
        | --- | --- | --- | --- | --- | --- |
        | steady | 1.5 [1.25 to 9] | 2 | 3 | 40 | 3 |
        | disturbed | 1 | 2 | 3 | 40 | 1 |
        | unlucky | the machine was busy: other programs used 30 % |  |  |  |  |
        | broken | failed: no such |  |  |  |  |
        | slow | not within 45 | 2 | 3 | 4 | 1 |
        ");
        assert!(table.has_failures());
    }
}
