//! What a command says while it waits for a job.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobSnapshot, Lane, Location, QueueName};
use longshore_policy::{limits::MeterName, pause::Target};
use longshore_protocol::{
    call::ErrorClass,
    checkpoint::{Checkpoint, PastAttempt},
    envelope::Envelope,
    event::AttemptRecord,
    id::EntryId,
};

use super::parked::{
    BOUND, describe_turn, explain_parked, find_hold, hold_with_remedy, is_bound, is_refusal,
    open_review, pauses_with_remedies, run_now_remedy,
};
use crate::{
    render::{
        hold,
        pause::{pause_sentence, resume_command},
        text::{counted, one_line},
        time::{age, minute, span},
    },
    waiting::WaitStatus,
};

/// Characters of an error that are shown.
const ERROR_HEAD: usize = 160;

/// A wait up to this long, in seconds, is shown without the time of its end.
const SHORT_WAIT: i64 = 100;

/// What a job waits for, or that it runs; `None` if there is nothing to say.
pub(super) async fn job_status(
    broker: &Broker,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<Option<WaitStatus>, BrokerError> {
    Ok(match &found.location {
        Location::Ended | Location::Dead | Location::Nowhere { .. } => None,
        Location::Waiting {
            queue,
            lane,
            due_at,
        } => Some(match (lane, due_at) {
            (Lane::Time, Some(due)) if !waits_for_others(broker, found).await? => {
                timed(broker, found, envelope, *due, now).await?
            }
            (Lane::Quota(meter), _) => limited(broker, meter, found, envelope, now).await?,
            (Lane::Paused(targets), _) => paused(broker, targets, now).await?,
            _ => {
                let place = (queue, lane);
                let text = explain_parked(broker, place, *due_at, found, envelope, now).await?;
                WaitStatus::new(format!("{lane:?}"), capitalized(&text))
            }
        }),
        Location::Available {
            queue, handed_back, ..
        } => Some(available(broker, queue, *handed_back, now).await?),
        Location::Running { entry_id, .. } => running(broker, found, entry_id, now).await?,
    })
}

/// Whether a job in the lane of time waits for its recipe or for a person, and the time is only the latest one.
async fn waits_for_others(broker: &Broker, found: &JobSnapshot) -> Result<bool, BrokerError> {
    let checkpoint = found.checkpoint.as_ref();
    let has_recipe = checkpoint.is_some_and(|checkpoint| checkpoint.recipe.is_some());
    Ok(has_recipe || open_review(broker, found).await?.is_some())
}

/// The failure of a job whose worker keeps it until the next attempt, when that is, and the error.
pub(super) fn retry_in_place(
    found: &JobSnapshot,
    now: DateTime<Utc>,
) -> Option<(String, Option<String>)> {
    let checkpoint = found.checkpoint.as_ref()?;
    let is_between = matches!(
        found.location,
        Location::Running {
            attempt_id: None,
            ..
        }
    );
    let due = checkpoint.next_attempt_at.filter(|due| *due > now)?;
    let failure = last_failure(checkpoint)?;
    let line = format!("{failure} {}", retrying(due, now));
    is_between.then(|| (line, unnamed_error(checkpoint)))
}

/// A job that waits for a time: its start, its next attempt, or a platform.
async fn timed(
    broker: &Broker,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<WaitStatus, BrokerError> {
    let holds = broker.limits().account_holds(now).await?;
    let checkpoint = found.checkpoint.as_ref();
    let hold = find_hold(&holds, due, checkpoint);
    let has_start = envelope.is_some_and(|envelope| envelope.not_before.is_some());
    let line = match (checkpoint.and_then(failures), hold) {
        (Some(failures), _) => format!("{failures} {}", retrying(due, now)),
        (None, Some(hold)) => format!("Waiting: {}", hold::hold_sentence(hold)),
        (None, None) if has_start => {
            format!(
                "Waiting for its start time, in {} ({})",
                span(due - now),
                minute(due)
            )
        }
        (None, None) => format!("No platform is available. {}", retrying(due, now)),
    };
    let remedy = hold.map(hold_with_remedy);
    let remedy = remedy.or_else(|| Some(run_now_remedy(&checkpoint?.id)));
    let error = checkpoint.and_then(unnamed_error);
    let advice: Vec<String> = error.into_iter().chain(remedy).collect();
    let advice = (!advice.is_empty()).then(|| advice.join("; "));
    let attempts = checkpoint.map_or(0, |checkpoint| checkpoint.attempts);
    let key = format!("time {attempts} {}", due.timestamp());
    Ok(WaitStatus::new(key, line).with_advice(advice))
}

/// A job in the lane of a limit.
async fn limited(
    broker: &Broker,
    meter: &str,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<WaitStatus, BrokerError> {
    let name = MeterName::parse(meter);
    let turn = match &found.parked_from {
        Some(entry_id) => {
            let turn = broker.lanes().limit_position(meter, entry_id).await?;
            describe_turn(&turn, now)
        }
        None => String::new(),
    };
    let tried = found.checkpoint.as_ref().map(tried).unwrap_or_default();
    let exhausted = if name.is_window() && tried.len() > 1 {
        format!("All platforms exhausted. Tried: {}. ", tried.join(", "))
    } else {
        String::new()
    };
    let wait = if name.is_window() {
        format!("Reached {name}")
    } else {
        format!("Waiting for capacity under {name}")
    };
    let bound = if is_bound(envelope) && name.queue().is_none() {
        format!("{BOUND}; ")
    } else {
        String::new()
    };
    let advice = format!("{bound}`longshore quota` shows the limits");
    let status = WaitStatus::new(format!("limit {meter}"), format!("{exhausted}{wait}{turn}"));
    Ok(status.with_advice(Some(advice)))
}

async fn paused(
    broker: &Broker,
    targets: &[Target],
    now: DateTime<Utc>,
) -> Result<WaitStatus, BrokerError> {
    let pauses = broker.pauses().list().await?;
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let (key, names) = (format!("paused {names:?}"), names.join(" and "));
    Ok(match pauses_with_remedies(&pauses, targets, now) {
        Some((sentences, remedy)) => {
            let advice = format!("{sentences}; {remedy}");
            WaitStatus::new(key, format!("Paused: {names}")).with_advice(Some(advice))
        }
        None => WaitStatus::new(key, format!("Resumed: {names}; about to be released")),
    })
}

/// A job in its queue.
async fn available(
    broker: &Broker,
    queue: &QueueName,
    handed_back: bool,
    now: DateTime<Utc>,
) -> Result<WaitStatus, BrokerError> {
    if let Some(status) = paused_queue(broker, queue, now).await? {
        return Ok(status);
    }
    let ahead = broker
        .queues()
        .depth(queue)
        .await?
        .available
        .saturating_sub(1);
    let line = if handed_back {
        format!("Handed back by a worker, waiting for the next in queue {queue}")
    } else if ahead == 0 {
        format!("Next in queue {queue}")
    } else {
        // Jobs behind it are among them.
        format!(
            "Waiting in queue {queue}, at most {} ahead",
            counted(ahead, "job")
        )
    };
    Ok(WaitStatus::new(format!("available {handed_back}"), line))
}

/// That the queue is paused, if it is.
pub(crate) async fn paused_queue(
    broker: &Broker,
    queue: &QueueName,
    now: DateTime<Utc>,
) -> Result<Option<WaitStatus>, BrokerError> {
    let target = Target::queue(queue);
    let pauses = broker.pauses().list().await?;
    Ok(pauses.get(&target, now.timestamp_millis()).map(|pause| {
        let sentence = pause_sentence(&target, pause, now);
        let advice = format!("{sentence}; to end it: {}", resume_command(&target));
        WaitStatus::new(format!("paused {target}"), format!("Paused: {target}"))
            .with_advice(Some(advice))
    }))
}

/// A job that a worker has.
async fn running(
    broker: &Broker,
    found: &JobSnapshot,
    entry_id: &EntryId,
    now: DateTime<Utc>,
) -> Result<Option<WaitStatus>, BrokerError> {
    let checkpoint = found.checkpoint.as_ref();
    let Some(call) = broker.deliveries().attempt_in_progress(entry_id).await? else {
        let attempts = checkpoint.map_or(0, |checkpoint| checkpoint.attempts);
        return Ok(retry_in_place(found, now).map(|(line, error)| {
            WaitStatus::new(format!("retry {attempts}"), line).with_advice(error)
        }));
    };
    let (fallback, advice) = match passed_over(checkpoint, &call) {
        Some((platform, why)) => (
            format!("Platform {platform} not available. Routing to fallback. "),
            Some(format!("{platform}: {why}")),
        ),
        None => (String::new(), None),
    };
    let number = match call.attempt {
        0 | 1 => String::new(),
        number => format!(", attempt {number}"),
    };
    let line = format!(
        "{fallback}Running on {} {}{number}, for {}",
        call.platform,
        call.model,
        age(call.started_at, now)
    );
    Ok(Some(
        WaitStatus::new(format!("attempt {}", call.attempt_id), line).with_advice(advice),
    ))
}

/// The platform in whose place this one is called, and why.
fn passed_over(checkpoint: Option<&Checkpoint>, call: &AttemptRecord) -> Option<(String, String)> {
    let is_other = |platform: &str| platform != call.platform;
    let last = checkpoint.and_then(|checkpoint| checkpoint.history.last());
    if let Some(last) = last.filter(|last| is_other(&last.platform)) {
        return Some((last.platform.clone(), error_of(last)));
    }
    let skipped = call.decision.as_ref()?.skipped.first()?;
    is_other(&skipped.platform)
        .then(|| (skipped.platform.clone(), one_line(&skipped.why, ERROR_HEAD)))
}

/// Why a job waits that made attempts: all platforms failed, or its last attempt did.
fn failures(checkpoint: &Checkpoint) -> Option<String> {
    let tried = tried(checkpoint);
    // A platform in its retry cycle is called again before any other.
    let mut tries = checkpoint.tries.keys();
    let is_in_cycle = tries.any(|platform| !checkpoint.not_before.contains_key(platform));
    if tried.len() < 2 || is_in_cycle {
        return last_failure(checkpoint);
    }
    let is_limited = |platform: &&str| {
        let mut past = checkpoint.history.iter().rev();
        let last = past.find(|past| past.platform == **platform);
        last.is_some_and(|last| is_refusal(last.error_class))
    };
    let how = if tried.iter().all(is_limited) {
        "exhausted"
    } else {
        "unavailable"
    };
    Some(format!("All platforms {how}. Tried: {}.", tried.join(", ")))
}

/// The platforms that were called, in the order of their first attempts.
fn tried(checkpoint: &Checkpoint) -> Vec<&str> {
    let mut tried: Vec<&str> = Vec::new();
    for past in &checkpoint.history {
        if !tried.contains(&past.platform.as_str()) {
            tried.push(&past.platform);
        }
    }
    tried
}

/// The last failed attempt in a sentence.
fn last_failure(checkpoint: &Checkpoint) -> Option<String> {
    let last = checkpoint.history.last()?;
    let platform = &last.platform;
    Some(match last.error_class {
        ErrorClass::RateLimited => format!("Rate limited by {platform}."),
        ErrorClass::QuotaExhausted => format!("Quota of {platform} exhausted."),
        class => {
            let attempts = checkpoint.attempts;
            format!("Attempt {attempts} failed ({platform}: {class}).")
        }
    })
}

/// The error of the last attempt, if its class says too little.
fn unnamed_error(checkpoint: &Checkpoint) -> Option<String> {
    let last = checkpoint.history.last()?;
    (!is_refusal(last.error_class)).then(|| error_of(last))
}

fn error_of(past: &PastAttempt) -> String {
    one_line(&past.error, ERROR_HEAD)
        .trim_end_matches('.')
        .to_owned()
}

fn retrying(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let wait = due - now;
    if wait.num_seconds() < SHORT_WAIT {
        format!("Retrying in {}...", span(wait))
    } else {
        format!("Retrying in {} ({})", span(wait), minute(due))
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use longshore_protocol::id::{AttemptId, JobId};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-12-01T12:00:00Z".parse().unwrap()
    }

    fn checkpoint(attempts: &[(&str, ErrorClass)]) -> Checkpoint {
        let mut checkpoint = Checkpoint::fresh(JobId::parse("inv-42").unwrap(), now());
        for (platform, error_class) in attempts {
            checkpoint.attempts += 1;
            checkpoint.history.push(PastAttempt {
                attempt_id: AttemptId::new(),
                at: now(),
                platform: (*platform).to_owned(),
                model: "m".to_owned(),
                error_class: *error_class,
                error: format!("{platform}: Down or overloaded (HTTP 503)."),
                cost: None,
            });
        }
        checkpoint
    }

    #[test]
    fn a_wait_for_the_next_attempt_names_what_failed() {
        let said = |attempts: &[_], seconds| {
            let due = now() + TimeDelta::seconds(seconds);
            let failures = failures(&checkpoint(attempts)).unwrap();
            format!("{failures} {}", retrying(due, now()))
        };
        let (limited, down) = (ErrorClass::RateLimited, ErrorClass::Overloaded);
        let lines = [
            said(&[("openai", limited)], 32),
            said(&[("gemini", ErrorClass::QuotaExhausted)], 7200),
            said(&[("anthropic", down)], 18),
            said(
                &[("gemini", limited), ("openai", down), ("openai", limited)],
                32,
            ),
            said(&[("gemini", limited), ("openai", down)], 32),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        Rate limited by openai. Retrying in 32s...
        Quota of gemini exhausted. Retrying in 2h (2026-12-01 14:00 UTC)
        Attempt 1 failed (anthropic: overloaded). Retrying in 18s...
        All platforms exhausted. Tried: gemini, openai. Retrying in 32s...
        All platforms unavailable. Tried: gemini, openai. Retrying in 32s...
        ");
    }

    #[test]
    fn a_platform_in_its_retry_cycle_is_tried_again_before_the_others_are_exhausted() {
        let limited = ErrorClass::RateLimited;
        let mut checkpoint = checkpoint(&[("gemini", limited), ("openai", limited)]);
        checkpoint.tries.insert("openai".to_owned(), 1);
        assert_eq!(failures(&checkpoint).unwrap(), "Rate limited by openai.");
        checkpoint.not_before.insert("openai".to_owned(), now());
        assert!(
            failures(&checkpoint)
                .unwrap()
                .starts_with("All platforms exhausted.")
        );
    }
}
