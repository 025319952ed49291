//! The result of running a job, which decides what happens to it. The settle stage turns it into one atomic
//! step.

use std::{fmt, ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use longshore_policy::{capabilities::Capability, pause::PausedLane};
use longshore_protocol::{call::Answer, dead_letter::StoredMessage, id::JobId};

/// What a stage comes to: a value with which the job continues, or the disposition that ends its run here.
pub(crate) type Stage<T> = ControlFlow<Disposition, T>;

/// How long a job is parked that this worker may not or cannot run.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The result of running a job. Its `Debug` form omits answers, because it goes to the logs.
pub(crate) enum Disposition {
    /// A provider answered: the job completes.
    Answered(Answer),
    /// The job completes without an answer.
    Done,
    /// The job is given up and leaves a dead letter.
    Discarded(Discard),
    /// The job was stopped: on request, because its key was taken, or because its condition does not hold.
    Cancelled {
        /// A code: `cancelled`, `duplicate` or `skipped`.
        reason: &'static str,
        /// For people.
        error: String,
    },
    /// The job is parked until a time.
    Parked {
        due: DateTime<Utc>,
        waits_for: WaitsFor,
    },
    /// The job is parked until what its lane names is resumed.
    Paused(PausedLane),
    /// The job goes back to its queue, for another worker to run at once.
    HandedBack,
    /// Nothing is left to settle: the job was parked, dropped or lost within another step.
    Gone,
}

impl Disposition {
    /// Parks a job that this worker may not or cannot run. A worker takes it again soon.
    pub(crate) fn looked_at_again(waits_for: WaitsFor, now: DateTime<Utc>) -> Self {
        Self::Parked {
            due: now + LOOK_AGAIN,
            waits_for,
        }
    }

    /// The disposition of a job that somebody asked to cancel.
    pub(crate) fn cancelled_on_request() -> Self {
        Self::Cancelled {
            reason: "cancelled",
            error: "cancelled on request".to_owned(),
        }
    }
}

impl fmt::Debug for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => write!(f, "Answered({} tokens)", answer.usage.total_output()),
            Self::Done => f.write_str("Done"),
            Self::Discarded(discard) => write!(f, "Discarded({})", discard.reason),
            Self::Cancelled { reason, .. } => write!(f, "Cancelled({reason})"),
            Self::Parked { due, waits_for } => write!(f, "Parked({waits_for:?}, {due})"),
            Self::Paused(lane) => write!(f, "Paused({})", lane.as_str()),
            Self::HandedBack => f.write_str("HandedBack"),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// What a job that is parked until a time waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The time before which its producer does not want it to run.
    NotBefore,
    /// Its next attempt.
    Retry,
    /// A platform that may answer it: all are held, or their circuits are open.
    Platform,
    /// A worker that knows a newer protocol version.
    NewerWorker,
    /// The end of the chain of its recipe.
    Recipe,
    /// The decision of a person.
    Person,
    /// A worker that can do this.
    Worker(Capability),
}

/// Why a job is given up.
#[derive(Debug)]
pub(crate) struct Discard {
    /// A code of `docs/PROTOCOL.md`, `exhausted`, `poison`, `expired` or an error class.
    pub(crate) reason: String,
    /// The exact reason, for people.
    pub(crate) error: String,
    /// The dead letter's own id, if the job's id belongs to another job.
    pub(crate) dead_letter_id: Option<JobId>,
    /// The part of the message to keep; `None` keeps all of it.
    pub(crate) kept: Option<StoredMessage>,
    /// The last answer of a job that fails although it has one.
    pub(crate) answer: Option<Box<Answer>>,
}

impl Discard {
    /// Keeps the whole message.
    pub(crate) fn new(reason: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            error: error.into(),
            dead_letter_id: None,
            kept: None,
            answer: None,
        }
    }
}

impl From<Discard> for Disposition {
    fn from(discard: Discard) -> Self {
        Self::Discarded(discard)
    }
}

/// Ends the run of a job that lacks a value: `find(…).or_dispose()?`.
pub(crate) trait OrDispose<T> {
    fn or_dispose(self) -> Stage<T>;
}

impl<T, D: Into<Disposition>> OrDispose<T> for Result<T, D> {
    fn or_dispose(self) -> Stage<T> {
        match self {
            Ok(value) => ControlFlow::Continue(value),
            Err(disposition) => ControlFlow::Break(disposition.into()),
        }
    }
}
