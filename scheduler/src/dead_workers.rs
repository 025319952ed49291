//! Recovers the entries of dead workers: they return to their queues.

use std::time::Duration;

use longshore_broker::{Broker, BrokerError};
use longshore_service::instruments::ATTEMPTS_LOST;
use longshore_service::live_config::LiveConfig;

use crate::duty::Timer;

pub(crate) struct DeadWorkers {
    timer: Timer,
}

impl DeadWorkers {
    pub(crate) fn recovered_every(interval: Duration) -> Self {
        Self {
            timer: Timer::every(interval),
        }
    }

    /// Returns the entries of workers whose heartbeat is missing, if it is time to.
    pub(crate) async fn recover(
        &mut self,
        broker: &Broker,
        live: &LiveConfig,
    ) -> Result<(), BrokerError> {
        if !self.timer.is_due() {
            return Ok(());
        }
        let missing_for = live.current().liveness.missing_for();
        for queue in &broker.queues().registered().await? {
            let recovered = broker.workers().recover(queue, missing_for).await?;
            ATTEMPTS_LOST.add([], recovered.lost as u64);
        }
        Ok(())
    }
}
