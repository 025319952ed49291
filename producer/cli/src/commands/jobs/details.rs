//! Everything known about a job, as text and as JSON.

use chrono::{DateTime, Utc};
use longshore_client::{JobId, JobSnapshot, JobState, Location, Outcome, Usd};
use longshore_ledger::JobHistory;
use longshore_protocol::{envelope::Envelope, event::AttemptRecord};
use serde::Serialize;

use crate::documents::HistoryDocument;
use crate::render::{
    attempts::{checkpoint_attempts, recorded_attempts},
    decisions::routing_decisions,
    lane::{parked_state, state_with_wait, wait_reason},
    table::Width,
    text::{counted, grouped, labelled, one_line, printable},
    time::{age, seconds_from_ms, timestamp, with_age},
};

/// Characters of a prompt that are shown.
const PROMPT_HEAD: usize = 200;

/// Everything known about a job.
#[derive(Debug)]
pub(in crate::commands) struct JobDetails {
    pub(in crate::commands) id: JobId,
    /// Where the job is.
    pub(in crate::commands) now: Location,
    /// Why it is there.
    pub(in crate::commands) why: String,
    /// How it ended, if Redis still has the outcome.
    pub(in crate::commands) outcome: Option<Outcome>,
    /// The job in Postgres.
    pub(in crate::commands) record: Option<JobHistory>,
    /// Why the Postgres query failed.
    pub(in crate::commands) record_error: Option<String>,
    /// The job in Redis.
    pub(in crate::commands) found: Option<JobSnapshot>,
    /// The job as its producer wrote it.
    pub(in crate::commands) envelope: Option<Envelope>,
}

/// The details as JSON.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct DetailsDocument<'a> {
    id: &'a JobId,
    state: &'static str,
    now: &'a Location,
    why: &'a str,
    outcome: Option<&'a Outcome>,
    record: Option<HistoryDocument<'a>>,
    record_error: Option<&'a str>,
}

impl JobDetails {
    pub(in crate::commands) fn document(&self) -> DetailsDocument<'_> {
        DetailsDocument {
            id: &self.id,
            state: job_state(self),
            now: &self.now,
            why: &self.why,
            outcome: self.outcome.as_ref(),
            record: self.record.as_ref().map(HistoryDocument::new),
            record_error: self.record_error.as_deref(),
        }
    }
}

/// The details as text.
pub(super) fn describe_job(details: &JobDetails, now: DateTime<Utc>, width: Width) -> String {
    let mut parts = vec![labelled(&facts(details, now), 10)];
    let attempts = match &details.record {
        Some(record) if !record.history.is_empty() => {
            Some(recorded_attempts(&record.history, width))
        }
        _ => details
            .found
            .as_ref()
            .and_then(|found| found.checkpoint.as_ref())
            .filter(|checkpoint| !checkpoint.history.is_empty())
            .map(|checkpoint| checkpoint_attempts(&checkpoint.history, width)),
    };
    parts.extend(attempts);
    if let Some(record) = &details.record {
        parts.extend(routing_decisions(&record.history));
    }
    if let Some(prompt) = last_prompt(details) {
        parts.push(format!("Prompt\n  {}", one_line(&prompt, PROMPT_HEAD)));
    }
    let job = details.record.as_ref().map(|record| &record.row.job);
    let outcome = details.outcome.as_ref();
    let error = outcome
        .and_then(|outcome| outcome.error.as_ref())
        .or_else(|| job.and_then(|job| job.error.as_ref()));
    if let Some(error) = error {
        parts.push(format!("Error\n  {}", printable(error)));
    }
    let warnings = outcome
        .map(|outcome| &outcome.warnings)
        .or_else(|| job.map(|job| &job.warnings))
        .filter(|warnings| !warnings.is_empty());
    if let Some(warnings) = warnings {
        let lines = warnings
            .iter()
            .map(|warning| format!("  {}", printable(warning)));
        parts.push(format!(
            "Warnings\n{}",
            lines.collect::<Vec<_>>().join("\n")
        ));
    }
    if let Some(validation) = outcome.and_then(|outcome| outcome.validation.as_ref()) {
        parts.push(format!(
            "Validation\n  {}",
            printable(&validation.to_string())
        ));
    }
    let calls = outcome
        .map(|outcome| &outcome.tool_calls)
        .or_else(|| job.map(|job| &job.tool_calls))
        .filter(|calls| !calls.is_empty());
    if let Some(calls) = calls {
        let lines = calls.iter().map(|call| {
            let function = &call.function;
            let line = format!("  {}({}) {}", function.name, function.arguments, call.id);
            printable(&line)
        });
        parts.push(format!(
            "Tool calls\n{}",
            lines.collect::<Vec<_>>().join("\n")
        ));
    }
    let output = outcome
        .and_then(|outcome| outcome.output.as_ref())
        .or_else(|| job.and_then(|job| job.output.as_ref()))
        .filter(|output| !(output.is_empty() && calls.is_some()));
    if let Some(output) = output {
        parts.push(format!("--- Output ---\n{}", printable(output)));
    }
    if let Some(error) = &details.record_error {
        parts.push(format!(
            "Only the data in Redis is shown; Postgres query failed: {error}"
        ));
    }
    parts.join("\n\n")
}

/// What is known of the job in one line each, by name.
pub(super) fn facts(details: &JobDetails, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&str, String)> = vec![("Job", details.id.to_string())];
    let mut add =
        |name: &'static str, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("State", Some(describe_state(details)));
    add("Now", Some(describe_location(details, now)));
    let job = details.record.as_ref().map(|record| &record.row.job);
    let envelope = details.envelope.as_ref();
    let dead_letter = details
        .found
        .as_ref()
        .and_then(|found| found.dead_letter.as_ref())
        .map(|(_, dead_letter)| dead_letter);
    add(
        "Type",
        envelope
            .map(|envelope| envelope.task_type.clone())
            .or_else(|| job.map(|job| job.labels.task_type.clone())),
    );
    let queue = match &details.now {
        Location::Waiting { queue, .. }
        | Location::Available { queue, .. }
        | Location::Running { queue, .. } => Some(queue.to_string()),
        _ => job
            .map(|job| job.labels.queue.to_string())
            .or_else(|| dead_letter.map(|dead_letter| dead_letter.record.queue.to_string())),
    };
    add("Queue", queue);
    let label = |recorded: Option<&String>, sent: Option<&String>| {
        sent.or(recorded).map(|value| one_line(value, 200))
    };
    add(
        "Tenant",
        label(
            job.and_then(|job| job.labels.tenant.as_ref()),
            envelope.and_then(|envelope| envelope.tenant.as_ref()),
        ),
    );
    add(
        "Chain",
        label(
            job.and_then(|job| job.labels.chain_id.as_ref()),
            envelope.and_then(|envelope| envelope.chain_id.as_ref()),
        ),
    );
    add(
        "Parent",
        label(
            job.and_then(|job| job.labels.parent_id.as_ref()),
            envelope.and_then(|envelope| envelope.parent_id.as_ref()),
        ),
    );
    let platform = details
        .outcome
        .as_ref()
        .and_then(|outcome| Some((outcome.platform.as_ref()?, outcome.model.as_ref()?)))
        .or_else(|| job.and_then(|job| Some((job.platform.as_ref()?, job.model.as_ref()?))));
    add(
        "Platform",
        platform.map(|(platform, model)| one_line(&format!("{platform} ({model})"), 120)),
    );
    add("Recipe", describe_recipe(details));
    add_times(details, now, &mut add);
    add_figures(details, &mut add);
    if let Some(metadata) = job.and_then(|job| job.metadata.as_ref()) {
        let text = serde_json::to_string(metadata).unwrap_or_default();
        add("Metadata", Some(one_line(&text, 400)));
    }
    add(
        "Trace",
        job.and_then(|job| job.traceparent.as_ref())
            .map(|text| one_line(text, 100)),
    );
    if let Some(record) = &details.record {
        add("Dropped", describe_dropped(record));
        add("DLQ", describe_dead_letters(record));
    }
    lines
}

/// The job's state, and what it waits for if the state does not show it.
fn describe_state(details: &JobDetails) -> String {
    let reason = match &details.now {
        Location::Waiting { queue, lane, .. } => wait_reason(lane, queue),
        _ => None,
    };
    state_with_wait(job_state(details), reason.as_deref())
}

pub(super) fn job_state(details: &JobDetails) -> &'static str {
    match &details.now {
        Location::Ended => {
            let outcome = details.outcome.as_ref().map(|outcome| outcome.state);
            let recorded = details.record.as_ref().map(|record| record.row.job.state);
            outcome.or(recorded).map_or("ended", JobState::as_str)
        }
        Location::Dead => JobState::Discarded.as_str(),
        Location::Waiting { lane, .. } => {
            let found = details.found.as_ref();
            let attempts = found.and_then(|found| Some(found.checkpoint.as_ref()?.attempts));
            parked_state(lane, attempts.unwrap_or_default()).as_str()
        }
        Location::Available { .. } => JobState::Available.as_str(),
        Location::Running { .. } => JobState::Running.as_str(),
        Location::Nowhere { .. } => details
            .record
            .as_ref()
            .map_or("unknown", |record| record.row.job.state.as_str()),
    }
}

fn describe_location(details: &JobDetails, now: DateTime<Utc>) -> String {
    match &details.now {
        Location::Ended
            if details
                .found
                .as_ref()
                .is_some_and(|found| found.dead_letter.is_some()) =>
        {
            format!("dead letter: `longshore dlq show {}`", details.id)
        }
        Location::Ended => "ended".to_owned(),
        Location::Running {
            entry_id,
            worker,
            since,
            attempt_id,
            ..
        } => match attempt_id {
            Some(attempt) => format!(
                "in flight on worker {worker} for {} (attempt {attempt}, entry {entry_id})",
                age(*since, now)
            ),
            None => format!(
                "held by worker {worker} for {}, between two attempts (entry {entry_id})",
                age(*since, now)
            ),
        },
        Location::Available { entry_id, .. } => format!("entry {entry_id}: {}", details.why),
        Location::Waiting { .. } | Location::Dead => details.why.clone(),
        Location::Nowhere { .. } => "only in Postgres: Redis no longer has its outcome".to_owned(),
    }
}

/// The recipe that answers the job, and the chain of its last round.
fn describe_recipe(details: &JobDetails) -> Option<String> {
    let found = details.found.as_ref();
    let running = found.and_then(|found| found.checkpoint.as_ref()?.recipe.as_ref());
    let ended = details
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.recipe.as_ref());
    let (chain, round) = match (ended, running) {
        (Some(ended), _) => (&ended.chain_id, ended.rounds),
        (None, Some(running)) => (&running.chain, running.round),
        (None, None) => return None,
    };
    Some(format!("round {round}, chain {chain}"))
}

fn add_times<'a>(
    details: &JobDetails,
    now: DateTime<Utc>,
    add: &mut impl FnMut(&'a str, Option<String>),
) {
    let checkpoint = details
        .found
        .as_ref()
        .and_then(|found| found.checkpoint.as_ref());
    let job = details.record.as_ref().map(|record| &record.row.job);
    let aged = |at: DateTime<Utc>| with_age(at, now);
    add("Enqueued", enqueued_at(details).map(aged));
    add(
        "Started",
        checkpoint
            .and_then(|checkpoint| checkpoint.started_at)
            .or_else(|| job.and_then(|job| job.started_at))
            .map(aged),
    );
    add("Finished", job.and_then(|job| job.finished_at).map(aged));
    if let Some(outcome) = &details.outcome {
        add(
            "Duration",
            Some(format!(
                "{:.2} s, after {:.2} s in the queue",
                seconds_from_ms(outcome.duration_ms),
                seconds_from_ms(outcome.queued_ms)
            )),
        );
    }
}

/// When the server received the job.
pub(in crate::commands) fn enqueued_at(details: &JobDetails) -> Option<DateTime<Utc>> {
    let found = details.found.as_ref();
    let checkpoint = found.and_then(|found| found.checkpoint.as_ref());
    let job = details.record.as_ref().map(|record| &record.row.job);
    let received_at = match &details.now {
        Location::Available { entry_id, .. } | Location::Running { entry_id, .. } => {
            entry_id.received_at()
        }
        _ => None,
    };
    checkpoint
        .map(|checkpoint| checkpoint.enqueued_at)
        .or_else(|| job.map(|job| job.enqueued_at))
        .or(received_at)
}

fn add_figures<'a>(details: &JobDetails, add: &mut impl FnMut(&'a str, Option<String>)) {
    if let Some(record) = details
        .record
        .as_ref()
        .filter(|record| !record.history.is_empty())
    {
        let (mut input, mut output, mut cached, mut reasoning) = (0, 0, 0, 0);
        for attempt in &record.history {
            input += attempt.usage.total_input();
            output += attempt.usage.total_output();
            cached += attempt.usage.cached;
            reasoning += attempt.usage.reasoning;
        }
        add(
            "Tokens",
            Some(describe_tokens(input, output, cached, reasoning)),
        );
        add("Cost", Some(total_cost(&record.history)));
    } else if let Some(outcome) = &details.outcome {
        let figures = describe_tokens(
            outcome.input_tokens,
            outcome.output_tokens,
            outcome.cached_tokens,
            outcome.reasoning_tokens,
        );
        add("Tokens", Some(figures));
        add("Cost", Some(format!("${}", outcome.cost_usd)));
    } else if let Some(checkpoint) = details
        .found
        .as_ref()
        .and_then(|found| found.checkpoint.as_ref())
        .filter(|checkpoint| checkpoint.attempts > 0)
    {
        let usage = checkpoint.usage;
        let figures = describe_tokens(
            usage.total_input(),
            usage.total_output(),
            usage.cached,
            usage.reasoning,
        );
        add("Attempts", Some(checkpoint.attempts.to_string()));
        add("Tokens", Some(figures));
        add("Cost", Some(format!("${} so far", checkpoint.cost)));
    }
}

pub(super) fn describe_tokens(input: u64, output: u64, cached: u64, reasoning: u64) -> String {
    format!(
        "{} in (cached {}), {} out (reasoning {})",
        grouped(input),
        grouped(cached),
        grouped(output),
        grouped(reasoning)
    )
}

/// The known cost of all attempts, and the maximum of those whose cost is unknown.
pub(super) fn total_cost(attempts: &[AttemptRecord]) -> String {
    let known: Usd = attempts.iter().filter_map(|attempt| attempt.cost_usd).sum();
    let open: Vec<Usd> = attempts
        .iter()
        .filter(|attempt| attempt.cost_usd.is_none())
        .map(|attempt| attempt.reserved_usd)
        .collect();
    if open.is_empty() {
        return format!("${known}");
    }
    let reserved: Usd = open.iter().copied().sum();
    format!(
        "${known}, plus at most ${reserved} for {} of unknown cost",
        counted(open.len(), "attempt")
    )
}

fn describe_dropped(record: &JobHistory) -> Option<String> {
    if record.dropped.is_empty() {
        return None;
    }
    let entry_ids: Vec<&str> = record
        .dropped
        .iter()
        .take(5)
        .map(|drop| drop.entry_id.as_str())
        .collect();
    let more = if record.dropped.len() > entry_ids.len() {
        ", …"
    } else {
        ""
    };
    Some(format!(
        "{} ({}{more})",
        counted(record.dropped.len(), "duplicate"),
        entry_ids.join(", ")
    ))
}

fn describe_dead_letters(record: &JobHistory) -> Option<String> {
    let dead_letters: Vec<String> = record
        .dead_letters
        .iter()
        .map(|row| {
            let end = row
                .resolution
                .map(|end| format!(", {}", end.as_str()))
                .unwrap_or_default();
            format!(
                "{} ({}{end})",
                timestamp(row.dead.at),
                one_line(&row.dead.reason, 60)
            )
        })
        .collect();
    (!dead_letters.is_empty()).then(|| dead_letters.join("; "))
}

pub(super) fn last_prompt(details: &JobDetails) -> Option<String> {
    let sent = details
        .envelope
        .as_ref()
        .and_then(|envelope| envelope.messages.last())
        .map(|message| {
            message
                .text()
                .chars()
                .take(PROMPT_HEAD + 1)
                .collect::<String>()
        });
    sent.or_else(|| {
        details
            .record
            .as_ref()
            .map(|record| record.row.job.prompt_head.clone())
    })
    .filter(|prompt| !prompt.is_empty())
}
