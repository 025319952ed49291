//! Bulk replay: reads, prepares and replays pages of dead letters concurrently, with only a few pages in
//! memory.

use std::num::NonZeroU32;

use longshore_broker::{Broker, BrokerError, BulkProgress, BulkReplay, DeadLetterPage, task};
use longshore_protocol::{
    clock::local_time,
    dead_letter::{
        DeadLetterCursor, DeadLetterOrder, DeadLetterQuery, PreparedReplay, StoredDeadLetter,
    },
    encryption::Keyring,
    envelope::MessageLimits,
    id::JobId,
};
use tokio::sync::mpsc;

use super::{note_unreadable, pace::Pace, selection::progress_bar};
use crate::audit;

/// Dead letters read by one call.
const PAGE: usize = 500;

/// Dead letters replayed by one call: a few milliseconds of Redis's time.
pub(super) const BATCH: usize = 100;

/// Skipped dead letters whose ids are listed.
const NAMED: usize = 20;

/// The counts of a replay.
#[derive(Debug, Default)]
pub(super) struct ReplayTally {
    pub(super) replayed: u64,
    /// Replayed, purged or changed by others during this replay.
    pub(super) gone: u64,
    /// Not replayable: their messages were not kept in full.
    pub(super) skipped: u64,
    /// The ids of the first skipped dead letters.
    pub(super) named: Vec<JobId>,
}

impl ReplayTally {
    /// Prepares the replays of dead letters; counts those that cannot be replayed.
    pub(super) fn prepare(
        &mut self,
        dead_letters: &[StoredDeadLetter],
        limits: &MessageLimits,
        keyring: &Keyring,
    ) -> Vec<PreparedReplay> {
        let now = local_time();
        let mut ready = Vec::with_capacity(dead_letters.len());
        for dead_letter in dead_letters {
            if let Some(replay) = PreparedReplay::new(dead_letter, limits, keyring, now) {
                ready.push(replay);
            } else {
                self.skipped += 1;
                if self.named.len() < NAMED {
                    self.named.push(dead_letter.1.record.id.clone());
                }
            }
        }
        ready
    }

    /// Counts the replays that found their dead letters, and those that did not.
    pub(super) fn count(&mut self, found: &[bool]) {
        let replayed = found.iter().filter(|found| **found).count();
        audit::add_affected(replayed);
        self.replayed += replayed as u64;
        self.gone += (found.len() - replayed) as u64;
    }
}

/// Dead letters that are replayed together, in order.
struct Batch {
    ready: Vec<PreparedReplay>,
    last: DeadLetterCursor,
    skipped: ReplayTally,
    /// Dead letters scanned for this batch.
    scanned: usize,
}

/// Completes a bulk replay. The counts include those of earlier, interrupted runs.
pub(super) async fn replay_all(
    bulk: BulkReplay,
    rate: Option<NonZeroU32>,
    broker: &Broker,
    limits: &MessageLimits,
) -> Result<ReplayTally, BrokerError> {
    let mut tally = ReplayTally {
        replayed: bulk.replayed,
        gone: bulk.gone,
        skipped: bulk.skipped,
        named: Vec::new(),
    };
    let all = broker
        .dead_letters()
        .count_before(bulk.span.end().saturating_add(1))
        .await?;
    let bar = progress_bar(all);
    let mut pace = rate.map(Pace::new);
    let mut batches = stream_batches(&bulk, rate, broker, *limits);
    while let Some(batch) = batches.recv().await {
        let mut batch = batch?;
        bar.advance(batch.scanned as u64);
        let mut skipped = batch.skipped.skipped;
        tally.skipped += skipped;
        tally.named.append(&mut batch.skipped.named);
        tally.named.truncate(NAMED);
        loop {
            let count = match &mut pace {
                Some(pace) if !batch.ready.is_empty() => pace.next_slots(batch.ready.len()).await,
                _ => batch.ready.len(),
            };
            let rest = batch.ready.split_off(count.min(batch.ready.len()));
            let last = match batch.ready.last() {
                // The cursor must not pass the dead letters that are not replayed yet.
                Some(replay) if !rest.is_empty() => &DeadLetterCursor {
                    died_ms: replay.died_ms,
                    entry_id: replay.entry_id.clone(),
                },
                _ => &batch.last,
            };
            let step = BulkProgress {
                bulk: &bulk.id,
                last,
                skipped: std::mem::take(&mut skipped),
            };
            tally.count(
                &broker
                    .dead_letters()
                    .replay(&batch.ready, Some(step))
                    .await?,
            );
            if rest.is_empty() {
                break;
            }
            batch.ready = rest;
        }
    }
    bar.clear();
    Ok(tally)
}

/// The remaining dead letters of a bulk replay, in batches. At a low rate, less is read ahead, so fewer dead
/// letters change between the read and their replay.
fn stream_batches(
    bulk: &BulkReplay,
    rate: Option<NonZeroU32>,
    broker: &Broker,
    limits: MessageLimits,
) -> mpsc::Receiver<Result<Batch, BrokerError>> {
    let page = rate
        .and_then(|rate| usize::try_from(rate.get()).ok())
        .map_or(PAGE, |rate| rate.min(PAGE));
    let mut pages = stream_pages(bulk, page, broker.clone());
    let keyring = broker.keyring().clone();
    let (sender, batches) = mpsc::channel(2);
    task::spawn("replay preparation", async move {
        while let Some(page) = pages.recv().await {
            if let Ok(page) = &page {
                note_unreadable(&page.unreadable);
            }
            let batches = match page {
                // Only CPU work, in chunks of a few milliseconds.
                Ok(page) => page
                    .found
                    .chunks(BATCH)
                    .filter_map(|chunk| prepare_batch(chunk, &page, &limits, &keyring))
                    .map(Ok)
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            for batch in batches {
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        }
    });
    batches
}

fn prepare_batch(
    chunk: &[StoredDeadLetter],
    page: &DeadLetterPage<StoredDeadLetter>,
    limits: &MessageLimits,
    keyring: &Keyring,
) -> Option<Batch> {
    let mut skipped = ReplayTally::default();
    let (died_ms, dead_letter, _) = chunk.last()?;
    let ready = skipped.prepare(chunk, limits, keyring);
    Some(Batch {
        ready,
        last: DeadLetterCursor {
            died_ms: *died_ms,
            entry_id: dead_letter.record.entry_id.clone(),
        },
        skipped,
        scanned: page.scanned * chunk.len() / page.found.len().max(1),
    })
}

fn stream_pages(
    bulk: &BulkReplay,
    page_size: usize,
    broker: Broker,
) -> mpsc::Receiver<Result<DeadLetterPage<StoredDeadLetter>, BrokerError>> {
    let mut query = DeadLetterQuery {
        filter: bulk.filter.clone(),
        span: bulk.span.clone(),
        order: DeadLetterOrder::OldestFirst,
        after: bulk.after.clone(),
    };
    let (sender, pages) = mpsc::channel(1);
    task::spawn("dead letter pages", async move {
        loop {
            let page = broker.dead_letters().page(&query, page_size).await;
            let next = page.as_ref().ok().and_then(|page| page.next.clone());
            if sender.send(page).await.is_err() || next.is_none() {
                return;
            }
            query.after = next;
        }
    });
    pages
}
