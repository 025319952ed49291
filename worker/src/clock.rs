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

    /// Measures the offset again. Assumes that the reply takes half of the round trip.
    pub async fn measure(&self, broker: &Broker) -> Result<(), BrokerError> {
        let sent = local_time();
        let server = broker.server().time_ms().await?;
        let halfway = sent + (local_time() - sent) / 2;
        self.offset_ms
            .store(server - halfway.timestamp_millis(), Ordering::Relaxed);
        Ok(())
    }
}
