//! What a run of a job came to; the settling layer turns it into one atomic step.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_policy::pause::PausedLane;
use longshore_protocol::{call::Answer, dead_letter::Kept, id::JobId};

/// What a run of a job came to. Its `Debug` form keeps answers to itself: it goes to the logs.
pub enum Verdict {
    /// It is answered.
    Answered(Answer),
    /// What it was to do is done; there is no answer.
    Done,
    /// It is given up, and leaves a dead letter.
    Discarded(Discard),
    /// It was stopped: on request, or because its key was taken.
    Cancelled {
        /// `cancelled` or `duplicate`.
        reason: &'static str,
        /// For people.
        error: String,
    },
    /// It goes on later.
    Parked {
        /// When.
        due: DateTime<Utc>,
        /// What it waits for.
        until: Wait,
    },
    /// It goes on when what its lane names is resumed.
    Paused(PausedLane),
    /// Somebody else is to run it, at once.
    HandedBack,
    /// There is nothing left to do: it was parked, dropped or lost within another step.
    Gone,
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => write!(f, "Answered({} tokens)", answer.usage.total_output()),
            Self::Done => f.write_str("Done"),
            Self::Discarded(discard) => write!(f, "Discarded({})", discard.reason),
            Self::Cancelled { reason, .. } => write!(f, "Cancelled({reason})"),
            Self::Parked { due, until } => write!(f, "Parked({until:?}, {due})"),
            Self::Paused(lane) => write!(f, "Paused({})", lane.as_str()),
            Self::HandedBack => f.write_str("HandedBack"),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// What a parked job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Its own time.
    Time,
    /// The time of its next attempt.
    Retry,
    /// A worker of a newer protocol.
    Version,
}

/// Why a job is given up.
#[derive(Debug)]
pub struct Discard {
    /// A code of `docs/PROTOCOL.md`, `exhausted`, `poison`, `expired` or an error class.
    pub reason: String,
    /// The exact reason, for people.
    pub error: String,
    /// The letter's own id, where the job's belongs to another.
    pub letter_id: Option<JobId>,
    /// What is kept of the message; all of it unless it was too large.
    pub kept: Option<Kept>,
}

impl Discard {
    /// With the whole message kept.
    pub fn new(reason: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            error: error.into(),
            letter_id: None,
            kept: None,
        }
    }
}

impl From<Discard> for Verdict {
    fn from(discard: Discard) -> Self {
        Self::Discarded(discard)
    }
}
