//! Limits in Redis: what calls take of them, and who waits for room.

use std::time::Duration;

use longshore_policy::limits::Take;
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, JobId},
};

use crate::{
    BrokerError, Deliveries, Held,
    deliveries::{
        attempt_argument, concurrency_key, concurrency_limit, flag, journal::JournalEntry,
    },
    scripts,
};

/// What a call takes of limits, as the scripts read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takes(String);

impl Takes {
    /// Of these limits; none of an empty list.
    pub fn new(takes: &[Take]) -> Self {
        if takes.is_empty() {
            return Self::default();
        }
        let list: Vec<serde_json::Value> = takes.iter().map(Take::to_json).collect();
        Self(serde_json::Value::Array(list).to_string())
    }

    /// Whether nothing limits the call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an attempt came to, for what it took of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spent {
    /// It took nothing.
    #[default]
    NothingTaken,
    /// Nobody knows: then all that was taken counts as spent.
    Unknown,
    /// So much.
    Known {
        /// Tokens of prompt and answer.
        tokens: u64,
        /// Requests that the provider counts: 0 or 1.
        requests: u64,
        /// What it cost, in nano-dollars, rounded up.
        nanos: u64,
        /// Whether it was answered.
        answered: bool,
    },
}

impl Spent {
    pub(super) fn to_lua_argument(self) -> String {
        match self {
            Self::NothingTaken => "-".to_owned(),
            Self::Unknown => String::new(),
            Self::Known {
                tokens,
                requests,
                nanos,
                answered,
            } => format!("[{tokens},{requests},{nanos},{}]", u8::from(answered)),
        }
    }
}

/// One of a job's candidates.
#[derive(Debug)]
pub struct Offer {
    /// What is recorded should the worker die during this call.
    pub event_if_lost: String,
    /// What the call takes of limits.
    pub takes: Takes,
    /// Whether it is only for jobs that a budget, spent, sends to those who cost nothing.
    pub spare: bool,
}

/// An attempt that goes to the first candidate with room.
#[derive(Debug)]
pub struct Reservation<'a> {
    /// Its job.
    pub job: &'a JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The key of which only so many may be in flight.
    pub concurrency: Option<&'a Concurrency>,
    /// What is to be remembered of the job if it waits for its key.
    pub resume: &'a str,
    /// What is to be remembered of it if it waits for a limit.
    pub resume_waiting: &'a str,
    /// Whether it comes out of a limit's lane.
    pub waited: bool,
    /// The candidates, in order.
    pub offers: &'a [Offer],
}

/// Who has room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// This candidate (from 0), whose turn comes after this long; the attempt is journalled.
    Yes(usize, Duration),
    /// Another worker has the job.
    Lost,
    /// Somebody asked for it to be cancelled.
    Cancelled,
    /// It waits in the lane of its concurrency key.
    Parked,
    /// It waits in the lane of a limit.
    Waits {
        /// When there may be room, in ms since the epoch.
        at_ms: i64,
        /// Whether any other job of these candidates would have to wait as well.
        for_all: bool,
        /// The limit.
        meter: String,
        /// How many wait for it.
        waiting: u64,
    },
    /// The call takes more than this limit ever allows, and so it is with every candidate.
    Never(String),
    /// This budget is spent, and says that the job ends here.
    Refused(String),
}

impl Deliveries<'_> {
    /// Takes what the first candidate with room takes, and journals the attempt; lays the job aside if
    /// there is none.
    pub async fn reserve(
        self,
        held: &Held,
        reservation: &Reservation<'_>,
    ) -> Result<Reserved, BrokerError> {
        let mut call = scripts::RESERVE.key(self.broker.keys().inflight());
        call.arg(self.broker.keys().prefix())
            .arg(held.queue.as_str())
            .arg(&held.entry)
            .arg(held.worker.as_str())
            .arg(reservation.job.as_str())
            .arg(attempt_argument(Some(reservation.attempt)))
            .arg(concurrency_key(reservation.concurrency))
            .arg(concurrency_limit(reservation.concurrency))
            .arg(reservation.resume)
            .arg(reservation.resume_waiting)
            .arg(flag(reservation.waited, "1"));
        for offer in reservation.offers {
            let entry = JournalEntry {
                attempt: Some(reservation.attempt),
                worker: &held.worker,
                key: concurrency_key(reservation.concurrency),
                takes: offer.takes.as_str(),
                event: &offer.event_if_lost,
            };
            call.arg(entry.to_string())
                .arg(offer.takes.as_str())
                .arg(flag(offer.spare, "1"));
        }
        let answer: Vec<String> = self.broker.run(&call).await?;
        Ok(reserved(&answer))
    }
}

fn reserved(answer: &[String]) -> Reserved {
    let word = |at: usize| answer.get(at).map_or("", String::as_str);
    match word(0) {
        "ok" => Reserved::Yes(
            word(1).parse().unwrap_or_default(),
            Duration::from_millis(word(2).parse().unwrap_or_default()),
        ),
        "cancelled" => Reserved::Cancelled,
        "parked" => Reserved::Parked,
        "waits" => Reserved::Waits {
            at_ms: word(1).parse().unwrap_or_default(),
            for_all: word(2) == "1",
            meter: word(3).to_owned(),
            waiting: word(4).parse().unwrap_or_default(),
        },
        "never" => Reserved::Never(word(1).to_owned()),
        "refused" => Reserved::Refused(word(1).to_owned()),
        _ => Reserved::Lost,
    }
}
