//! What happened to a job, in order of time.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_client::Location;
use longshore_protocol::{
    checkpoint::PastAttempt,
    envelope::NotBefore,
    event::{AttemptRecord, DeadLetterRecord, DeadLetterResolution, DropRecord},
    id::AttemptId,
    state::{AttemptOutcome, JobState},
    tool_rounds::ToolsOutcome,
};
use serde::Serialize;

use crate::{
    commands::jobs::details::{
        JobDetails, describe_tokens, enqueued_at, job_state, last_prompt, total_cost,
    },
    render::{
        attempts::attempt_cost,
        text::counted,
        time::{exact_timestamp, latency, span_with_tenths},
    },
};

/// An event in the life of a job.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct LogEvent<'a> {
    /// `None` if it is not known (yet).
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) event: EventKind,
    /// The attempt that began.
    attempt_id: Option<AttemptId>,
    /// Of an attempt: the time since the event that made the job available for it.
    waited_ms: Option<u64>,
    pub(super) text: String,
    #[serde(skip)]
    pub(super) particulars: Vec<Particular<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::commands) enum EventKind {
    Enqueued,
    DuplicateDropped,
    Attempt,
    Ended,
    DeadLetter,
    DeadLetterReplayed,
    DeadLetterPurged,
    DeadLetterExpired,
    /// What the job does now, if it has not ended.
    Now,
}

impl EventKind {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Enqueued => "Enqueued",
            Self::DuplicateDropped => "Duplicate dropped",
            Self::Attempt => "Attempt",
            Self::Ended => "Ended",
            Self::DeadLetter => "Dead letter",
            Self::DeadLetterReplayed => "Dead letter replayed",
            Self::DeadLetterPurged => "Dead letter purged",
            Self::DeadLetterExpired => "Dead letter expired",
            Self::Now => "Now",
        }
    }
}

/// More about an event.
#[derive(Debug)]
pub(super) enum Particular<'a> {
    Line(String),
    /// A text of others, under its name.
    Text(&'static str, Cow<'a, str>),
}

impl<'a> LogEvent<'a> {
    fn new(event: EventKind, at: Option<DateTime<Utc>>, text: String) -> Self {
        Self {
            at,
            event,
            attempt_id: None,
            waited_ms: None,
            text,
            particulars: Vec::new(),
        }
    }

    fn line(&mut self, line: String) {
        self.particulars.push(Particular::Line(line));
    }

    fn text(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        self.particulars.push(Particular::Text(name, text.into()));
    }
}

/// What happened to a job, in order of time. What has no time comes last.
pub(super) fn log_events(details: &JobDetails) -> Vec<LogEvent<'_>> {
    let mut events = vec![enqueued(details)];
    if let Some(record) = &details.record {
        events.extend(record.dropped.iter().map(dropped));
        for row in &record.dead_letters {
            events.push(dead_letter(&row.dead));
            events.extend(
                row.resolution
                    .map(|resolution| resolved(resolution, row.gone_at)),
            );
        }
    }
    let found = details.found.as_ref();
    let unrecorded = found
        .and_then(|found| found.dead_letter.as_ref())
        .map(|(_, dead_letter)| &dead_letter.record)
        .filter(|dead| !is_recorded(dead, details));
    events.extend(unrecorded.map(dead_letter));
    let since = releases(&events);
    events.extend(attempts(details, since));
    events.push(current(details));
    events.sort_by_key(|event| (event.at.is_none(), event.at, event.event));
    events
}

fn is_recorded(dead: &DeadLetterRecord, details: &JobDetails) -> bool {
    let recorded = details
        .record
        .iter()
        .flat_map(|record| &record.dead_letters);
    recorded.into_iter().any(|row| row.dead.at == dead.at)
}

fn enqueued(details: &JobDetails) -> LogEvent<'_> {
    let job = details.record.as_ref().map(|record| &record.row.job);
    let envelope = details.envelope.as_ref();
    let task_type = envelope
        .map(|envelope| envelope.task_type.as_str())
        .or_else(|| job.map(|job| job.labels.task_type.as_str()));
    let text = task_type.map_or_else(
        || "a job of unknown type".to_owned(),
        |task_type| format!("a job of type {task_type}"),
    );
    let mut event = LogEvent::new(EventKind::Enqueued, enqueued_at(details), text);
    if let Some(start) = envelope.and_then(|envelope| envelope.not_before) {
        event.line(match start {
            NotBefore::At(time) => format!("Not to start before {}", exact_timestamp(time)),
            NotBefore::Delay(delay) => format!("Not to start for {}s", delay.as_secs_f64()),
        });
    }
    if let Some(prompt) = last_prompt(details) {
        event.text("Start of the prompt", prompt);
    }
    event
}

fn dropped<'a>(message: &DropRecord) -> LogEvent<'a> {
    let text = format!(
        "message {}, because this job has its id or unique key",
        message.entry_id
    );
    LogEvent::new(EventKind::DuplicateDropped, Some(message.at), text)
}

fn dead_letter(dead: &DeadLetterRecord) -> LogEvent<'_> {
    let text = format!(
        "{} after {}",
        dead.reason,
        counted(dead.attempts, "attempt")
    );
    let mut event = LogEvent::new(EventKind::DeadLetter, Some(dead.at), text);
    event.text("Error", dead.error.as_str());
    event
}

fn resolved<'a>(resolution: DeadLetterResolution, at: Option<DateTime<Utc>>) -> LogEvent<'a> {
    let (event, text) = match resolution {
        DeadLetterResolution::Replayed => (
            EventKind::DeadLetterReplayed,
            "the job returned to its queue",
        ),
        DeadLetterResolution::Purged => (EventKind::DeadLetterPurged, "a person deleted the job"),
        DeadLetterResolution::Expired => (EventKind::DeadLetterExpired, "its retention time ended"),
    };
    LogEvent::new(event, at, text.to_owned())
}

/// When the job became available, other than by the end of an attempt.
fn releases(events: &[LogEvent<'_>]) -> Vec<DateTime<Utc>> {
    let releases = events.iter().filter(|event| {
        matches!(
            event.event,
            EventKind::Enqueued | EventKind::DeadLetterReplayed
        )
    });
    releases.filter_map(|event| event.at).collect()
}

/// The attempts in Postgres, and those of the checkpoint that Postgres does not have yet.
fn attempts(details: &JobDetails, mut since: Vec<DateTime<Utc>>) -> Vec<LogEvent<'_>> {
    let history = details.record.as_ref().map(|record| &record.history);
    let mut recorded: Vec<&AttemptRecord> = history.into_iter().flatten().collect();
    recorded.sort_by_key(|attempt| attempt.started_at);
    let mut events = Vec::new();
    let mut before: Option<&AttemptRecord> = None;
    for attempt in &recorded {
        let latest = since
            .iter()
            .filter(|time| **time <= attempt.started_at)
            .max();
        let waited = latest.map(|time| attempt.started_at - *time);
        events.push(attempt_event(attempt, before, waited));
        since.push(attempt.finished_at.unwrap_or(attempt.started_at));
        before = Some(attempt);
    }
    let checkpoint = details
        .found
        .as_ref()
        .and_then(|found| found.checkpoint.as_ref());
    let remembered = checkpoint.iter().flat_map(|checkpoint| &checkpoint.history);
    let unrecorded = remembered.filter(|past| {
        recorded
            .iter()
            .all(|attempt| attempt.attempt_id != past.attempt_id)
    });
    events.extend(unrecorded.map(remembered_attempt));
    events
}

fn attempt_event<'a>(
    attempt: &'a AttemptRecord,
    before: Option<&AttemptRecord>,
    waited: Option<TimeDelta>,
) -> LogEvent<'a> {
    let took = attempt.finished_at.map_or_else(String::new, |end| {
        format!(" after {}", latency(attempt.started_at, end))
    });
    let text = format!(
        "number {} on {} ({}): {}{took}, cost {}",
        attempt.attempt,
        attempt.platform,
        attempt.model,
        attempt.outcome,
        attempt_cost(attempt)
    );
    let mut event = LogEvent::new(EventKind::Attempt, Some(attempt.started_at), text);
    event.attempt_id = Some(attempt.attempt_id);
    event.waited_ms = waited.and_then(|waited| u64::try_from(waited.num_milliseconds()).ok());
    let change = before.map(|before| {
        if before.platform != attempt.platform {
            format!("fallback from {}", before.platform)
        } else if before.model != attempt.model {
            format!("fallback from {}", before.model)
        } else if before.outcome == AttemptOutcome::Completed {
            "next round".to_owned()
        } else {
            "retry".to_owned()
        }
    });
    let waited = waited.map(|waited| format!("after a wait of {}", span_with_tenths(waited)));
    let follows: Vec<String> = change.into_iter().chain(waited).collect();
    if !follows.is_empty() {
        event.line(capitalized(&follows.join(", ")));
    }
    event.line(format!("Chosen: {}", attempt.routing_reason));
    if let Some(decision) = &attempt.decision {
        for step in &decision.steps {
            event.line(format!("Routing, {}: {}", step.step, step.outcome));
        }
        for skipped in &decision.skipped {
            event.line(format!(
                "Skipped {} ({}): {}",
                skipped.platform, skipped.model, skipped.why
            ));
        }
    }
    let usage = attempt.usage;
    event.line(format!(
        "Tokens: {}",
        describe_tokens(
            usage.total_input(),
            usage.total_output(),
            usage.cached,
            usage.reasoning
        )
    ));
    event.line(format!(
        "Worker {}, attempt {}",
        attempt.worker, attempt.attempt_id
    ));
    if attempt.duplicate {
        event.line("Settled nothing: another worker had taken over the job".to_owned());
    }
    if let Some(class) = attempt.error_class {
        let status = attempt
            .status
            .map_or_else(String::new, |status| format!(", HTTP {status}"));
        event.line(format!("Error class {class}{status}"));
    }
    if let Some(error) = &attempt.error {
        event.text("Error", error.as_str());
    }
    event
}

fn remembered_attempt(past: &PastAttempt) -> LogEvent<'_> {
    let cost = past
        .cost
        .map_or_else(|| "unknown".to_owned(), |cost| format!("${cost}"));
    let text = format!(
        "on {} ({}): failed, cost {cost}; not in Postgres yet",
        past.platform, past.model
    );
    let mut event = LogEvent::new(EventKind::Attempt, Some(past.at), text);
    event.attempt_id = Some(past.attempt_id);
    event.line(format!("Error class {}", past.error_class));
    event.text("Error", past.error.as_str());
    event
}

/// How the job ended, or what it does now.
fn current(details: &JobDetails) -> LogEvent<'_> {
    let job = details.record.as_ref().map(|record| &record.row.job);
    let outcome = details.outcome.as_ref();
    let has_left = matches!(
        details.now,
        Location::Ended | Location::Dead | Location::Nowhere { .. }
    );
    let recorded_end = job.filter(|job| job.state.is_final());
    if !has_left || (outcome.is_none() && recorded_end.is_none()) {
        let text = match &details.now {
            Location::Nowhere { .. } => {
                format!("{}, as of the newest event in Postgres", job_state(details))
            }
            Location::Dead => JobState::Discarded.to_string(),
            _ => details.why.clone(),
        };
        return LogEvent::new(EventKind::Now, None, text);
    }
    let history = details
        .record
        .as_ref()
        .map(|record| record.history.as_slice());
    let attempts = outcome
        .map(|outcome| outcome.attempts)
        .or_else(|| job.map(|job| job.attempts))
        .unwrap_or_default();
    let cost = match (history, outcome) {
        (Some(history), _) if !history.is_empty() => total_cost(history),
        (_, Some(outcome)) => format!("${}", outcome.cost_usd),
        (Some(history), None) => total_cost(history),
        (None, None) => "unknown".to_owned(),
    };
    let text = format!(
        "{} after {}, total cost {cost}",
        job_state(details),
        counted(attempts, "attempt")
    );
    let at = recorded_end.and_then(|job| job.finished_at);
    let mut event = LogEvent::new(EventKind::Ended, at, text);
    let reason = outcome
        .and_then(|outcome| outcome.finish_reason)
        .or_else(|| job.and_then(|job| job.finish_reason));
    if let Some(reason) = reason {
        event.line(format!("The answer ended with {reason}"));
    }
    let class = outcome
        .and_then(|outcome| outcome.error_class.as_deref())
        .or_else(|| job.and_then(|job| job.error_class.as_deref()));
    if let Some(class) = class {
        event.line(format!("Error class {class}"));
    }
    let warnings = outcome
        .map(|outcome| &outcome.warnings)
        .or_else(|| job.map(|job| &job.warnings));
    for warning in warnings.into_iter().flatten() {
        event.line(format!("Warning: {warning}"));
    }
    let calls = outcome
        .map(|outcome| &outcome.tool_calls)
        .or_else(|| job.map(|job| &job.tool_calls));
    for call in calls.into_iter().flatten() {
        let function = &call.function;
        event.text(
            "Tool call",
            format!("{}({}) {}", function.name, function.arguments, call.id),
        );
    }
    let tools = outcome
        .and_then(|outcome| outcome.tools.as_deref())
        .or_else(|| job.and_then(|job| job.tools.as_deref()));
    for line in tools.into_iter().flat_map(tool_lines) {
        event.line(line);
    }
    let error = outcome
        .and_then(|outcome| outcome.error.as_deref())
        .or_else(|| job.and_then(|job| job.error.as_deref()));
    if let Some(error) = error {
        event.text("Error", error);
    }
    let output = outcome
        .and_then(|outcome| outcome.output.as_deref())
        .or_else(|| job.and_then(|job| job.output.as_deref()));
    if let Some(output) = output.filter(|output| !output.is_empty()) {
        event.text("Output", output);
    }
    event
}

/// The calls of tools that the worker ran, a line each.
fn tool_lines(tools: &ToolsOutcome) -> Vec<String> {
    let mut lines = Vec::new();
    if tools.left_out > 0 {
        let left_out = counted(tools.left_out, "older tool call");
        lines.push(format!("{left_out} left out"));
    }
    lines.extend(tools.calls.iter().map(|call| {
        let end = match &call.error {
            None => "ok".to_owned(),
            Some(_) if call.interrupted => "interrupted: it may have taken effect".to_owned(),
            Some(error) => format!("failed: {error}"),
        };
        format!(
            "Round {}, tool {}: {end}, after {} ms, with {}",
            call.round, call.tool, call.duration_ms, call.arguments
        )
    }));
    lines
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
