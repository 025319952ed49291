//! `longshore batch show`: shows the progress of a batch.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_client::{BatchReport, ChainId, ChainState, Client, Usd};
use serde::Serialize;

use super::{
    known_batch,
    pace::time_left,
    recorded::RecordedOutcomes,
    report::describe_failure,
    results::TaskResult,
    task_count,
    watch::{BatchWatch, Look},
};
use crate::{
    error::{CommandError, Exit},
    output::Format,
    render::{
        money::{dollars, exact},
        text::{grouped, one_line},
        time::{from_unix_ms, span, timestamp},
    },
    session::Session,
};

/// Maximum number of failed tasks listed.
const FAILURES: usize = 10;

/// An open batch without new tasks for this long has probably lost its producer.
const QUIET: TimeDelta = TimeDelta::seconds(30);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Batch id
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    show(arguments.id, arguments.format, session).await
}

/// Shows a batch.
pub(in crate::commands) async fn show(
    id: ChainId,
    format: Format,
    session: &Session,
) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let report = known_batch(&client, &id).await?;
    let now = from_unix_ms(client.broker().server().time_ms().await?);
    let look = if report.state.is_final() {
        None
    } else {
        BatchWatch::new(&client, &id).look(&report).await
    };
    let status = BatchStatus {
        failures: failures(&id, session, &client).await?,
        look: look.unwrap_or_default(),
        ..BatchStatus::new(id, report, now)
    };
    format.print_with(&status, || status.to_text());
    Ok(Exit::Success)
}

/// The first failed tasks whose errors are still known.
async fn failures(
    id: &ChainId,
    session: &Session,
    client: &Client,
) -> Result<Vec<TaskResult>, CommandError> {
    let mut indices = client.failed_batch_tasks(id).await?;
    indices.truncate(FAILURES);
    let found = client.batch_tasks(id, &indices).await?;
    let (in_redis, gone): (Vec<_>, Vec<_>) = indices
        .into_iter()
        .zip(found)
        .partition(|(_, task)| task.outcome.is_some());
    let mut failures: Vec<TaskResult> = in_redis
        .into_iter()
        .map(|(index, task)| TaskResult::from_report(index, task))
        .collect();
    failures.extend(RecordedOutcomes::new(session).results(gone).await);
    failures.sort_by_key(|failure| failure.index);
    Ok(failures)
}

/// The status of a batch; also the JSON document.
#[derive(Debug, Serialize)]
struct BatchStatus {
    id: ChainId,
    name: String,
    state: ChainState,
    queue: String,
    parallel: u64,
    /// Tasks enqueued so far: all of them, unless the batch is open.
    tasks: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    running: u64,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    /// Tasks that end per second, on average since the start.
    rate: Option<f64>,
    begun_at: DateTime<Utc>,
    last_put_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    failures: Vec<TaskResult>,
    /// What the tasks wait for.
    #[serde(skip)]
    look: Look,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl BatchStatus {
    fn new(id: ChainId, report: BatchReport, now: DateTime<Utc>) -> Self {
        Self {
            id,
            rate: rate(&report, now),
            running: report.sent().saturating_sub(report.done()),
            name: report.name,
            state: report.state,
            queue: report.queue.to_string(),
            parallel: report.parallel,
            tasks: report.lines,
            completed: report.completed,
            failed: report.failed,
            cancelled: report.cancelled,
            cost: report.cost,
            begun_at: report.begun,
            last_put_at: report.put,
            ended_at: report.ended,
            failures: Vec::new(),
            look: Look::default(),
            now,
        }
    }

    fn done(&self) -> u64 {
        self.completed + self.failed + self.cancelled
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "Batch: {} ({})\nState: {}\nTasks: {} of {} done: {} succeeded, {} failed, {} cancelled; {} in flight (at \
             most {}, queue {})\nCost: {}\nStarted: {}",
            self.id,
            one_line(&self.name, 80),
            self.state,
            grouped(self.done()),
            grouped(self.tasks),
            grouped(self.completed),
            grouped(self.failed),
            grouped(self.cancelled),
            grouped(self.running),
            grouped(self.parallel),
            self.queue,
            dollars(self.cost),
            timestamp(self.begun_at),
        );
        // Writing to a string does not fail.
        if let Some(ended) = self.ended_at {
            let took = span(ended - self.begun_at);
            let _written = write!(text, "\nEnded: {}, after {took}", timestamp(ended));
        }
        if let Some(rate) = self.rate {
            let _written = write!(text, "\nRate: {rate:.1} tasks/s{}", self.time_left(rate));
        }
        if let Some(status) = &self.look.status {
            let _written = write!(text, "\nNow: {status}");
        }
        if !self.failures.is_empty() {
            text.push_str("\n\nFailed Tasks:");
            for failure in &self.failures {
                let _written = write!(text, "\n  {}", describe_failure(failure));
            }
            let others = (self.failed + self.cancelled).saturating_sub(self.failures.len() as u64);
            if others > 0 {
                let _written = write!(text, "\n  … and {} more", grouped(others));
            }
        }
        self.write_next_step(&mut text);
        text
    }

    /// The time until the end at this rate.
    fn time_left(&self, rate: f64) -> String {
        let left = self.tasks.saturating_sub(self.done());
        if self.state != ChainState::Running || left == 0 {
            return String::new();
        }
        let left = time_left(Some(rate), left, self.look.resets);
        left.map_or_else(String::new, |left| format!(", {left}"))
    }

    fn write_next_step(&self, text: &mut String) {
        let id = &self.id;
        let _written = match self.state {
            ChainState::Open if self.now - self.last_put_at < QUIET => {
                write!(text, "\n\nIts producer is still enqueuing tasks.")
            }
            ChainState::Open => write!(
                text,
                "\n\nThe batch is incomplete: {} enqueued, the last of them {} ago. If its producer has stopped, run the \
                 same command again: `longshore batch FILE --id {id}` enqueues the missing tasks. Enqueued tasks run.",
                task_count(self.tasks),
                span(self.now - self.last_put_at),
            ),
            ChainState::Running => write!(
                text,
                "\n\n`longshore batch wait {id}` waits for the rest and writes the results."
            ),
            _ => Ok(()),
        };
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(report: &BatchReport, now: DateTime<Utc>) -> Option<f64> {
    let seconds = (report.ended.unwrap_or(now) - report.begun).as_seconds_f64();
    (report.done() > 0 && seconds > 0.0).then(|| report.done() as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use longshore_client::{JobState, QueueName};
    use longshore_protocol::chain::ChainKind;

    use super::*;
    use crate::{commands::batch::pace::Resets, waiting::WaitStatus};

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn report(state: ChainState) -> BatchReport {
        BatchReport {
            kind: ChainKind::Batch,
            state,
            name: "orders.jsonl".to_owned(),
            queue: QueueName::default(),
            parallel: 5,
            lines: 12_000,
            digest: String::new(),
            waiting: 6_000,
            completed: 5_985,
            failed: 10,
            cancelled: 0,
            cost: "1.2345".parse().unwrap(),
            begun: time("2026-02-01T12:00:00Z"),
            put: time("2026-02-01T12:00:10Z"),
            ended: None,
        }
    }

    fn status(report: BatchReport, now: &str) -> BatchStatus {
        BatchStatus::new(ChainId::parse("nightly-1").unwrap(), report, time(now))
    }

    #[test]
    fn the_text_shows_the_progress() {
        let text = status(report(ChainState::Running), "2026-02-01T12:10:00Z").to_text();
        assert_snapshot!(text, @"
        Batch: nightly-1 (orders.jsonl)
        State: running
        Tasks: 5,995 of 12,000 done: 5,985 succeeded, 10 failed, 0 cancelled; 5 in flight (at most 5, queue default)
        Cost: $1.2345
        Started: 2026-02-01T12:00:00Z
        Rate: 10.0 tasks/s, about 10m left

        `longshore batch wait nightly-1` waits for the rest and writes the results.
        ");
    }

    #[test]
    fn the_text_says_what_the_tasks_wait_for() {
        let until = TimeDelta::hours(9);
        let waiting = "5 tasks wait for gemini's requests a day until 2026-02-01 21:10 UTC";
        let status = BatchStatus {
            look: Look {
                status: Some(WaitStatus::new("limit", waiting.to_owned())),
                resets: Resets {
                    all_wait: true,
                    first: Some(until),
                    last: Some(until),
                },
                time_left: None,
            },
            ..status(report(ChainState::Running), "2026-02-01T12:10:00Z")
        };
        let text = status.to_text();
        let lines: Vec<&str> = text.lines().skip(5).take(2).collect();
        assert_snapshot!(lines.join("\n"), @"
        Rate: 10.0 tasks/s, about 9h left
        Now: 5 tasks wait for gemini's requests a day until 2026-02-01 21:10 UTC
        ");
    }

    #[test]
    fn an_open_batch_without_new_tasks_shows_how_to_continue() {
        let quiet = status(report(ChainState::Open), "2026-02-01T12:10:00Z").to_text();
        assert_snapshot!(quiet.lines().last().unwrap(), @"The batch is incomplete: 12,000 tasks enqueued, the last of them 9m ago. If its producer has stopped, run the same command again: `longshore batch FILE --id nightly-1` enqueues the missing tasks. Enqueued tasks run.");
        let busy = status(report(ChainState::Open), "2026-02-01T12:00:15Z").to_text();
        assert_snapshot!(busy.lines().last().unwrap(), @"Its producer is still enqueuing tasks.");
    }

    #[test]
    fn an_ended_batch_lists_its_failures() {
        let ended = BatchReport {
            waiting: 0,
            completed: 11_990,
            ended: Some(time("2026-02-01T12:20:00Z")),
            ..report(ChainState::Failed)
        };
        let status = BatchStatus {
            failures: vec![TaskResult::without_outcome(
                7,
                ChainId::parse("nightly-1").unwrap().task(7),
                JobState::Discarded,
                "overloaded",
                "no".to_owned(),
            )],
            ..status(ended, "2026-02-01T13:00:00Z")
        };
        assert_snapshot!(status.to_text(), @"
        Batch: nightly-1 (orders.jsonl)
        State: failed
        Tasks: 12,000 of 12,000 done: 11,990 succeeded, 10 failed, 0 cancelled; 0 in flight (at most 5, queue default)
        Cost: $1.2345
        Started: 2026-02-01T12:00:00Z
        Ended: 2026-02-01T12:20:00Z, after 20m
        Rate: 10.0 tasks/s

        Failed Tasks:
          task 8 (index 7), nightly-1/task/7: no
          … and 9 more
        ");
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["state"], "failed");
        assert_eq!(json["failures"][0]["index"], 7);
    }
}
