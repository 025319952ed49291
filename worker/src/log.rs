//! The log lines about single jobs: one function for each event, so that a kind of event has the same fields
//! everywhere.
//!
//! A line says which job, where, and the class of the error. The text of an error is in the ledger and never here: a
//! provider may quote the prompt in it.

mod budget;

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use longshore_policy::capabilities::Capability;
use longshore_protocol::event::AttemptRecord;
use tracing::field::{DisplayValue, display};

use self::budget::Budget;
use crate::{
    call::FailedCall,
    disposition::{Discard, WaitsFor},
    job::{Job, Progress},
    retry::NextRound,
};

/// Why a job is parked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// It waits for its time, its next attempt, a platform or a newer worker.
    Time(WaitsFor),
    /// This limit has no capacity.
    Limit(&'a str),
    /// Its concurrency key has no free slot.
    ConcurrencyKey,
    /// What this lane names is paused.
    Paused(&'a str),
}

/// Writes the lines, as far as their budgets allow: one cause may concern thousands of jobs.
#[derive(Debug)]
pub(crate) struct JobLog {
    failed_attempts: Budget,
    fallbacks: Budget,
    parked: Budget,
    dead_letters: Budget,
}

impl Default for JobLog {
    fn default() -> Self {
        Self {
            failed_attempts: Budget::of("failed attempts"),
            fallbacks: Budget::of("fallbacks"),
            parked: Budget::of("parked jobs"),
            dead_letters: Budget::of("dead letters"),
        }
    }
}

/// Writes an event with the ids of the job first.
macro_rules! job_event {
    ($write:ident, $progress:expr, { $($fields:tt)* }, $($message:tt)+) => {{
        let ids = Ids::of($progress);
        tracing::$write!(
            job_id = ids.job,
            chain_id = ids.chain,
            tenant = ids.tenant,
            trace_id = ids.trace,
            $($fields)*
            $($message)+
        );
    }};
}

impl JobLog {
    /// The job goes to this platform and model, for this reason. Notes whether the last attempt was on another
    /// platform.
    pub(crate) fn routed(&self, progress: &Progress, attempt: &AttemptRecord) {
        let AttemptRecord {
            platform, model, ..
        } = attempt;
        if tracing::enabled!(tracing::Level::DEBUG) {
            job_event!(debug, progress, {
                platform,
                model,
                attempt = attempt.attempt,
                reason = attempt.routing_reason,
            }, "job routed");
        }
        let Some(last) = progress.checkpoint.history.last() else {
            return;
        };
        if last.platform == *platform || !self.fallbacks.may_write() {
            return;
        }
        job_event!(info, progress, {
            platform,
            model,
            from_platform = last.platform,
            from_model = last.model,
            error_class = last.error_class.as_str(),
            attempt = attempt.attempt,
        }, "fallback to another platform");
    }

    /// An attempt failed; `next` is what follows.
    pub(crate) fn attempt_failed(&self, job: &Job, failed: &FailedCall<'_>, next: &NextRound) {
        if !self.failed_attempts.may_write() {
            return;
        }
        let FailedCall {
            candidate, error, ..
        } = failed;
        let (next, retry_in) = match next {
            NextRound::After(wait, _) => ("retry", Some(*wait)),
            NextRound::OtherCandidate => ("next candidate", None),
            NextRound::LargerWindow => ("larger context window", None),
            NextRound::Escalate(_) => ("give up", None),
        };
        let progress = job.progress();
        job_event!(info, &progress, {
            platform = candidate.provider.name.as_str(),
            model = candidate.model.model,
            error_class = error.class.as_str(),
            status = error.status,
            attempt = progress.checkpoint.attempts,
            retry_in = retry_in.map(|wait| display(Seconds(wait))),
            next,
        }, "attempt failed");
    }

    /// The job is parked, until a time if that is known. What waits in its ordinary course is logged at debug.
    pub(crate) fn parked(
        &self,
        progress: &Progress,
        cause: Cause<'_>,
        until: Option<DateTime<Utc>>,
    ) {
        let last = progress.checkpoint.history.last();
        let platform = last.map(|last| last.platform.as_str());
        let (lane, until) = (cause.lane(), until.map(utc_time));
        if cause.is_ordinary() {
            if tracing::enabled!(tracing::Level::DEBUG) {
                job_event!(debug, progress, { cause = cause.as_str(), lane, until, }, "job parked");
            }
        } else if self.parked.may_write() {
            job_event!(info, progress, {
                cause = cause.as_str(),
                lane,
                until,
                last_platform = platform,
                attempt = progress.checkpoint.attempts,
            }, "job parked");
        }
    }

    /// The job became a dead letter.
    pub(crate) fn dead_letter(&self, job: &Job, discard: &Discard) {
        if !self.dead_letters.may_write() {
            return;
        }
        let progress = job.progress();
        let last = progress.last_called.as_ref();
        job_event!(warn, &progress, {
            queue = %job.delivery.queue.base(),
            platform = last.map(|(platform, _)| platform.as_str()),
            model = last.map(|(_, model)| model.as_str()),
            error_class = discard.reason,
            attempt = progress.checkpoint.attempts,
        }, "job became a dead letter");
    }

    /// Says how many lines were left out since the last call, by kind.
    pub(crate) fn report_left_out(&self) {
        let Self {
            failed_attempts,
            fallbacks,
            parked,
            dead_letters,
        } = self;
        for budget in [failed_attempts, fallbacks, parked, dead_letters] {
            budget.report_left_out();
        }
    }
}

impl<'a> Cause<'a> {
    fn as_str(self) -> &'static str {
        match self {
            Self::Time(WaitsFor::NotBefore) => "its time",
            Self::Time(WaitsFor::Retry) => "retry",
            Self::Time(WaitsFor::Platform) => "no platform is available",
            Self::Time(WaitsFor::NewerWorker) => "needs a newer worker",
            Self::Time(WaitsFor::Recipe) => "its recipe",
            Self::Time(WaitsFor::Person) => "a person",
            Self::Time(WaitsFor::Worker(Capability::Gates)) => "needs a worker that runs gates",
            Self::Time(WaitsFor::Worker(Capability::Tools)) => "needs a worker that runs tools",
            Self::Limit(_) => "limit",
            Self::ConcurrencyKey => "concurrency key",
            Self::Paused(_) => "paused",
        }
    }

    fn lane(self) -> Option<&'a str> {
        match self {
            Self::Limit(lane) | Self::Paused(lane) => Some(lane),
            Self::Time(_) | Self::ConcurrencyKey => None,
        }
    }

    /// Whether the job waits because its producer asked for it.
    fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::Time(WaitsFor::NotBefore | WaitsFor::Recipe) | Self::ConcurrencyKey
        )
    }
}

/// What identifies a job in a line.
struct Ids<'a> {
    job: &'a str,
    chain: Option<String>,
    tenant: Option<&'a str>,
    trace: Option<&'a str>,
}

impl<'a> Ids<'a> {
    fn of(progress: &'a Progress) -> Self {
        let checkpoint = &progress.checkpoint;
        let envelope = progress.envelope.as_deref();
        let step = checkpoint.step.as_deref();
        let chain = envelope.and_then(|envelope| envelope.chain_id.clone());
        let traceparent = envelope.and_then(|envelope| envelope.traceparent.as_deref());
        Self {
            job: checkpoint.id.as_str(),
            chain: chain.or_else(|| step.map(|step| step.chain.to_string())),
            tenant: envelope.and_then(|envelope| envelope.tenant.as_deref()),
            // `00-TRACE-SPAN-FLAGS`
            trace: traceparent.and_then(|text| text.split('-').nth(1)),
        }
    }
}

/// A time as in every other output: UTC, to the second.
pub(crate) fn utc_time(at: DateTime<Utc>) -> DisplayValue<String> {
    display(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// A duration in seconds, to the tenth.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s", self.0.as_secs_f64())
    }
}
