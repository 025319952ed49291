//! Deletes the meters of limits of queues that the configuration no longer has.

use std::{collections::BTreeSet, time::Instant};

use longshore_broker::{Broker, BrokerError};
use longshore_policy::limits::Meters;

use super::APPLIED_AFTER;

/// The meters of the limits of queues, by the configuration.
#[derive(Default)]
pub(super) struct QueueMeters {
    known: Option<Known>,
}

struct Known {
    meters: BTreeSet<String>,
    since: Instant,
    /// Whether others were deleted.
    is_alone: bool,
}

impl QueueMeters {
    /// Notes the meters, and deletes all others once every process has applied the configuration.
    pub(super) async fn follow(
        &mut self,
        broker: &Broker,
        meters: &Meters,
    ) -> Result<(), BrokerError> {
        let meters = meters.queue_meters();
        if self
            .known
            .as_ref()
            .is_none_or(|known| known.meters != meters)
        {
            broker.limits().note_queue_meters(&meters).await?;
            self.known = Some(Known {
                meters,
                since: Instant::now(),
                is_alone: false,
            });
        }
        if let Some(known) = &mut self.known
            && !known.is_alone
            && known.since.elapsed() >= APPLIED_AFTER
        {
            broker.limits().keep_queue_meters(&known.meters).await?;
            known.is_alone = true;
        }
        Ok(())
    }
}
