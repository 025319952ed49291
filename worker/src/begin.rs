//! The beginning of an attempt: what its call takes of limits is taken, and it is journalled, in one step,
//! before it can cost anything. What finds no room is laid aside in the same step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Beginning, Begun, Offer, Reservation, Reserved, Spent};
use longshore_policy::routing::{Decision, Step, StepName};
use longshore_protocol::{
    call::Usage,
    checkpoint::Resume,
    envelope::Envelope,
    event::{AttemptRecord, DecisionRecord, DecisionStep, SkippedRecord},
    id::{AttemptId, JobId},
    state::AttemptOutcome,
};

use crate::{
    choose::{Choice, Query, Usable, choose},
    deps::Deps,
    job::Job,
    limits,
    patience::patiently,
    run::cancelled,
    settle::json,
    verdict::{Discard, Verdict, Wait},
};

/// What is said of an attempt that nobody saw the end of.
const LOST: &str = "its worker died in mid-call";

/// An event that has an attempt and nothing else, in the form of [`Event`](longshore_protocol::event::Event).
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

/// What every way of an attempt has in common.
struct Start<'s> {
    job: &'s Job,
    envelope: &'s Envelope,
    deps: &'s Deps,
    id: JobId,
    resume: Resume,
    attempt: AttemptId,
    now: DateTime<Utc>,
}

/// Begins an attempt with the first candidate that has room, the first of `choice` if it has; `Err` is
/// where the job goes instead.
pub(crate) async fn begin<'a>(
    job: &Job,
    query: Query<'_, 'a>,
    choice: Choice<'a>,
    resume: Resume,
) -> Result<Begin<'a>, Verdict> {
    let deps = query.deps;
    let start = Start {
        job,
        envelope: query.envelope,
        deps,
        id: resume.id.clone(),
        resume,
        attempt: AttemptId::new(),
        now: deps.clock.now(),
    };
    let told = record(query.decision, choice.skipped);
    let Some(first) = choice.usable.into_iter().next() else {
        return Err(Discard::new("internal", "no candidate is left to begin with").into());
    };
    let draft = start.draft(&first, told.as_ref());
    let beginning = Beginning {
        job: &start.id,
        attempt: start.attempt,
        event_if_lost: &draft.if_lost,
        concurrency: query.envelope.concurrency.as_ref(),
        resume: "",
        takes: &first.estimate.takes,
        waited: start.resume.waited,
    };
    let mut begun = patiently("begin", || deps.broker.begin(&job.held, &beginning)).await;
    if begun == Begun::Waits {
        // Most jobs find a slot; what is to be remembered is written down only for those who do not.
        let resume = start.waiting(true, false);
        let beginning = Beginning {
            resume: &resume,
            ..beginning
        };
        begun = patiently("begin", || deps.broker.begin(&job.held, &beginning)).await;
    }
    match begun {
        Begun::Yes(wait) => {
            open(job, draft.record, !first.estimate.takes.is_empty());
            Ok(Begin {
                to: first,
                attempt: start.attempt,
                wait,
            })
        }
        // Asked with something to remember, none is told to wait.
        Begun::Lost | Begun::Parked | Begun::Waits => Err(Verdict::Gone),
        Begun::Cancelled => Err(cancelled()),
        Begun::Full => {
            // Should it be a probe, another may make it.
            drop(first);
            let mut all = choose(query, &start.resume, usize::MAX).await;
            let routed = all.usable.len();
            if query.envelope.fallback && query.policy.meters.send_to_free() {
                all.add_free(query, &start.resume).await;
            }
            let everybody = all.usable.len() == query.policy.router.platforms();
            reserve(&start, query.decision, all, routed, everybody).await
        }
    }
}

async fn reserve<'a>(
    start: &Start<'_>,
    decision: &Decision<'_>,
    choice: Choice<'a>,
    routed: usize,
    everybody: bool,
) -> Result<Begin<'a>, Verdict> {
    let Choice {
        mut usable,
        skipped,
        until,
        ..
    } = choice;
    let (job, deps) = (start.job, start.deps);
    let told = record(decision, skipped);
    let mut drafts: Vec<Draft> = usable
        .iter()
        .map(|usable| start.draft(usable, told.as_ref()))
        .collect();
    if drafts.is_empty() {
        return Err(Verdict::Parked {
            due: until.unwrap_or(start.now),
            until: Wait::Retry,
        });
    }
    let offers: Vec<Offer> = drafts
        .iter()
        .zip(&usable)
        .enumerate()
        .map(|(number, (draft, usable))| Offer {
            event_if_lost: draft.if_lost.clone(),
            takes: usable.estimate.takes.clone(),
            spare: number >= routed,
        })
        .collect();
    let for_key = start.waiting(start.envelope.concurrency.is_some(), false);
    let for_room = start.waiting(true, true);
    let reservation = Reservation {
        job: &start.id,
        attempt: start.attempt,
        concurrency: start.envelope.concurrency.as_ref(),
        resume: &for_key,
        resume_waiting: &for_room,
        waited: start.resume.waited,
        offers: &offers,
    };
    let reserved = patiently("reserve", || deps.broker.reserve(&job.held, &reservation)).await;
    match reserved {
        Reserved::Yes(number, wait) if number < usable.len() && number < drafts.len() => {
            let (to, draft) = (usable.swap_remove(number), drafts.swap_remove(number));
            open(job, draft.record, !to.estimate.takes.is_empty());
            Ok(Begin {
                to,
                attempt: start.attempt,
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
            if for_all && everybody {
                let now_ms = deps.clock.now().timestamp_millis();
                deps.gate
                    .close(now_ms, at_ms, waiting, limits::is_window(&meter));
            }
            tracing::debug!(job = %start.id, meter, "waits for room");
            metrics::counter!("longshore_jobs_waited_total", "meter" => meter).increment(1);
            Err(Verdict::Gone)
        }
        Reserved::Never(meter) => Err(limits::too_large(&meter, &usable).into()),
        Reserved::Refused(meter) => Err(limits::refused(&meter).into()),
    }
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
    // Until its end is known: should the worker fail in between, all that it took counts.
    progress.spent = if taken {
        Spent::Unknown
    } else {
        Spent::NothingTaken
    };
}

impl Start<'_> {
    /// What is remembered of a job that waits for a key or for room.
    fn waiting(&self, wanted: bool, for_room: bool) -> String {
        if !wanted {
            return String::new();
        }
        let mut waiting = self.resume.clone().moved();
        waiting.waited |= for_room;
        json(&waiting)
    }

    /// What is written of an attempt, and what is written should its worker die.
    fn draft(&self, usable: &Usable<'_>, told: Option<&DecisionRecord>) -> Draft {
        let candidate = &usable.candidate;
        let labels = self.job.progress().labels(&self.job.held);
        let mut record = AttemptRecord {
            attempt_id: self.attempt,
            labels: Some(labels),
            attempt: self.resume.attempts + 1,
            worker: self.deps.worker.clone(),
            platform: candidate.provider.name.to_string(),
            model: candidate.model.model.clone(),
            routing_reason: candidate.reason.to_string(),
            decision: told.cloned(),
            started_at: self.now,
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
            tokens_estimated: (!usable.estimate.takes.is_empty()).then_some(usable.estimate.tokens),
            response_id: None,
            traceparent: self.envelope.traceparent.clone(),
        };
        let if_lost = json(&AttemptEvent { attempt: &record });
        record.error = None;
        // From here on the job's own record, which goes with it, says it.
        record.labels = None;
        Draft { record, if_lost }
    }
}

/// What the decision was, where it was not plain.
fn record(decision: &Decision<'_>, skipped: Vec<SkippedRecord>) -> Option<DecisionRecord> {
    // By cost alone is what the reason says already.
    let is_plain = decision
        .steps
        .iter()
        .all(|step| step.step == StepName::Cost);
    if is_plain && skipped.is_empty() {
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
