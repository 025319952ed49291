//! Reservations: what calls reserve of meters, and what they consume.

use longshore_policy::limits::MeterAmount;
use longshore_protocol::{
    checkpoint::Checkpoint,
    envelope::Concurrency,
    event::Event,
    id::{AttemptId, JobId},
    serialized::Serialized,
    string_enum,
};

use crate::{
    BrokerError, Deliveries, Delivery,
    deliveries::{
        Turn, attempt_argument, concurrency_key, concurrency_limit, flag, journal::JournalEntry,
    },
    scripts,
};

/// What a call reserves of meters, as the scripts read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeterAmounts(String);

impl MeterAmounts {
    /// The amounts of a call; nothing if the list is empty.
    pub fn new(amounts: &[MeterAmount]) -> Self {
        if amounts.is_empty() {
            return Self::default();
        }
        let list: Vec<serde_json::Value> = amounts.iter().map(MeterAmount::to_json).collect();
        Self(serde_json::Value::Array(list).to_string())
    }

    /// Whether no meter limits the call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an attempt consumed of its reservation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consumed {
    /// It reserved nothing.
    #[default]
    NothingTaken,
    /// Unknown: the whole reservation counts as consumed.
    Unknown,
    /// These amounts.
    Known {
        /// Tokens of prompt and answer.
        tokens: u64,
        /// Requests that the provider counts: 0 or 1.
        requests: u64,
        /// The cost in nano-dollars, rounded up.
        nanos: u64,
        /// Whether the provider answered.
        answered: bool,
    },
}

impl Consumed {
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

/// A candidate for an attempt.
#[derive(Debug)]
pub struct ReservationCandidate {
    /// The event to record if the worker dies during this call.
    pub event_if_lost: Option<Serialized<Event>>,
    /// What the call reserves of meters.
    pub amounts: MeterAmounts,
    /// Whether it is only for jobs that an exhausted budget sends to free models.
    pub spare: bool,
}

/// An attempt on the first candidate that has room.
#[derive(Debug)]
pub struct Reservation<'a> {
    pub job: &'a JobId,
    pub attempt: AttemptId,
    /// The concurrency key that the attempt needs a slot of.
    pub concurrency: Option<&'a Concurrency>,
    /// The checkpoint to park the job with for its key.
    pub checkpoint_for_key: Option<&'a Serialized<Checkpoint>>,
    /// The checkpoint to park the job with for a limit.
    pub checkpoint_for_limit: Option<&'a Serialized<Checkpoint>>,
    /// Whether the job comes from the lane of a limit.
    pub waited: bool,
    /// The candidates, in order of preference.
    pub candidates: &'a [ReservationCandidate],
}

string_enum! {
    /// Which other jobs are parked when one is parked for a limit.
    AlsoParked {
        /// All: nothing is left of the limit.
        All = "all",
        /// Those that take more than what is left.
        Larger = "larger",
        /// None: the limit is one tenant's or one chain's.
        None = "none",
    }
}

/// The result of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The attempt of this candidate (from 0) is journaled.
    Yes(usize, Turn),
    /// Another worker holds the entry.
    Lost,
    /// The cancellation of the job is requested.
    Cancelled,
    /// Parked for its concurrency key.
    Parked,
    /// Parked for a limit.
    Waits {
        /// When there may be room, in ms since 1970.
        at_ms: i64,
        /// Which other jobs with these candidates would be parked too.
        also_parked: AlsoParked,
        /// The meter of the limit.
        meter: String,
        /// How many jobs are parked for it.
        waiting: u64,
    },
    /// The call needs more than this meter's limit ever allows, and so it is with every candidate.
    Never(String),
    /// This budget is exhausted, and its `at_limit` says that the job ends.
    Refused(String),
}

impl Reserved {
    fn from_reply(reply: &[String]) -> Result<Self, BrokerError> {
        let words: Vec<&str> = reply.iter().map(String::as_str).collect();
        Self::parse(&words).ok_or_else(|| BrokerError::unexpected_reply("reserve", words.join(" ")))
    }

    fn parse(words: &[&str]) -> Option<Self> {
        Some(match *words {
            ["ok", candidate, wait_ms, reserved_at] => {
                Self::Yes(candidate.parse().ok()?, Turn::parse(wait_ms, reserved_at)?)
            }
            ["gone"] => Self::Lost,
            ["cancelled"] => Self::Cancelled,
            ["parked"] => Self::Parked,
            ["waits", at_ms, also_parked, meter, waiting] => Self::Waits {
                at_ms: at_ms.parse().ok()?,
                also_parked: AlsoParked::from_name(also_parked)?,
                meter: meter.to_owned(),
                waiting: waiting.parse().ok()?,
            },
            ["never", meter] => Self::Never(meter.to_owned()),
            ["refused", meter] => Self::Refused(meter.to_owned()),
            _ => return None,
        })
    }
}

impl Deliveries<'_> {
    /// Reserves the amounts of the first candidate that has room and journals the attempt; parks the job if none
    /// has room.
    pub async fn reserve(
        self,
        delivery: &Delivery,
        reservation: &Reservation<'_>,
    ) -> Result<Reserved, BrokerError> {
        let mut call = scripts::RESERVE.key(self.broker.keys().inflight());
        call.arg(self.broker.keys().prefix())
            .arg(delivery.queue.as_str())
            .arg(&delivery.entry)
            .arg(delivery.worker.as_str())
            .arg(reservation.job.as_str())
            .arg(attempt_argument(Some(reservation.attempt)))
            .arg(concurrency_key(reservation.concurrency))
            .arg(concurrency_limit(reservation.concurrency))
            .arg(Serialized::argument(reservation.checkpoint_for_key))
            .arg(Serialized::argument(reservation.checkpoint_for_limit))
            .arg(flag(reservation.waited, "1"))
            .arg(self.broker.parked_argument(delivery)?);
        for candidate in reservation.candidates {
            let entry = JournalEntry {
                attempt: Some(reservation.attempt),
                worker: &delivery.worker,
                key: concurrency_key(reservation.concurrency),
                amounts: candidate.amounts.as_str(),
                event: Serialized::argument(candidate.event_if_lost.as_ref()),
            };
            call.arg(entry.to_string())
                .arg(candidate.amounts.as_str())
                .arg(flag(candidate.spare, "1"));
        }
        let reply: Vec<String> = self.broker.run(&call).await?;
        Reserved::from_reply(&reply)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::scripts::tests::check_replies;

    #[test]
    fn every_reply_of_reserve_is_parsed() {
        let waits = Reserved::Waits {
            at_ms: 1_700_000_000_000,
            also_parked: AlsoParked::All,
            meter: "rpm:openai".to_owned(),
            waiting: 2,
        };
        let turn = Turn {
            wait: Duration::from_millis(250),
            reserved_at: DateTime::from_timestamp(1_700_000_000, 0),
        };
        let cases = [
            (
                vec!["ok", "1", "250", "1700000000000"],
                Reserved::Yes(1, turn),
            ),
            (vec!["gone"], Reserved::Lost),
            (vec!["cancelled"], Reserved::Cancelled),
            (vec!["parked"], Reserved::Parked),
            (
                vec!["waits", "1700000000000", "all", "rpm:openai", "2"],
                waits,
            ),
            (
                vec!["never", "budget:day"],
                Reserved::Never("budget:day".to_owned()),
            ),
            (
                vec!["refused", "budget:day"],
                Reserved::Refused("budget:day".to_owned()),
            ),
        ];
        check_replies("reserve", &cases, Reserved::from_reply);
    }
}
