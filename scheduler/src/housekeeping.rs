//! What the leader does beside its round, in small steps: gives back what nobody holds any more, and lets
//! old rows leave the record.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError, Swept};
use longshore_ledger::{Ledger, LedgerError, OldRows};
use longshore_policy::retention::Retention;
use longshore_service::live_config::LiveConfig;
use tokio_util::sync::CancellationToken;

/// How often it is looked for what nobody holds.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// How often it is looked for old rows.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// Between two steps: neither Redis nor Postgres shall notice.
const PAUSE: Duration = Duration::from_millis(20);

/// How long it rests while there is nothing to do.
const REST: Duration = Duration::from_secs(1);

/// Rows that one step deletes.
const ROWS: u32 = 1_000;

/// Whether this scheduler leads, as its round last saw it.
pub(crate) type Leads = Arc<AtomicBool>;

/// Keeps house while this scheduler leads, until `stop`.
pub(crate) async fn keep(
    broker: Broker,
    ledger: Ledger,
    config: LiveConfig,
    leads: Leads,
    stop: CancellationToken,
) {
    let (mut swept, mut pruned): (Option<Instant>, Option<Instant>) = (None, None);
    let due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
    while stop
        .run_until_cancelled(tokio::time::sleep(REST))
        .await
        .is_some()
    {
        if !leads.load(Ordering::Relaxed) {
            continue;
        }
        if due(swept, SWEEP_EVERY) {
            swept = Some(Instant::now());
            match sweep(&broker, &leads).await {
                Ok(found) => tell(&found),
                Err(error) => tracing::warn!("what nobody holds is not looked for: {error}"),
            }
        }
        if due(pruned, PRUNE_EVERY) {
            pruned = Some(Instant::now());
            let retention = config.current().retention.clone();
            let pruning = prune(&broker, &ledger, &retention, Utc::now(), &leads);
            if let Some(Err(error)) = stop.run_until_cancelled(pruning).await {
                tracing::warn!("old rows are not deleted: {error}");
            }
        }
    }
}

/// Why old rows stay.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// Postgres.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Redis.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// One turn through all that could be held by nobody.
pub async fn sweep(broker: &Broker, leads: &AtomicBool) -> Result<Swept, BrokerError> {
    let (mut sweeping, mut swept) = broker.maintenance().begin_sweep().await?;
    while !sweeping.is_over() && leads.load(Ordering::Relaxed) {
        swept = swept.and(broker.maintenance().continue_sweep(&mut sweeping).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(swept)
}

fn tell(swept: &Swept) {
    if swept.is_empty() {
        return;
    }
    let given_back = swept.journal.len() + swept.slots.len() + swept.holders.len();
    if given_back > 0 {
        metrics::counter!("longshore_orphans_reclaimed_total").increment(given_back as u64);
        tracing::warn!(
            attempts = ?swept.journal,
            places = ?swept.slots,
            keys = ?swept.holders,
            "gave back what nobody held: was something deleted by hand?"
        );
    }
    tracing::info!(
        memories = swept.memory.len(),
        lane_ids = swept.lane_ids,
        recorders = swept.recorders,
        "swept"
    );
}

/// Deletes what is older than it is to be kept, in small steps.
pub async fn prune(
    broker: &Broker,
    ledger: &Ledger,
    retention: &Retention,
    now: DateTime<Utc>,
    leads: &AtomicBool,
) -> Result<(), PruneError> {
    let before = |keep: Duration| TimeDelta::from_std(keep).ok().map(|keep| now - keep);
    for (rows, keep) in [
        (OldRows::Jobs, retention.jobs),
        (OldRows::Dropped, retention.jobs),
        (OldRows::Attempts, retention.attempts),
        (OldRows::DeadLetters, retention.dead_letters_archive),
    ] {
        let Some(before) = keep.and_then(before) else {
            continue;
        };
        let mut gone = 0;
        while leads.load(Ordering::Relaxed) {
            let some = ledger.prune(rows, before, ROWS).await?;
            gone += some;
            if some < u64::from(ROWS) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if gone > 0 {
            tracing::info!(rows = gone, %before, "old {} left the record", rows.as_str());
        }
    }
    let Some(before) = retention.events_bad.and_then(before) else {
        return Ok(());
    };
    let most = usize::try_from(ROWS).unwrap_or(usize::MAX);
    while leads.load(Ordering::Relaxed)
        && broker
            .events()
            .remove_bad(before.timestamp_millis(), most)
            .await?
            > 0
    {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
