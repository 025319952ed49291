//! Dead letters past their retention leave Redis.

use chrono::Utc;
use longshore_shared::{
    archive::{ArchiveError, Standing, archive_and_remove},
    broker::Broker,
    config::Retention,
    ledger::{DeadResolution, Ledger},
};

/// Archives and removes what is past its time, or beyond the greatest number; how many left.
pub async fn clean_up(
    broker: &Broker,
    ledger: &Ledger,
    retention: &Retention,
) -> Result<usize, ArchiveError> {
    let keep = i64::try_from(retention.dead_letters.as_millis()).unwrap_or(i64::MAX);
    let oldest_kept = Utc::now().timestamp_millis().saturating_sub(keep);
    let mut removed = 0;
    loop {
        let over = broker
            .dead_count()
            .await?
            .saturating_sub(retention.dead_letters_max);
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        // The oldest come first: those that leave are at the head.
        let leaving: Vec<Standing> = broker
            .dead_page(0, 0)
            .await?
            .letters
            .into_iter()
            .enumerate()
            .filter(|(rank, (died, _, _))| *rank < over || *died < oldest_kept)
            .map(|(_, letter)| letter)
            .collect();
        if leaving.is_empty() {
            return Ok(removed);
        }
        removed += archive_and_remove(broker, ledger, &leaving, DeadResolution::Expired).await?;
    }
}
