//! Maintenance: returns orphaned resources, makes partitions of the ledger, deletes its old rows, and expires cancel
//! requests.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError, OrphansRemoved};
use longshore_ledger::{Ledger, LedgerError, Prunable};
use longshore_policy::retention::Retention;
use longshore_protocol::clock::local_time;
use longshore_service::instruments::ORPHANS;

use crate::duty::{Background, Leading, Timer};

/// The pause between two steps, so that neither Redis nor Postgres slows down.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// Rows or events that one step deletes.
const BATCH: u32 = 1_000;

/// How long a cancel request stays: no job waits that long for its first delivery.
const CANCEL_REQUEST_MS: i64 = 7 * 24 * 3600 * 1000;

/// Why old rows stay.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Returns resources that belong to no job, every `interval`: journal entries, slots, and ids in lanes.
pub(crate) async fn sweep_orphans(background: Background, interval: Duration) {
    let mut timer = Timer::every(interval);
    while background.next_run(&mut timer).await {
        match sweep_once(&background.broker, &background.leading).await {
            Ok(swept) => report_swept(&swept),
            Err(error) => {
                tracing::warn!("orphan sweep failed: {error}; retrying in {interval:?}");
            }
        }
    }
}

async fn sweep_once(broker: &Broker, leading: &Leading) -> Result<OrphansRemoved, BrokerError> {
    let (mut sweeping, mut swept) = broker.maintenance().begin_sweep().await?;
    while !sweeping.is_over() && leading.get() {
        swept = swept.and(broker.maintenance().continue_sweep(&mut sweeping).await?);
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(swept)
}

fn report_swept(swept: &OrphansRemoved) {
    if swept.is_empty() {
        return;
    }
    let orphans = swept.journal.len() + swept.slots.len() + swept.holders.len();
    if orphans > 0 {
        ORPHANS.add([], orphans as u64);
        tracing::warn!(
            attempts = ?swept.journal,
            slots = ?swept.slots,
            concurrency_keys = ?swept.holders,
            "orphaned resources released; keys may have been deleted by hand"
        );
    }
    if !swept.replies.is_empty() {
        tracing::warn!(
            ids = ?swept.replies,
            "replies cannot be sent: their jobs were removed before they ended"
        );
    }
    tracing::info!(
        checkpoints = swept.memory.len(),
        lane_ids = swept.lane_ids,
        recorders = swept.recorders,
        "orphan sweep removed leftovers"
    );
}

/// Makes the partitions of the next months, and deletes rows and rejected events that are older than their retention,
/// every `interval`.
pub(crate) async fn prune_ledger(background: Background, interval: Duration) {
    let mut timer = Timer::every(interval);
    while background.next_run(&mut timer).await {
        let config = background.config.current();
        let prune = prune_once(&background, &config.retention, local_time());
        if let Some(Err(error)) = background.stop.run_until_cancelled(prune).await {
            tracing::warn!("pruning of the ledger failed: {error}; retrying in {interval:?}");
        }
    }
}

async fn prune_once(
    background: &Background,
    retention: &Retention,
    now: DateTime<Utc>,
) -> Result<(), PruneError> {
    let Background {
        broker,
        ledger,
        leading,
        ..
    } = background;
    make_partitions(ledger, now).await;
    complete_cost_totals(ledger, leading).await?;
    let cutoff = |keep: Duration| TimeDelta::from_std(keep).ok().map(|keep| now - keep);
    for (rows, keep) in [
        (Prunable::Jobs, retention.jobs),
        (Prunable::Chains, retention.jobs),
        (Prunable::Reviews, retention.jobs),
        (Prunable::DroppedMessages, retention.jobs),
        (Prunable::Attempts, retention.attempts),
        (Prunable::CostTotals, retention.costs),
        (Prunable::Windows, retention.attempts),
        (Prunable::Alerts, retention.attempts),
        (Prunable::DeadLetters, retention.dead_letters_archive),
        (Prunable::Audit, retention.audit),
    ] {
        if let Some(before) = keep.and_then(cutoff) {
            if rows == Prunable::Attempts {
                drop_partitions(ledger, before, leading).await;
            }
            prune_rows(ledger, rows, before, leading).await?;
        }
    }
    if let Some(before) = retention.events_bad.and_then(cutoff) {
        prune_bad_events(broker, before, leading).await?;
    }
    Ok(())
}

/// Makes the partitions of the next months. Nothing depends on them yet if that fails, for example because the user of
/// the database does not own the tables.
async fn make_partitions(ledger: &Ledger, now: DateTime<Utc>) {
    if let Err(error) = ledger.make_attempt_partitions(now).await {
        tracing::warn!(
            "making partitions of attempts failed: {error}; attempts without one go to `attempts_default`"
        );
    }
}

/// Adds the attempts of earlier releases to the totals of costs, newest first. An interrupted run continues where it
/// stopped.
async fn complete_cost_totals(ledger: &Ledger, leading: &Leading) -> Result<(), LedgerError> {
    let mut hours = 0_u64;
    while leading.get() && ledger.extend_cost_totals().await? {
        hours += 1;
        tokio::time::sleep(STEP_PAUSE).await;
    }
    if hours > 0 {
        tracing::info!(
            hours,
            "attempts of earlier releases added to the totals of costs"
        );
    }
    Ok(())
}

/// Drops the partitions of attempts that are past as a whole. Of those that remain, the next run tries again.
async fn drop_partitions(ledger: &Ledger, before: DateTime<Utc>, leading: &Leading) {
    while leading.get() {
        match ledger.drop_attempt_partition(before).await {
            Ok(None) => break,
            Ok(Some(name)) => {
                tracing::info!(partition = name, %before, "old attempts deleted from the ledger");
            }
            Err(error) => {
                tracing::warn!("dropping a partition of attempts failed: {error}");
                break;
            }
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
}

async fn prune_rows(
    ledger: &Ledger,
    rows: Prunable,
    before: DateTime<Utc>,
    leading: &Leading,
) -> Result<(), LedgerError> {
    let mut total = 0;
    while leading.get() {
        let deleted = ledger.prune(rows, before, BATCH).await?;
        total += deleted;
        if deleted < u64::from(BATCH) {
            break;
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
    if total > 0 {
        tracing::info!(rows = total, %before, "old {} deleted from the ledger", rows.as_str());
    }
    Ok(())
}

async fn prune_bad_events(
    broker: &Broker,
    before: DateTime<Utc>,
    leading: &Leading,
) -> Result<(), BrokerError> {
    let batch = usize::try_from(BATCH).unwrap_or(usize::MAX);
    while leading.get()
        && broker
            .events()
            .remove_bad(before.timestamp_millis(), batch)
            .await?
            > 0
    {
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(())
}

/// Requests to cancel jobs that no worker has seen.
pub(crate) struct CancelRequests {
    timer: Timer,
}

impl CancelRequests {
    pub(crate) fn expired_every(interval: Duration) -> Self {
        Self {
            timer: Timer::every(interval),
        }
    }

    /// Removes requests that are older than a week, if it is time to.
    pub(crate) async fn expire(&mut self, broker: &Broker) -> Result<(), BrokerError> {
        if self.timer.is_due() {
            let now = broker.server().time_ms().await?;
            broker
                .maintenance()
                .remove_cancel_requests(now - CANCEL_REQUEST_MS)
                .await?;
        }
        Ok(())
    }
}
