//! Moves dead letters from Redis to Postgres for good: archives them, then removes them.

use longshore_broker::{Broker, BrokerError};
use longshore_ledger::{Ledger, LedgerError};
use longshore_protocol::{dead_letter::StoredDeadLetter, event::DeadLetterResolution};

/// Why dead letters stay in Redis.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Redis failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Postgres failed.
    #[error("dead letters not archived, so they stay in Redis: {0}")]
    Ledger(#[from] LedgerError),
}

/// Archives whole dead letters, removes them from Redis, and records the reason.
///
/// Returns how many of them were still in Redis. Safe to repeat after a failure.
pub async fn archive_and_remove(
    broker: &Broker,
    ledger: &Ledger,
    letters: &[StoredDeadLetter],
    why: DeadLetterResolution,
) -> Result<usize, ArchiveError> {
    let whole: Vec<_> = letters
        .iter()
        .map(|(_, letter, json)| (letter.record.clone(), json.clone()))
        .collect();
    ledger.archive_dead_letters(&whole).await?;
    let removed = broker.dead_letters().remove(letters).await?;
    let resolved: Vec<_> = letters
        .iter()
        .map(|(_, letter, _)| (letter.record.id.clone(), letter.record.at))
        .collect();
    ledger.resolve_dead_letters(&resolved, why).await?;
    Ok(removed)
}
