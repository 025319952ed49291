//! Pull: takes jobs from Redis and hands them to apalis.

pub(crate) mod backend;
pub(crate) mod reader;
mod tenants;

use longshore_broker::{Consumed, Delivery};

use crate::{backoff::retry_until_answered, context::Context};

/// Returns an entry that was delivered but not started to its queue.
async fn return_entry(context: &Context, delivery: &Delivery) {
    // If the fence is lost, another worker has the entry already.
    let _fence = retry_until_answered("hand back entry", || {
        context
            .broker
            .deliveries()
            .hand_back(delivery, None, None, None, Consumed::NothingTaken)
    })
    .await;
}
