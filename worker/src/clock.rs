//! The server's clock: due times and receipts are told by it, and a worker's own may be wrong.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError};

/// Tells the server's time from the local clock and the measured difference.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The server's time in whole milliseconds, as well as it is known.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now() + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed));
        now.trunc_subsecs(3)
    }

    /// Measures the difference again. Half of the way there and back is taken as the way back.
    pub async fn measure(&self, broker: &Broker) -> Result<(), BrokerError> {
        let asked = Utc::now();
        let server = broker.server_time_ms().await?;
        let halfway = asked + (Utc::now() - asked) / 2;
        self.ahead_ms
            .store(server - halfway.timestamp_millis(), Ordering::Relaxed);
        Ok(())
    }
}
