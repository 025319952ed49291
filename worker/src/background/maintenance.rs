//! Maintenance of a worker: measures the clock, refreshes account holds, and recovers the entries of dead
//! workers if no scheduler does.

use std::{sync::Arc, time::Duration};

use longshore_broker::BrokerError;

use crate::context::Context;

/// Schedulers recover every second; a worker does in case none runs.
const EVERY: Duration = Duration::from_secs(3);

/// Runs until the worker drains.
pub(crate) async fn run(context: Arc<Context>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = context.drain.cancelled() => return,
        }
        if let Err(error) = run_once(&context).await {
            tracing::warn!("worker maintenance failed: {error}; retrying in {EVERY:?}");
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("longshore_jobs_in_flight").set(context.in_flight.count() as f64);
    }
}

async fn run_once(context: &Context) -> Result<(), BrokerError> {
    let broker = &context.broker;
    context.clock.measure(broker).await?;
    let account_holds = &context.availability.account_holds;
    account_holds.refresh(broker, context.clock.now()).await?;
    if broker.leader().is_elected().await? {
        return Ok(());
    }
    for queue in &context.config.queues {
        let recovered = broker.workers().recover(queue).await?;
        if recovered.entries > 0 {
            tracing::warn!(
                %queue,
                workers = recovered.workers,
                entries = recovered.entries,
                lost = recovered.lost,
                "entries of dead workers recovered"
            );
        }
    }
    Ok(())
}
