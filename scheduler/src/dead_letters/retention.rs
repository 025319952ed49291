//! The retention of dead letters in Redis.

use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_policy::retention::Retention;
use longshore_protocol::{
    dead_letter::{DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    event::DeadLetterResolution,
};
use longshore_service::archive::{ArchiveError, archive_and_remove};

/// Dead letters that are archived and removed at once.
const BATCH: u64 = 500;

/// Archives and removes dead letters that are too old or too many, the oldest first. Returns how many it removed.
///
/// If it is interrupted, the next run archives again what was archived and not yet removed.
pub(super) async fn expire(
    broker: &Broker,
    ledger: &Ledger,
    retention: &Retention,
) -> Result<usize, ArchiveError> {
    while broker.dead_letters().rekey().await? > 0 {}
    let mut removed = 0;
    loop {
        let expired = count_expired(broker, retention).await?;
        if expired == 0 {
            return Ok(removed);
        }
        let query = DeadLetterQuery {
            filter: DeadLetterFilter::default(),
            span: 0..=i64::MAX,
            order: DeadLetterOrder::OldestFirst,
            after: None,
        };
        let limit = usize::try_from(expired.min(BATCH)).unwrap_or(usize::MAX);
        let page = broker.dead_letters().page(&query, limit).await?;
        let gone =
            archive_and_remove(broker, ledger, &page.found, DeadLetterResolution::Expired).await?;
        if gone == 0 {
            // Another scheduler removed the same letters; the next run continues.
            return Ok(removed);
        }
        removed += gone;
    }
}

async fn count_expired(broker: &Broker, retention: &Retention) -> Result<u64, ArchiveError> {
    let keep_ms = i64::try_from(retention.dead_letters.as_millis()).unwrap_or(i64::MAX);
    let oldest_kept = broker.server().time_ms().await?.saturating_sub(keep_ms);
    let too_old = broker.dead_letters().count_before(oldest_kept).await?;
    let too_many = broker
        .dead_letters()
        .count()
        .await?
        .saturating_sub(retention.dead_letters_max);
    Ok(too_old.max(too_many))
}
