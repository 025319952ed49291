//! Checks and their results.

use std::fmt;

use serde::Serialize;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckStatus {
    Ok,
    /// The user must act.
    Problem,
    /// Information only, or it cannot be checked.
    Info,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    name: &'static str,
    status: CheckStatus,
    text: String,
    /// What to do.
    advice: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, text.into(), None)
    }

    pub(super) fn info(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Info, text.into(), None)
    }

    pub(super) fn problem(
        name: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(name, CheckStatus::Problem, text.into(), Some(advice.into()))
    }

    /// Adds advice.
    pub(super) fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn new(name: &'static str, status: CheckStatus, text: String, advice: Option<String>) -> Self {
        Self {
            name,
            status,
            text,
            advice,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.status {
            CheckStatus::Ok => "OK",
            CheckStatus::Problem => "!!",
            CheckStatus::Info => "--",
        };
        write!(f, "[{mark}] {}: {}", self.name, self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n     → {advice}"),
            None => Ok(()),
        }
    }
}

/// All checks.
#[derive(Debug, Default)]
pub(super) struct Checkup {
    checks: Vec<Check>,
}

impl Checkup {
    pub(super) fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.checks.extend(checks);
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.problems() == 0
    }

    fn problems(&self) -> usize {
        self.checks
            .iter()
            .filter(|check| check.status == CheckStatus::Problem)
            .count()
    }
}

impl fmt::Display for Checkup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        match self.problems() {
            0 => write!(f, "\nNo problems."),
            1 => write!(f, "\n1 problem."),
            problems => write!(f, "\n{problems} problems."),
        }
    }
}

impl Serialize for Checkup {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            ok: bool,
            problems: usize,
            checks: &'a [Check],
        }
        Document {
            ok: self.is_healthy(),
            problems: self.problems(),
            checks: &self.checks,
        }
        .serialize(serializer)
    }
}

/// Whether the major number of `version` is at least `oldest`.
pub(super) fn at_least(version: &str, oldest: u32) -> bool {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.trim().parse::<u32>().ok());
    major.is_some_and(|major| major >= oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkup() -> Checkup {
        let mut checkup = Checkup::default();
        checkup.add([
            Check::ok("Redis", "7.2.4 at 127.0.0.1:6379"),
            Check::problem("scheduler", "none leads", "start longshore-scheduler"),
            Check::info("memory policy", "unknown"),
        ]);
        checkup
    }

    #[test]
    fn a_problem_comes_with_advice() {
        insta::assert_snapshot!(checkup(), @r"
        [OK] Redis: 7.2.4 at 127.0.0.1:6379
        [!!] scheduler: none leads
             → start longshore-scheduler
        [--] memory policy: unknown

        1 problem.
        ");
        assert!(!checkup().is_healthy());
    }

    #[test]
    fn json_has_the_same_checks() {
        let json = serde_json::to_value(checkup()).unwrap();
        assert_eq!(json["ok"], false);
        let expected = serde_json::json!(
            {"name": "scheduler", "status": "problem", "text": "none leads", "advice": "start longshore-scheduler"}
        );
        assert_eq!(json["checks"][1], expected);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("10.0", 7) && at_least("15.18 (Debian 15.18-0)", 15) && at_least("7", 7));
        assert!(!at_least("6.2.14", 7) && !at_least("", 7));
    }
}
