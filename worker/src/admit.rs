//! Whether a delivered message is a job that may run now.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_shared::{
    broker::{Admission, Admitted},
    chain::StepRef,
    envelope::{Envelope, Malformed, MalformedCode, Parsed, chain_text, parse},
    event::{DropRecord, Event},
    id::JobId,
    letter::Kept,
};

use crate::{
    chain,
    deps::Deps,
    job::Job,
    patience::patiently,
    settle::json,
    verdict::{Discard, Verdict, Wait},
};

/// A job whose worker died so often is a dead letter.
const CRASH_LIMIT: u32 = 3;

/// A message of a newer protocol waits this long for a worker that knows it.
const VERSION_WAIT: TimeDelta = TimeDelta::hours(24);

/// How often such a message is offered again.
const VERSION_OFFER: TimeDelta = TimeDelta::minutes(1);

/// Fields that a message may have; Lua cannot pass on many thousands.
const FIELDS: usize = 1000;

/// The envelope of a job that may run now, or what becomes of it instead.
pub(crate) async fn admit(job: &Job, deps: &Deps) -> Result<Arc<Envelope>, Verdict> {
    if job.forged {
        let error =
            "field `_checkpoint` is reserved: names that begin with `_` are the server's own";
        return Err(Discard::new(MalformedCode::ReservedField.as_str(), error).into());
    }
    if let Some(text) = chain_text(&job.message, &deps.policy().config.limits) {
        return Err(chain::start(job, text, deps).await);
    }
    let Parsed { mut envelope, hash } = read(job, deps)?;
    let step = job.progress().resume.step.clone();
    if let Some(step) = &step {
        chain::inherit(&mut envelope, step, job.progress().resume.enqueued_at);
    }
    let envelope = Arc::new(envelope);
    if envelope.tenant.is_some() {
        deps.fairness.seen(deps.clock.now().timestamp_millis());
    }
    let admitted = {
        let mut progress = job.progress();
        progress.envelope = Some(envelope.clone());
        if let Some(id) = &envelope.id {
            progress.resume.id = id.clone();
        }
        progress.resume.waits_since = None;
        progress.resume.admitted
    };
    if !admitted {
        if envelope.id.is_some() || envelope.unique.is_some() {
            check_identity(job, &envelope, hash.as_ref(), step.as_deref(), deps).await?;
        }
        job.progress().resume.admitted = true;
    }
    check_crashes(job)?;
    let now = deps.clock.now();
    check_times(job, &envelope, now)?;
    if let Some(lane) = deps.pauses.type_lane(&envelope.task_type, now) {
        return Err(Verdict::Paused(lane));
    }
    let Some(step) = step else {
        return Ok(envelope);
    };
    let Some(filled) = chain::prepare(job, &step, &envelope, deps).await? else {
        return Ok(envelope);
    };
    let filled = Arc::new(filled);
    job.progress().envelope = Some(filled.clone());
    Ok(filled)
}

fn read(job: &Job, deps: &Deps) -> Result<Parsed, Verdict> {
    if job.message.fields.len() > FIELDS {
        let error = format!(
            "the message has {} fields; at most {FIELDS} are allowed, or the JSON form in the one field `job`",
            job.message.fields.len()
        );
        return Err(Verdict::Discarded(Discard {
            kept: Some(Kept::head(&job.message.fields)),
            ..Discard::new(MalformedCode::TooLarge.as_str(), error)
        }));
    }
    parse(&job.message, &deps.policy().config.limits)
        .map_err(|malformed| refuse(job, &malformed, deps.clock.now()))
}

fn refuse(job: &Job, malformed: &Malformed, now: DateTime<Utc>) -> Verdict {
    if malformed.code == MalformedCode::UnsupportedVersion {
        let since = *job.progress().resume.waits_since.get_or_insert(now);
        if now - since < VERSION_WAIT {
            return Verdict::Parked {
                due: now + VERSION_OFFER,
                until: Wait::Version,
            };
        }
    }
    let kept = (malformed.code == MalformedCode::TooLarge).then(|| Kept::head(&job.message.fields));
    Verdict::Discarded(Discard {
        kept,
        ..Discard::new(malformed.code.as_str(), malformed.to_string())
    })
}

/// The checks that need Redis: the producer's own id, and the key that may be used once.
async fn check_identity(
    job: &Job,
    envelope: &Envelope,
    hash: Option<&longshore_shared::envelope::ContentHash>,
    step: Option<&StepRef>,
    deps: &Deps,
) -> Result<(), Verdict> {
    let drop_event = json(&Event {
        dropped: Some(DropRecord {
            place: job.held.place.clone(),
            job_id: job.id(),
            at: deps.clock.now(),
        }),
        ..Event::default()
    });
    let admission = Admission {
        id: envelope.id.as_ref().zip(hash),
        unique: envelope.unique.as_ref(),
        reply: envelope.reply,
        drop_event: &drop_event,
        task: step,
    };
    match patiently("admit", || deps.broker.admit(&job.held, &admission)).await {
        Admitted::Yes => Ok(()),
        Admitted::Lost => Err(Verdict::Gone),
        Admitted::Duplicate => {
            metrics::counter!("longshore_messages_dropped_total").increment(1);
            tracing::info!(job = %job.id(), place = %job.held.place, "dropped: the same job came before");
            Err(Verdict::Gone)
        }
        Admitted::Conflict(first) => {
            let error = format!(
                "id `{}` belongs to the job at {first}, which has other content; use another id, or none",
                job.id()
            );
            Err(Verdict::Discarded(Discard {
                letter_id: Some(JobId::of_place(&job.held.place)),
                ..Discard::new("id_conflict", error)
            }))
        }
        Admitted::Taken(first) => Err(Verdict::Cancelled {
            reason: "duplicate",
            error: format!("its unique_key is taken by the job at {first}"),
        }),
    }
}

fn check_crashes(job: &Job) -> Result<(), Verdict> {
    let crashes = job.progress().resume.crashes;
    if crashes < CRASH_LIMIT {
        return Ok(());
    }
    Err(Discard::new(
        "poison",
        format!("{crashes} workers died while they ran it"),
    )
    .into())
}

fn check_times(job: &Job, envelope: &Envelope, now: DateTime<Utc>) -> Result<(), Verdict> {
    let (received, begun) = {
        let progress = job.progress();
        (
            progress.resume.enqueued_at,
            progress.resume.started_at.is_some(),
        )
    };
    if let Some(deadline) = envelope
        .deadline
        .map(|limit| limit.at(received))
        .filter(|at| *at <= now)
    {
        return Err(Discard::new(
            "expired",
            format!("its deadline, {}, has passed", deadline.to_rfc3339()),
        )
        .into());
    }
    if begun {
        return Ok(());
    }
    if let Some(limit) = envelope
        .start_by
        .map(|limit| limit.at(received))
        .filter(|at| *at <= now)
    {
        let error = format!("it was to start by {}, and has not", limit.to_rfc3339());
        return Err(Discard::new("expired", error).into());
    }
    match envelope.not_before.map(|when| when.at(received)) {
        Some(due) if due > now => Err(Verdict::Parked {
            due,
            until: Wait::Time,
        }),
        _ => Ok(()),
    }
}
