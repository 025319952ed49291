//! What failed, as text and JSON.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_ledger::{FailureGroup, FailureKey, Failures};
use longshore_protocol::id::JobId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::render::{
    text::{counted, grouped, one_line, or_dash},
    time::{age, timestamp},
};

/// Characters of an error that are shown.
const ERROR_HEAD: usize = 300;

/// What failed since a time.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    since: DateTime<Utc>,
    failed_attempts: u64,
    discarded_jobs: u64,
    /// Dead letters since then; `null` if Redis cannot be asked.
    dead_letters: Option<u64>,
    /// How many groups there are, shown or not.
    total_groups: u64,
    groups: Vec<Group>,
    #[serde(skip)]
    now: DateTime<Utc>,
}

/// Failures that have the same labels.
#[derive(Debug, Serialize)]
struct Group {
    #[serde(flatten)]
    labels: Map<String, Value>,
    failed_attempts: u64,
    discarded_jobs: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    example_id: Option<JobId>,
    example_error: Option<String>,
}

impl Report {
    pub(super) fn new(
        since: DateTime<Utc>,
        failures: Failures,
        dead_letters: Option<u64>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            since,
            failed_attempts: failures.attempts,
            discarded_jobs: failures.jobs,
            dead_letters,
            total_groups: failures.groups,
            groups: failures.largest.into_iter().map(Group::from).collect(),
            now,
        }
    }

    /// What to type next.
    fn next_commands(&self) -> Vec<String> {
        let example = self
            .groups
            .iter()
            .find_map(|group| group.example_id.as_ref());
        let jobs = example.map(|id| format!("longshore jobs show {id}"));
        let dead_letters = self.dead_letters.filter(|count| *count > 0).map(|count| {
            let since = timestamp(self.since);
            let letters = counted(count, "dead letter");
            format!("longshore dlq list --since {since} --group-by reason,platform  ({letters})")
        });
        jobs.into_iter().chain(dead_letters).collect()
    }
}

impl From<FailureGroup> for Group {
    fn from(group: FailureGroup) -> Self {
        let name = |key: FailureKey| match key {
            FailureKey::Class => "error_class",
            FailureKey::Type => "task_type",
            FailureKey::Platform | FailureKey::Model | FailureKey::Queue | FailureKey::Tenant => {
                key.as_str()
            }
        };
        let labels = group.labels.into_iter();
        let (example_id, example_error) = group.example.unzip();
        Self {
            labels: labels
                .map(|(key, label)| (name(key).to_owned(), label.into()))
                .collect(),
            failed_attempts: group.attempts,
            discarded_jobs: group.jobs,
            first_at: group.first_at,
            last_at: group.last_at,
            example_id,
            example_error: example_error.flatten(),
        }
    }
}

/// `3 attempts failed, 1 job discarded`, without what is zero.
fn figures(attempts: u64, jobs: u64) -> String {
    let attempts = (attempts > 0).then(|| format!("{} failed", counted(attempts, "attempt")));
    let jobs = (jobs > 0).then(|| format!("{} discarded", counted(jobs, "job")));
    let both: Vec<String> = attempts.into_iter().chain(jobs).collect();
    both.join(", ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = timestamp(self.since);
        if self.groups.is_empty() {
            write!(f, "Nothing failed since {since}.")?;
        } else {
            writeln!(f, "=== Failures since {since} ===")?;
            write!(f, "{}", figures(self.failed_attempts, self.discarded_jobs))?;
        }
        for group in &self.groups {
            group.write(f, self.now)?;
        }
        let left_out = self.total_groups.saturating_sub(self.groups.len() as u64);
        if left_out > 0 {
            let groups = if left_out == 1 { "group" } else { "groups" };
            write!(f, "\n\n… and {} more {groups}: --limit", grouped(left_out))?;
        }
        for (index, command) in self.next_commands().iter().enumerate() {
            let lead = if index == 0 { "\n\nNext: " } else { "\n      " };
            write!(f, "{lead}{command}")?;
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: DateTime<Utc>) -> fmt::Result {
        let labels = self.labels.values().map(|label| or_dash(label.as_str()));
        let labels: Vec<String> = labels.collect();
        write!(f, "\n\n{}", labels.join("  "))?;
        let figures = figures(self.failed_attempts, self.discarded_jobs);
        let last = age(self.last_at, now);
        if self.first_at == self.last_at {
            write!(f, "\n  {figures}; {last} ago")?;
        } else {
            let first = age(self.first_at, now);
            write!(f, "\n  {figures}; first {first} ago, last {last} ago")?;
        }
        let Some(id) = &self.example_id else {
            return Ok(());
        };
        write!(f, "\n  {id}")?;
        match &self.example_error {
            Some(error) => write!(f, ": {}", one_line(error, ERROR_HEAD)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn group(labels: [(FailureKey, Option<&str>); 2], attempts: u64, jobs: u64) -> FailureGroup {
        FailureGroup {
            labels: labels
                .map(|(key, label)| (key, label.map(str::to_owned)))
                .to_vec(),
            attempts,
            jobs,
            first_at: at("2026-12-01T11:10:00Z"),
            last_at: at("2026-12-01T11:59:58Z"),
            example: Some((
                JobId::parse("inv-42").unwrap(),
                (attempts > 0).then(|| "The provider is overloaded (HTTP 503).".to_owned()),
            )),
        }
    }

    fn report(failures: Failures, dead_letters: Option<u64>) -> Report {
        let now = at("2026-12-01T12:00:00Z");
        Report::new(at("2026-12-01T11:00:00Z"), failures, dead_letters, now)
    }

    fn two_groups() -> Failures {
        let class = |class| (FailureKey::Class, Some(class));
        Failures {
            attempts: 1_201,
            jobs: 51,
            groups: 3,
            largest: vec![
                group(
                    [class("overloaded"), (FailureKey::Platform, Some("gemini"))],
                    1_200,
                    50,
                ),
                group([class("expired"), (FailureKey::Platform, None)], 0, 1),
            ],
        }
    }

    #[test]
    fn groups_have_an_example_and_the_last_lines_say_what_to_type() {
        insta::assert_snapshot!(report(two_groups(), Some(51)), @r"
        === Failures since 2026-12-01T11:00:00Z ===
        1,201 attempts failed, 51 jobs discarded

        overloaded  gemini
          1,200 attempts failed, 50 jobs discarded; first 50m ago, last 2s ago
          inv-42: The provider is overloaded (HTTP 503).

        expired  -
          1 job discarded; first 50m ago, last 2s ago
          inv-42

        … and 1 more group: --limit

        Next: longshore jobs show inv-42
              longshore dlq list --since 2026-12-01T11:00:00Z --group-by reason,platform  (51 dead letters)
        ");
    }

    #[test]
    fn without_failures_the_report_is_a_sentence() {
        let nothing = report(Failures::default(), Some(0));
        assert_eq!(
            nothing.to_string(),
            "Nothing failed since 2026-12-01T11:00:00Z."
        );
    }

    #[test]
    fn json_has_a_key_for_each_label() {
        let json = serde_json::to_value(report(two_groups(), None)).unwrap();
        assert_eq!(json["dead_letters"], Value::Null);
        assert_eq!(json["total_groups"], 3);
        assert_eq!(
            json["groups"][1],
            serde_json::json!({
                "error_class": "expired", "platform": null,
                "failed_attempts": 0, "discarded_jobs": 1,
                "first_at": "2026-12-01T11:10:00Z", "last_at": "2026-12-01T11:59:58Z",
                "example_id": "inv-42", "example_error": null,
            })
        );
    }
}
