//! The beginning of an attempt: what its call takes of limits is taken, and it is journalled, in one step,
//! before it can cost anything. What finds no room is laid aside in the same step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Beginning, Begun, Offer, Reservation, Reserved},
    call::Usage,
    envelope::Envelope,
    event::{AttemptRecord, DecisionRecord, DecisionStep, SkippedRecord},
    id::{AttemptId, JobId},
    resume::Resume,
    routing::{Decision, Step},
    state::AttemptOutcome,
};

use crate::{
    choose::{Choice, Usable},
    deps::Deps,
    job::Job,
    limits,
    patience::patiently,
    run::cancelled,
    settle::json,
    verdict::{Discard, Verdict},
};

/// What is said of an attempt that nobody saw the end of.
const LOST: &str = "its worker died in mid-call";

/// An event that has an attempt and nothing else, in the form of [`Event`](longshore_shared::event::Event).
#[derive(serde::Serialize)]
struct AttemptEvent<'a> {
    attempt: &'a AttemptRecord,
}

/// A journalled attempt, not yet called.
pub(crate) struct Begin<'a> {
    /// Whom it goes to.
    pub(crate) to: Usable<'a>,
    /// Its id.
    pub(crate) attempt: AttemptId,
    /// Until its turn comes.
    pub(crate) wait: Duration,
}

/// One way that an attempt may go.
struct Draft {
    record: AttemptRecord,
    if_lost: String,
}

/// Begins an attempt with the first candidate that has room; `Err` is where the job goes instead.
pub(crate) async fn begin<'a>(
    job: &Job,
    envelope: &Envelope,
    choice: Choice<'a>,
    decision: &Decision<'_>,
    everybody: bool,
    deps: &Deps,
) -> Result<Begin<'a>, Verdict> {
    let attempt = AttemptId::new();
    let now = deps.clock.now();
    let Choice {
        mut usable,
        skipped,
        ..
    } = choice;
    let told = record(decision, skipped);
    let Some(first) = usable.first() else {
        return Err(Discard::new("internal", "no candidate is left to begin with").into());
    };
    let (id, resume) = {
        let progress = job.progress();
        (progress.resume.id.clone(), progress.resume.clone())
    };
    let draft = draft(job, envelope, first, told.as_ref(), attempt, now, deps);
    let begun = patiently("begin", || {
        let waits_for_key = waiting(&resume, envelope.concurrency.is_some(), false);
        let draft = &draft;
        let (id, takes) = (&id, &first.estimate.takes);
        let resume = &resume;
        async move {
            deps.broker
                .begin(
                    &job.held,
                    &Beginning {
                        job: id,
                        attempt,
                        event_if_lost: &draft.if_lost,
                        concurrency: envelope.concurrency.as_ref(),
                        resume: &waits_for_key,
                        takes,
                        waited: resume.waited,
                    },
                )
                .await
        }
    })
    .await;
    match begun {
        Begun::Yes(wait) => {
            open(job, draft.record, !first.estimate.takes.is_empty());
            Ok(Begin {
                to: usable.swap_remove(0),
                attempt,
                wait,
            })
        }
        Begun::Lost | Begun::Parked => Err(Verdict::Gone),
        Begun::Cancelled => Err(cancelled()),
        Begun::Full => {
            let drafts: Vec<Draft> = usable
                .iter()
                .map(|usable| self::draft(job, envelope, usable, told.as_ref(), attempt, now, deps))
                .collect();
            let place = Place {
                id,
                resume,
                attempt,
                everybody,
            };
            reserve(job, envelope, usable, drafts, place, deps).await
        }
    }
}

/// What a reservation says of its job.
struct Place {
    id: JobId,
    resume: Resume,
    attempt: AttemptId,
    everybody: bool,
}

async fn reserve<'a>(
    job: &Job,
    envelope: &Envelope,
    mut usable: Vec<Usable<'a>>,
    mut drafts: Vec<Draft>,
    place: Place,
    deps: &Deps,
) -> Result<Begin<'a>, Verdict> {
    let offers: Vec<Offer> = drafts
        .iter()
        .zip(&usable)
        .map(|(draft, usable)| Offer {
            event_if_lost: draft.if_lost.clone(),
            takes: usable.estimate.takes.clone(),
        })
        .collect();
    let for_key = waiting(&place.resume, envelope.concurrency.is_some(), false);
    let for_room = waiting(&place.resume, true, true);
    let reservation = Reservation {
        job: &place.id,
        attempt: place.attempt,
        concurrency: envelope.concurrency.as_ref(),
        resume: &for_key,
        resume_waiting: &for_room,
        waited: place.resume.waited,
        offers: &offers,
    };
    let reserved = patiently("reserve", || deps.broker.reserve(&job.held, &reservation)).await;
    match reserved {
        Reserved::Yes(number, wait) if number < usable.len() && number < drafts.len() => {
            let (to, draft) = (usable.swap_remove(number), drafts.swap_remove(number));
            open(job, draft.record, !to.estimate.takes.is_empty());
            Ok(Begin {
                to,
                attempt: place.attempt,
                wait,
            })
        }
        Reserved::Yes(..) | Reserved::Lost | Reserved::Parked => Err(Verdict::Gone),
        Reserved::Cancelled => Err(cancelled()),
        Reserved::Waits {
            at_ms,
            for_all,
            meter,
            waiting,
        } => {
            if for_all && place.everybody {
                let now_ms = deps.clock.now().timestamp_millis();
                deps.gate
                    .close(now_ms, at_ms, waiting, limits::is_window(&meter));
            }
            tracing::debug!(job = %place.id, meter, "waits for room");
            metrics::counter!("longshore_jobs_waited_total", "meter" => meter).increment(1);
            Err(Verdict::Gone)
        }
        Reserved::Never(meter) => Err(limits::too_large(&meter, &usable).into()),
        Reserved::Refused(meter) => Err(limits::refused(&meter).into()),
    }
}

/// What is remembered of a job that waits for a key or for room.
fn waiting(resume: &Resume, wanted: bool, for_room: bool) -> String {
    if !wanted {
        return String::new();
    }
    let mut waiting = resume.clone().moved();
    waiting.waited |= for_room;
    json(&waiting)
}

/// The attempt is on its way.
fn open(job: &Job, record: AttemptRecord, taken: bool) {
    let mut progress = job.progress();
    progress.resume.attempts += 1;
    progress.resume.waited = false;
    progress.resume.started_at.get_or_insert(record.started_at);
    progress.asked = Some((record.platform.clone(), record.model.clone()));
    progress.open = Some(record);
    progress.taken = taken;
}

/// What is written of an attempt, and what is written should its worker die.
fn draft(
    job: &Job,
    envelope: &Envelope,
    usable: &Usable<'_>,
    told: Option<&DecisionRecord>,
    attempt: AttemptId,
    now: DateTime<Utc>,
    deps: &Deps,
) -> Draft {
    let candidate = &usable.candidate;
    let progress = job.progress();
    let mut record = AttemptRecord {
        attempt_id: attempt,
        labels: progress.labels(&job.held),
        attempt: progress.resume.attempts + 1,
        worker: deps.worker.clone(),
        platform: candidate.provider.name.to_string(),
        model: candidate.model.model.clone(),
        routing_reason: candidate.reason.to_string(),
        decision: told.cloned(),
        started_at: now,
        finished_at: None,
        outcome: AttemptOutcome::Lost,
        duplicate: false,
        error_class: None,
        error: Some(LOST.to_owned()),
        status: None,
        usage: Usage::default(),
        cost_usd: None,
        reserved_usd: usable.estimate.upper_bound,
        reported_cost_usd: None,
        tokens_estimated: Some(usable.estimate.tokens),
        response_id: None,
        traceparent: envelope.traceparent.clone(),
    };
    let if_lost = json(&AttemptEvent { attempt: &record });
    record.error = None;
    Draft { record, if_lost }
}

/// What the decision was, where it was not plain.
fn record(decision: &Decision<'_>, skipped: Vec<SkippedRecord>) -> Option<DecisionRecord> {
    if decision.steps.is_empty() && skipped.is_empty() {
        return None;
    }
    let step = |step: &Step<'_>| DecisionStep {
        step: step.step.to_string(),
        outcome: step.outcome.to_string(),
    };
    Some(DecisionRecord {
        steps: decision.steps.iter().map(step).collect(),
        skipped,
    })
}
