//! Maintenance of a worker: measures the clock, records attempts again that Redis may have lost, refreshes account
//! holds, and recovers the entries of dead workers if no scheduler does.

use std::{sync::Arc, time::Duration};

use longshore_broker::BrokerError;
use longshore_service::instruments::JOBS_IN_FLIGHT;

use crate::context::Context;

/// Schedulers recover every second; a worker does in case none runs.
const EVERY: Duration = Duration::from_secs(3);

/// While Redis uses more of its `maxmemory` than this, in percent, the worker pulls no new jobs. Producers are
/// refused at 100; what runs may exceed it a little, because its end frees memory.
const PULL_BELOW_PERCENT: u64 = 110;

/// Runs until the worker drains.
pub(crate) async fn run(context: Arc<Context>) {
    let mut policies = context.policies.clone();
    loop {
        context.log.report_left_out();
        if let Err(error) = run_once(&context).await {
            tracing::warn!("worker maintenance failed: {error}; retrying in {EVERY:?}");
        }
        publish_gauges(&context);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            // Account holds may be of another key now.
            () = policies.changed() => {}
            () = context.drain.cancelled() => return,
        }
    }
}

fn publish_gauges(context: &Context) {
    JOBS_IN_FLIGHT.set_count([], context.in_flight.count() as u64);
    let policy = context.policy();
    let circuits = &context.availability.circuits;
    circuits.publish_states(&policy.config.catalog);
}

/// Records attempts again that Redis may have lost since the last round; the worker is about to end.
pub(crate) async fn check_recent_attempts(context: &Context) {
    if let Err(error) = context.recent_attempts.check(&context.broker).await {
        tracing::warn!("attempts of the last seconds not checked: {error}");
    }
}

/// Closes the pull gate until the next round if Redis is over its memory limit.
async fn guard_memory(context: &Context) -> Result<(), BrokerError> {
    let memory = context.broker.server().memory().await?;
    if memory.limit == 0 || memory.used / PULL_BELOW_PERCENT < memory.limit / 100 {
        return Ok(());
    }
    tracing::warn!(
        used = memory.used,
        limit = memory.limit,
        "Redis is over its maxmemory; no new jobs are pulled"
    );
    let now_ms = context.clock.now().timestamp_millis();
    let next_round = i64::try_from(2 * EVERY.as_millis()).unwrap_or(i64::MAX);
    context
        .pull_gate
        .close(now_ms, now_ms + next_round, 0, true);
    Ok(())
}

async fn run_once(context: &Context) -> Result<(), BrokerError> {
    let broker = &context.broker;
    context.clock.measure(broker).await?;
    guard_memory(context).await?;
    context.recent_attempts.check(broker).await?;
    let account_holds = &context.availability.account_holds;
    let policy = context.policy();
    let (catalog, now) = (&policy.config.catalog, context.clock.now());
    account_holds.refresh(broker, catalog, now).await?;
    if broker.leader().is_elected().await? {
        return Ok(());
    }
    for queue in &context.config.queue_names() {
        let missing_for = context.config.liveness.missing_for();
        broker.workers().recover(queue, missing_for).await?;
    }
    Ok(())
}
