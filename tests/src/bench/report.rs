//! Measured figures and their targets.

use std::fmt::Write as _;

use serde::Serialize;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Promise {
    /// The figure must be at least the target.
    AtLeast,
    /// The figure must be at most the target.
    AtMost,
}

/// A figure with a target.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    what: &'static str,
    measured: f64,
    unit: &'static str,
    promise: Promise,
    first: f64,
    to_reach: f64,
    ok: bool,
    reached: bool,
}

impl Finding {
    /// A figure, the required target, and the stretch target.
    pub(super) fn new(
        what: &'static str,
        (measured, unit): (f64, &'static str),
        promise: Promise,
        first: f64,
        to_reach: f64,
    ) -> Self {
        let holds = |target: f64| match promise {
            Promise::AtLeast => measured >= target,
            Promise::AtMost => measured <= target,
        };
        Self {
            what,
            measured,
            unit,
            promise,
            first,
            to_reach,
            ok: holds(first),
            reached: holds(to_reach),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.ok, self.reached) {
            (_, true) => "OK, reached",
            (true, false) => "OK",
            (false, false) => "miss",
        }
    }
}

/// Any other figure.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
}

/// The results of one number.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    number: &'static str,
    title: &'static str,
    how: String,
    findings: Vec<Finding>,
    raw_limits: Vec<Figure>,
    also: Vec<Figure>,
}

impl Section {
    /// A number, its title, and how it was measured.
    pub(super) fn new(number: &'static str, title: &'static str, how: String) -> Self {
        Self {
            number,
            title,
            how,
            findings: Vec::new(),
            raw_limits: Vec::new(),
            also: Vec::new(),
        }
    }

    /// Adds a figure with a target.
    pub(super) fn finding(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// Adds a raw limit of this machine.
    pub(super) fn raw(mut self, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let what = what.into();
        self.raw_limits.push(Figure { what, value, unit });
        self
    }

    /// Adds another figure.
    pub(super) fn also(mut self, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let what = what.into();
        self.also.push(Figure { what, value, unit });
        self
    }

    /// The section as a table for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}  {}\n    {}\n", self.number, self.title, self.how);
        for finding in &self.findings {
            let Finding { what, unit, .. } = finding;
            // Writing to a string does not fail.
            let _written = writeln!(
                text,
                "  * {what:<52} {:>10} {unit:<7} first {:>7}, to reach {:>7}: {}",
                number(finding.measured),
                number(finding.first),
                number(finding.to_reach),
                finding.verdict()
            );
        }
        for (sort, figures) in [("raw", &self.raw_limits), ("   ", &self.also)] {
            for Figure { what, value, unit } in figures {
                let what = format!("{sort} {what}");
                let _written = writeln!(text, "    {what:<52} {:>10} {unit}", number(*value));
            }
        }
        text
    }
}

/// A figure for people, with useful decimals and commas between thousands.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let plain = format!("{value:.decimals$}");
    let (whole, rest) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && digit.is_ascii_digit() && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    match rest.trim_end_matches('0') {
        // A figure just below it.
        "" if out == "-0" => "0".to_owned(),
        "" => out,
        rest => out + "." + rest,
    }
}
