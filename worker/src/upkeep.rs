//! What a worker does now and then: tells the time, and looks after the dead where no scheduler does.

use std::{sync::Arc, time::Duration};

use longshore_broker::BrokerError;

use crate::deps::Deps;

/// Schedulers look every second; a worker is there in case that none runs.
const EVERY: Duration = Duration::from_secs(3);

/// Runs until the worker drains.
pub(crate) async fn keep_up(deps: Arc<Deps>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = deps.drain.cancelled() => return,
        }
        if let Err(error) = once(&deps).await {
            tracing::warn!("upkeep: {error}");
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("longshore_jobs_in_flight").set(deps.hands.count() as f64);
    }
}

async fn once(deps: &Deps) -> Result<(), BrokerError> {
    deps.clock.measure(&deps.broker).await?;
    deps.accounts.learn(&deps.broker, deps.clock.now()).await?;
    if deps.broker.is_led().await? {
        return Ok(());
    }
    for queue in &deps.config.queues {
        let recovered = deps.broker.recover(queue).await?;
        if recovered.entries > 0 {
            tracing::warn!(
                %queue,
                workers = recovered.workers,
                entries = recovered.entries,
                lost = recovered.lost,
                "recovered what dead workers left"
            );
        }
    }
    Ok(())
}
