//! The clock of the Redis server: due times and receipts follow it, because a worker's own clock may be wrong.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_protocol::clock::local_time;

/// Derives the server's time from the local clock and the measured offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The server's time as of the last measurement, in whole milliseconds.
    pub fn now(&self) -> DateTime<Utc> {
        let now = local_time() + TimeDelta::milliseconds(self.offset_ms.load(Ordering::Relaxed));
        now.trunc_subsecs(3)
    }

    /// Measures the offset again.
    pub async fn measure(&self, broker: &Broker) -> Result<(), BrokerError> {
        let sent = local_time();
        let server_ms = broker.server().time_ms().await?;
        let received = local_time();
        self.correct(
            sent.timestamp_millis(),
            server_ms,
            received.timestamp_millis(),
        );
        Ok(())
    }

    /// Moves the clock forward to a time that the server's clock has passed.
    pub(crate) fn advance_to(&self, past: DateTime<Utc>) {
        let least = past.timestamp_millis() - local_time().timestamp_millis();
        self.offset_ms.fetch_max(least, Ordering::Relaxed);
    }

    /// The server read its clock between `sent_ms` and `received_ms`, nothing more is known. So the offset changes only
    /// if that proves it wrong: a reply that took seconds, because Redis stalled, says little.
    fn correct(&self, sent_ms: i64, server_ms: i64, received_ms: i64) {
        // A local clock that is set back between the two makes the first bound the greater.
        let (least, most) = (server_ms - received_ms, server_ms - sent_ms);
        let offset_ms = self.offset_ms.load(Ordering::Relaxed);
        let corrected = offset_ms.max(least).min(most.max(least));
        self.offset_ms.store(corrected, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrected(before: i64, sent_ms: i64, server_ms: i64, received_ms: i64) -> i64 {
        let clock = Clock::default();
        clock.offset_ms.store(before, Ordering::Relaxed);
        clock.correct(sent_ms, server_ms, received_ms);
        clock.offset_ms.load(Ordering::Relaxed)
    }

    #[test]
    fn a_quick_reply_corrects_the_offset() {
        assert_eq!(corrected(0, 1000, 91_000, 1001), 89_999);
        assert_eq!(corrected(90_000, 1000, 1000, 1001), 0);
    }

    #[test]
    fn a_reply_that_took_seconds_does_not_spoil_it() {
        // The server read its clock at the end of the round trip, or at its start.
        assert_eq!(corrected(0, 1000, 5000, 5000), 0);
        assert_eq!(corrected(0, 1000, 1000, 5000), 0);
        assert_eq!(corrected(90_000, 1000, 95_000, 5000), 90_000);
    }

    #[test]
    fn a_slow_reply_still_shows_a_clock_that_is_far_off() {
        assert_eq!(corrected(0, 1000, 95_000, 5000), 90_000);
    }

    #[test]
    fn a_time_of_the_server_is_past() {
        let clock = Clock::default();
        let early = local_time() - TimeDelta::seconds(5);
        clock.advance_to(early);
        assert!(
            clock.now() < early + TimeDelta::seconds(6),
            "it is no bound"
        );
        let late = (local_time() + TimeDelta::seconds(5)).trunc_subsecs(3);
        clock.advance_to(late);
        assert!(clock.now() >= late);
        assert!(clock.now() < late + TimeDelta::seconds(1));
    }

    #[test]
    fn a_clock_that_is_set_back_meanwhile_does_no_harm() {
        assert_eq!(corrected(0, 5000, 5000, 1000), 4000);
    }
}
