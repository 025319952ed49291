//! The last word on a job: one atomic step, repeated until Redis has answered.
//!
//! This is the backend's own layer, outside all others, so that a panic or an error of the handler
//! ends in the same step as an answer. The place in the worker that the job takes is free only after
//! the step.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use apalis_core::{error::BoxDynError, task::Task};
use chrono::{DateTime, Utc};
use futures::{FutureExt as _, future::BoxFuture};
use longshore_broker::{Ending, Fence, Parked, Parking, Spent};
use longshore_protocol::{
    call::ErrorClass,
    envelope::Concurrency,
    event::{AttemptRecord, Event},
    id::{AttemptId, JobId},
    state::{AttemptOutcome, JobState},
};
use tower::{Layer, Service};

use crate::{
    aside::Aside,
    backend::Credit,
    chain::{StepResult, children, step_result},
    deps::Deps,
    job::{Job, Progress},
    patience::patiently,
    pauses,
    records::{self, Ended},
    verdict::{Discard, Verdict, Wait},
};

/// Wraps the handler so that whatever it comes to is settled.
#[derive(Clone)]
pub struct SettleLayer {
    deps: Arc<Deps>,
}

/// The layer's service.
#[derive(Clone)]
pub struct Settling<S> {
    inner: S,
    deps: Arc<Deps>,
}

impl SettleLayer {
    /// Settles through `deps`.
    pub fn new(deps: Arc<Deps>) -> Self {
        Self { deps }
    }
}

impl<S> Layer<S> for SettleLayer {
    type Service = Settling<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Settling {
            inner,
            deps: self.deps.clone(),
        }
    }
}

impl<S> Service<Task<Arc<Job>>> for Settling<S>
where
    S: Service<Task<Arc<Job>>, Response = Verdict>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Arc<Job>>) -> Self::Future {
        let deps = self.deps.clone();
        let job = task.args.clone();
        // Holds the job's place in the worker until the step is done.
        let place = task.ctx().data().get::<Credit>().cloned();
        let run = self.inner.call(task);
        async move {
            let verdict = match run.await {
                Ok(verdict) => verdict,
                Err(error) => failed_within(&job, &error.into(), &deps),
            };
            // Boxed, so that a job in mid-call does not hold the room of its last step.
            Box::pin(settle(&job, verdict, &deps)).await;
            deps.hands.let_go(&job);
            drop(place);
            Ok(())
        }
        .boxed()
    }
}

/// The handler itself failed: a panic, or an error that is not the provider's.
fn failed_within(job: &Job, error: &BoxDynError, deps: &Deps) -> Verdict {
    let text = format!("the worker failed while it ran the job: {error}");
    tracing::error!(job = %job.id(), "{text}");
    let mut progress = job.progress();
    if let Some(attempt) = &mut progress.open {
        attempt.outcome = AttemptOutcome::Failed;
        attempt.error_class = Some(ErrorClass::Internal);
        attempt.error = Some(text.clone());
        attempt.finished_at = Some(deps.clock.now());
    }
    Discard::new(ErrorClass::Internal.as_str(), text).into()
}

async fn settle(job: &Job, verdict: Verdict, deps: &Deps) {
    if matches!(verdict, Verdict::Gone) {
        return;
    }
    let attempt = close(&mut job.progress());
    let fence = match verdict {
        Verdict::Gone => return,
        Verdict::HandedBack => hand_back(job, attempt, deps).await,
        Verdict::Parked { due, until } => park(job, attempt, due, until, deps).await,
        Verdict::Paused(lane) => pauses::park(job, attempt, &lane, deps).await,
        Verdict::Answered(answer) => {
            let ended = Ended {
                answer: Some(&answer),
                ..Ended::default()
            };
            end(job, attempt, JobState::Completed, &ended, None, deps).await
        }
        Verdict::Done => {
            let ended = Ended::default();
            end(job, attempt, JobState::Completed, &ended, None, deps).await
        }
        Verdict::Cancelled { reason, error } => cancel(job, attempt, reason, &error, deps).await,
        Verdict::Discarded(discard) => {
            let ended = Ended {
                error: Some((&discard.error, &discard.reason)),
                ..Ended::default()
            };
            end(
                job,
                attempt,
                JobState::Discarded,
                &ended,
                Some(&discard),
                deps,
            )
            .await
        }
    };
    if fence == Fence::Lost {
        metrics::counter!("longshore_settles_fenced_total").increment(1);
        tracing::warn!(place = %job.held.place, "another worker has taken the job over; what was spent is recorded as duplicate");
    }
}

async fn cancel(
    job: &Job,
    attempt: Option<AttemptRecord>,
    reason: &str,
    error: &str,
    deps: &Deps,
) -> Fence {
    let ended = Ended {
        error: Some((error, reason)),
        ..Ended::default()
    };
    // The request stands in Redis and goes with the job.
    job.progress().remembered = true;
    end(job, attempt, JobState::Cancelled, &ended, None, deps).await
}

async fn end(
    job: &Job,
    attempt: Option<AttemptRecord>,
    state: JobState,
    ended: &Ended<'_>,
    discard: Option<&Discard>,
    deps: &Deps,
) -> Fence {
    let mut texts = write_end(job, attempt, state, ended, discard, deps.clock.now());
    if let Some(answer) = ended.answer {
        texts.children = spawn(job, &answer.output, deps);
    }
    metrics::counter!("longshore_jobs_ended_total", "state" => state.as_str()).increment(1);
    let ending = Ending {
        attempt: texts.attempt,
        event: &texts.event,
        result: &texts.result,
        reply: texts.reply,
        concurrency: texts.concurrency.as_ref(),
        remembered: texts.remembered,
        letter: texts.letter.as_ref().map(|(id, text)| (id, text.as_str())),
        spent: texts.spent,
        step: texts.step.as_ref().map(StepResult::end),
        children: &texts.children,
    };
    patiently("settle", || {
        deps.broker.settle(&job.held, &texts.id, &ending)
    })
    .await
}

/// What the last step sends.
struct Texts {
    id: JobId,
    attempt: Option<AttemptId>,
    event: String,
    result: String,
    reply: bool,
    concurrency: Option<Concurrency>,
    remembered: bool,
    letter: Option<(JobId, String)>,
    spent: Spent,
    step: Option<StepResult>,
    children: String,
}

/// The jobs that an answer is.
fn spawn(job: &Job, answer: &str, deps: &Deps) -> String {
    let progress = job.progress();
    let Some(envelope) = progress.envelope.as_deref() else {
        return String::new();
    };
    let limits = deps.policy().config.limits;
    children(
        envelope,
        &progress.resume,
        answer,
        &limits,
        deps.clock.now(),
    )
}

fn write_end(
    job: &Job,
    attempt: Option<AttemptRecord>,
    state: JobState,
    ended: &Ended<'_>,
    discard: Option<&Discard>,
    now: DateTime<Utc>,
) -> Texts {
    let progress = job.progress();
    let record = records::job_record(job, &progress, state, now, ended);
    let letter = discard.map(|discard| records::letter(job, &progress, discard, now));
    // A letter of an id that is another job's must not touch that job's row or outcome.
    let foreign = discard.is_some_and(|discard| discard.letter_id.is_some());
    let result = if foreign {
        String::new()
    } else {
        json(&records::outcome(&record, &progress, now))
    };
    Texts {
        id: record.labels.job_id.clone(),
        attempt: attempt.as_ref().map(|attempt| attempt.attempt_id),
        result,
        reply: progress
            .envelope
            .as_ref()
            .is_some_and(|envelope| envelope.reply),
        concurrency: progress.concurrency().cloned(),
        remembered: progress.remembered,
        spent: progress.spent,
        step: step_result(&progress.resume, &record),
        children: String::new(),
        letter: letter
            .as_ref()
            .map(|letter| (letter.record.id.clone(), json(letter))),
        event: json(&Event {
            job: (!foreign).then_some(record),
            attempt,
            dead: letter.map(|letter| letter.record),
            ..Event::default()
        }),
    }
}

async fn park(
    job: &Job,
    attempt: Option<AttemptRecord>,
    due: DateTime<Utc>,
    until: Wait,
    deps: &Deps,
) -> Fence {
    let state = match until {
        Wait::Time | Wait::Version => JobState::Scheduled,
        Wait::Retry => JobState::Retryable,
    };
    let now = deps.clock.now();
    let aside = Aside::of(
        job,
        &job.progress(),
        attempt.as_ref(),
        state,
        Some(due),
        now,
    );
    let parking = Parking {
        attempt: attempt.as_ref().map(|attempt| attempt.attempt_id),
        event: &aside.event,
        for_version: until == Wait::Version,
        due,
        concurrency: aside.concurrency.as_ref(),
        resume: &aside.resume,
        spent: aside.spent,
    };
    match patiently("park", || deps.broker.park(&job.held, &aside.id, &parking)).await {
        Parked::Yes => Fence::Held,
        Parked::Lost => Fence::Lost,
        Parked::Cancelled => cancel_on_request(job, attempt, deps).await,
    }
}

/// Ends a job that somebody asked to cancel before it could be laid aside.
pub(crate) async fn cancel_on_request(
    job: &Job,
    attempt: Option<AttemptRecord>,
    deps: &Deps,
) -> Fence {
    cancel(job, attempt, "cancelled", "cancelled on request", deps).await
}

pub(crate) async fn hand_back(job: &Job, attempt: Option<AttemptRecord>, deps: &Deps) -> Fence {
    let attempt_id = attempt.as_ref().map(|attempt| attempt.attempt_id);
    let (resume, spent, labels) = {
        let progress = job.progress();
        let resume = if progress.remembered {
            json(&progress.resume)
        } else {
            String::new()
        };
        (resume, progress.spent, progress.labels(&job.held))
    };
    let event = attempt.map_or_else(String::new, |attempt| {
        json(&Event {
            attempt: Some(AttemptRecord {
                labels: Some(labels),
                ..attempt
            }),
            ..Event::default()
        })
    });
    patiently("hand back", || {
        deps.broker
            .hand_back(&job.held, attempt_id, &event, &resume, spent)
    })
    .await
}

/// Takes the open attempt into the figures.
pub(crate) fn close(progress: &mut Progress) -> Option<AttemptRecord> {
    let attempt = progress.open.take()?;
    let remembered = progress.remembered;
    progress.count(&attempt);
    // An answered job leaves nothing behind but what was there before.
    if attempt.outcome == AttemptOutcome::Completed {
        progress.remembered = remembered;
    }
    Some(attempt)
}

/// As long as most records are.
const TYPICAL_JSON: usize = 1024;

/// Our own records always have a JSON form; should one not, the step says so instead of falling over.
pub(crate) fn json<T: serde::Serialize>(record: &T) -> String {
    let mut text = Vec::with_capacity(TYPICAL_JSON);
    let written = serde_json::to_writer(&mut text, record).map_err(|error| error.to_string());
    written
        .and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()))
        .unwrap_or_else(|error| {
            tracing::error!("a record has no JSON form: {error}");
            String::new()
        })
}
