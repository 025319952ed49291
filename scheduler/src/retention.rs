//! Dead letters past their retention leave Redis.

use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_policy::retention::Retention;
use longshore_protocol::{
    dead_letter::{DeadFilter, DeadOrder, DeadQuery},
    event::DeadResolution,
};
use longshore_service::archive::{ArchiveError, archive_and_remove};

/// The most letters that leave at once.
const PAGE: u64 = 500;

/// Archives and removes what is past its time, or beyond the greatest number, the oldest first; how many
/// left. Should it be ended in between, what is archived and not yet removed is archived again.
pub async fn clean_up(
    broker: &Broker,
    ledger: &Ledger,
    retention: &Retention,
) -> Result<usize, ArchiveError> {
    let mut removed = 0;
    loop {
        let leaving = leaving(broker, retention).await?;
        if leaving == 0 {
            return Ok(removed);
        }
        let query = DeadQuery {
            filter: DeadFilter::default(),
            span: 0..=i64::MAX,
            order: DeadOrder::OldestFirst,
            after: None,
        };
        let most = usize::try_from(leaving.min(PAGE)).unwrap_or(usize::MAX);
        let page = broker.dead_letters().page(&query, most).await?;
        let gone = archive_and_remove(broker, ledger, &page.found, DeadResolution::Expired).await?;
        if gone == 0 {
            // Another did it at the same moment; the next round looks again.
            return Ok(removed);
        }
        removed += gone;
    }
}

/// How many of the oldest are to leave.
async fn leaving(broker: &Broker, retention: &Retention) -> Result<u64, ArchiveError> {
    let keep = i64::try_from(retention.dead_letters.as_millis()).unwrap_or(i64::MAX);
    let oldest_kept = broker.server().time_ms().await?.saturating_sub(keep);
    let too_old = broker.dead_letters().count_before(oldest_kept).await?;
    let too_many = broker
        .dead_letters()
        .count()
        .await?
        .saturating_sub(retention.dead_letters_max);
    Ok(too_old.max(too_many))
}
