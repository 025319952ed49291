//! How a dead letter leaves Redis for good: archived in Postgres first, then removed.

use crate::{
    broker::{Broker, BrokerError},
    event::DeadResolution,
    ledger::{Ledger, LedgerError},
    letter::Letter,
};

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

/// A letter as it stands in Redis, with the time of its death (ms) and its JSON.
pub type Standing = (i64, Letter, String);

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
    let removed = broker.remove_dead(&keys).await?;
    let gone: Vec<_> = letters
        .iter()
        .map(|(_, letter, _)| (letter.record.id.clone(), letter.record.at))
        .collect();
    ledger.dead_gone(&gone, why).await?;
    Ok(removed)
}
