//! A job's story, for people.

use chrono::{DateTime, Utc};
use longshore_shared::{event::AttemptRecord, ledger::JobHistory, money::Usd, state::JobState};

use super::{
    attempts::{recorded_attempts, remembered_attempts},
    decisions::decisions,
    find::Location,
    show::Known,
};
use crate::commands::words::{ago, count, harmless, head, many, time};

/// Characters of a prompt that are shown.
const PROMPT_HEAD: usize = 200;

/// All of it.
pub(super) fn tell(known: &Known, now: DateTime<Utc>) -> String {
    let mut parts = vec![facts(known, now)];
    let attempts = match &known.record {
        Some(record) if !record.history.is_empty() => Some(recorded_attempts(&record.history)),
        _ => known
            .found
            .as_ref()
            .and_then(|found| found.resume.as_ref())
            .filter(|resume| !resume.history.is_empty())
            .map(|resume| remembered_attempts(&resume.history)),
    };
    parts.extend(attempts);
    if let Some(record) = &known.record {
        parts.extend(decisions(&record.history));
    }
    if let Some(prompt) = prompt(known) {
        parts.push(format!("Prompt\n  {}", head(&prompt, PROMPT_HEAD)));
    }
    let job = known.record.as_ref().map(|record| &record.row.job);
    let outcome = known.outcome.as_ref();
    let error = outcome
        .and_then(|outcome| outcome.error.as_ref())
        .or_else(|| job.and_then(|job| job.error.as_ref()));
    if let Some(error) = error {
        parts.push(format!("Error\n  {}", harmless(error)));
    }
    let output = outcome
        .and_then(|outcome| outcome.output.as_ref())
        .or_else(|| job.and_then(|job| job.output.as_ref()));
    if let Some(output) = output {
        parts.push(format!("--- Output ---\n{}", harmless(output)));
    }
    if let Some(error) = &known.record_error {
        parts.push(format!(
            "This is what Redis knows; the record could not be asked: {error}"
        ));
    }
    parts.join("\n\n")
}

fn facts(known: &Known, now: DateTime<Utc>) -> String {
    let mut lines: Vec<(&str, String)> = vec![("Job", known.id.to_string())];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("State", Some(state_words(known)));
    add("Now", Some(place(known, now)));
    let job = known.record.as_ref().map(|record| &record.row.job);
    let envelope = known.envelope.as_ref();
    let letter = known
        .found
        .as_ref()
        .and_then(|found| found.letter.as_ref())
        .map(|(_, letter)| letter);
    add(
        "Type",
        envelope
            .map(|envelope| envelope.task_type.clone())
            .or_else(|| job.map(|job| job.labels.task_type.clone())),
    );
    let queue = match &known.now {
        Location::Waiting { queue, .. }
        | Location::Available { queue, .. }
        | Location::Running { queue, .. } => Some(queue.to_string()),
        _ => job
            .map(|job| job.labels.queue.to_string())
            .or_else(|| letter.map(|letter| letter.record.queue.to_string())),
    };
    add("Queue", queue);
    let label = |of_job: Option<&String>, of_envelope: Option<&String>| {
        of_envelope.or(of_job).map(|text| head(text, 200))
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
    let asked = known
        .outcome
        .as_ref()
        .and_then(|outcome| Some((outcome.platform.as_ref()?, outcome.model.as_ref()?)))
        .or_else(|| job.and_then(|job| Some((job.platform.as_ref()?, job.model.as_ref()?))));
    add(
        "Platform",
        asked.map(|(platform, model)| head(&format!("{platform} ({model})"), 120)),
    );
    times(known, now, &mut add);
    figures(known, &mut add);
    if let Some(metadata) = job.and_then(|job| job.metadata.as_ref()) {
        let text = serde_json::to_string(metadata).unwrap_or_default();
        add("Metadata", Some(head(&text, 400)));
    }
    add(
        "Trace",
        job.and_then(|job| job.traceparent.as_ref())
            .map(|text| head(text, 100)),
    );
    if let Some(record) = &known.record {
        add("Dropped", dropped(record));
        add("Died", died(record));
    }
    lines
        .iter()
        .map(|(name, value)| format!("{name:<10} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Its state, and what it waits for where the state does not tell.
fn state_words(known: &Known) -> String {
    let waits_for = match &known.now {
        Location::Waiting { queue, lane, .. } => lane.waits_for(queue),
        _ => None,
    };
    with_wait(state(known), waits_for.as_deref())
}

/// A state with what is waited for in it.
pub(super) fn with_wait(state: &str, waits_for: Option<&str>) -> String {
    waits_for.map_or_else(
        || state.to_owned(),
        |waits_for| format!("{state}, waits for {waits_for}"),
    )
}

fn state(known: &Known) -> &'static str {
    match &known.now {
        Location::Ended => known
            .outcome
            .as_ref()
            .map_or("ended", |outcome| outcome.state.as_str()),
        Location::Dead => JobState::Discarded.as_str(),
        Location::Waiting { .. } => {
            let retried = known
                .found
                .as_ref()
                .and_then(|found| found.resume.as_ref())
                .is_some_and(|resume| resume.attempts > 0);
            if retried {
                JobState::Retryable.as_str()
            } else {
                JobState::Scheduled.as_str()
            }
        }
        Location::Available { .. } => JobState::Available.as_str(),
        Location::Running { .. } => JobState::Running.as_str(),
        Location::Nowhere { .. } => known
            .record
            .as_ref()
            .map_or("unknown", |record| record.row.job.state.as_str()),
    }
}

fn place(known: &Known, now: DateTime<Utc>) -> String {
    match &known.now {
        Location::Ended
            if known
                .found
                .as_ref()
                .is_some_and(|found| found.letter.is_some()) =>
        {
            format!("a dead letter: `longshore dlq show {}`", known.id)
        }
        Location::Ended => "it has ended".to_owned(),
        Location::Running {
            place,
            worker,
            since,
            attempt_id,
            ..
        } => match attempt_id {
            Some(attempt) => format!(
                "worker {worker} runs it since {} (attempt {attempt}, at {place})",
                ago(*since, now)
            ),
            None => format!(
                "worker {worker} has it since {}, between two attempts (at {place})",
                ago(*since, now)
            ),
        },
        Location::Available { place, .. } => format!("at {place}: {}", known.why),
        Location::Waiting { .. } | Location::Dead => known.why.clone(),
        Location::Nowhere { .. } => {
            "only in the record: its outcome is no longer kept in Redis".to_owned()
        }
    }
}

fn times<'a>(known: &Known, now: DateTime<Utc>, add: &mut impl FnMut(&'a str, Option<String>)) {
    let resume = known.found.as_ref().and_then(|found| found.resume.as_ref());
    let job = known.record.as_ref().map(|record| &record.row.job);
    let told = |at: DateTime<Utc>| format!("{} ({} ago)", time(at), ago(at, now));
    let standing = match &known.now {
        Location::Available { place, .. } | Location::Running { place, .. } => place.received_at(),
        _ => None,
    };
    add(
        "Enqueued",
        resume
            .map(|resume| resume.enqueued_at)
            .or_else(|| job.map(|job| job.enqueued_at))
            .or(standing)
            .map(told),
    );
    add(
        "Started",
        resume
            .and_then(|resume| resume.started_at)
            .or_else(|| job.and_then(|job| job.started_at))
            .map(told),
    );
    add("Finished", job.and_then(|job| job.finished_at).map(told));
    if let Some(outcome) = &known.outcome {
        let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
        add(
            "Took",
            Some(format!(
                "{:.2} s, after {:.2} s in the queue",
                seconds(outcome.duration_ms),
                seconds(outcome.queued_ms)
            )),
        );
    }
}

fn figures<'a>(known: &Known, add: &mut impl FnMut(&'a str, Option<String>)) {
    if let Some(record) = known
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
        add("Tokens", Some(tokens(input, output, cached, reasoning)));
        add("Cost", Some(total(&record.history)));
    } else if let Some(outcome) = &known.outcome {
        let figures = tokens(
            outcome.input_tokens,
            outcome.output_tokens,
            outcome.cached_tokens,
            outcome.reasoning_tokens,
        );
        add("Tokens", Some(figures));
        add("Cost", Some(format!("${}", outcome.cost_usd)));
    } else if let Some(resume) = known
        .found
        .as_ref()
        .and_then(|found| found.resume.as_ref())
        .filter(|resume| resume.attempts > 0)
    {
        let usage = resume.usage;
        let figures = tokens(
            usage.total_input(),
            usage.total_output(),
            usage.cached,
            usage.reasoning,
        );
        add("Attempts", Some(resume.attempts.to_string()));
        add("Tokens", Some(figures));
        add("Cost", Some(format!("${} so far", resume.cost)));
    }
}

fn tokens(input: u64, output: u64, cached: u64, reasoning: u64) -> String {
    format!(
        "{} in (cached {}), {} out (reasoning {})",
        count(input),
        count(cached),
        count(output),
        count(reasoning)
    )
}

/// What all attempts cost, and what could be added to it.
fn total(attempts: &[AttemptRecord]) -> String {
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
        "${known}, and at most ${reserved} for {} of unknown cost",
        many(open.len(), "attempt")
    )
}

fn dropped(record: &JobHistory) -> Option<String> {
    if record.dropped.is_empty() {
        return None;
    }
    let places: Vec<&str> = record
        .dropped
        .iter()
        .take(5)
        .map(|drop| drop.place.as_str())
        .collect();
    let more = if record.dropped.len() > places.len() {
        ", …"
    } else {
        ""
    };
    Some(format!(
        "{} of it ({}{more})",
        many(record.dropped.len(), "repetition"),
        places.join(", ")
    ))
}

fn died(record: &JobHistory) -> Option<String> {
    let deaths: Vec<String> = record
        .dead_letters
        .iter()
        .map(|row| {
            let end = row
                .resolution
                .map(|end| format!(", {}", end.as_str()))
                .unwrap_or_default();
            format!(
                "{} ({}{end})",
                time(row.dead.at),
                head(&row.dead.reason, 60)
            )
        })
        .collect();
    (!deaths.is_empty()).then(|| deaths.join("; "))
}

fn prompt(known: &Known) -> Option<String> {
    let of_envelope = known
        .envelope
        .as_ref()
        .and_then(|envelope| envelope.messages.last())
        .map(|message| {
            message
                .content
                .chars()
                .take(PROMPT_HEAD + 1)
                .collect::<String>()
        });
    of_envelope
        .or_else(|| {
            known
                .record
                .as_ref()
                .map(|record| record.row.job.prompt_head.clone())
        })
        .filter(|prompt| !prompt.is_empty())
}
