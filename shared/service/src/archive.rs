//! How a dead letter leaves Redis for good: archived in Postgres first, then removed.

use longshore_broker::{Broker, BrokerError};
use longshore_ledger::{Ledger, LedgerError};
use longshore_protocol::{dead_letter::Standing, event::DeadResolution};

/// What keeps a dead letter from leaving.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Redis.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Postgres.
    #[error("dead letters stay until they can be archived: {0}")]
    Ledger(#[from] LedgerError),
}

/// Archives letters whole, removes them, and records why; how many were still there.
pub async fn archive_and_remove(
    broker: &Broker,
    ledger: &Ledger,
    letters: &[Standing],
    why: DeadResolution,
) -> Result<usize, ArchiveError> {
    let whole: Vec<_> = letters
        .iter()
        .map(|(_, letter, text)| (letter.record.clone(), text.clone()))
        .collect();
    ledger.archive_dead(&whole).await?;
    let keys: Vec<_> = letters
        .iter()
        .map(|(died, letter, _)| (letter.record.id.clone(), *died))
        .collect();
    let removed = broker.dead_letters().remove(&keys).await?;
    let gone: Vec<_> = letters
        .iter()
        .map(|(_, letter, _)| (letter.record.id.clone(), letter.record.at))
        .collect();
    ledger.dead_gone(&gone, why).await?;
    Ok(removed)
}
