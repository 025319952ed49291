//! A bulk replay: pages of dead letters are read, prepared and replayed at the same time, and no more than a
//! few pages are in memory.

use std::num::NonZeroU32;

use chrono::Utc;
use longshore_broker::{Broker, BrokerError, BulkReplay, BulkStep, DeadSlice};
use longshore_protocol::{
    dead_letter::{DeadCursor, DeadOrder, DeadQuery, Replaying, Standing},
    envelope::Limits,
    id::JobId,
};
use tokio::sync::mpsc;

use super::{pace::Pace, selection::progress_bar};

/// Dead letters that are read together.
const PAGE: usize = 500;

/// Dead letters that one call replays: a few milliseconds of Redis's time.
pub(super) const BATCH: usize = 100;

/// Dead letters that are named because they could not be replayed.
const NAMED: usize = 20;

/// Figures of a replay.
#[derive(Debug, Default)]
pub(super) struct ReplayTally {
    pub(super) replayed: u64,
    /// Somebody else replayed, purged or changed them in the meantime.
    pub(super) gone: u64,
    /// Their messages were not kept whole.
    pub(super) skipped: u64,
    /// The first of those skipped.
    pub(super) named: Vec<JobId>,
}

impl ReplayTally {
    /// The replays of dead letters; those that cannot be replayed are counted.
    pub(super) fn prepare(&mut self, letters: &[Standing], limits: &Limits) -> Vec<Replaying> {
        let now = Utc::now();
        let mut ready = Vec::with_capacity(letters.len());
        for letter in letters {
            if let Some(one) = Replaying::new(letter, limits, now) {
                ready.push(one);
            } else {
                self.skipped += 1;
                if self.named.len() < NAMED {
                    self.named.push(letter.1.record.id.clone());
                }
            }
        }
        ready
    }

    /// Counts which replays found their dead letter.
    pub(super) fn count(&mut self, there: &[bool]) {
        let replayed = there.iter().filter(|there| **there).count();
        self.replayed += replayed as u64;
        self.gone += (there.len() - replayed) as u64;
    }
}

/// Dead letters that are replayed together, in their order.
struct Batch {
    ready: Vec<Replaying>,
    last: DeadCursor,
    skipped: ReplayTally,
    /// Dead letters that were read for it.
    looked: usize,
}

/// Replays what is left of a bulk replay; the figures are those of all of it.
pub(super) async fn replay_all(
    bulk: BulkReplay,
    rate: Option<NonZeroU32>,
    broker: &Broker,
    limits: &Limits,
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
        bar.advance(batch.looked as u64);
        let mut skipped = batch.skipped.skipped;
        tally.skipped += skipped;
        tally.named.append(&mut batch.skipped.named);
        tally.named.truncate(NAMED);
        loop {
            let room = match &mut pace {
                Some(pace) if !batch.ready.is_empty() => pace.next_slots(batch.ready.len()).await,
                _ => batch.ready.len(),
            };
            let rest = batch.ready.split_off(room.min(batch.ready.len()));
            let last = match batch.ready.last() {
                // Not behind those that are still to go.
                Some(one) if !rest.is_empty() => &DeadCursor {
                    died_ms: one.died_ms,
                    id: one.id.clone(),
                },
                _ => &batch.last,
            };
            let step = BulkStep {
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

/// What is left of a bulk replay, batch by batch. At a slow pace less is read ahead: a letter that is
/// changed meanwhile stays.
fn stream_batches(
    bulk: &BulkReplay,
    rate: Option<NonZeroU32>,
    broker: &Broker,
    limits: Limits,
) -> mpsc::Receiver<Result<Batch, BrokerError>> {
    let page = rate
        .and_then(|rate| usize::try_from(rate.get()).ok())
        .map_or(PAGE, |rate| rate.min(PAGE));
    let mut pages = stream_pages(bulk, page, broker.clone());
    let (sender, batches) = mpsc::channel(2);
    tokio::spawn(async move {
        while let Some(page) = pages.recv().await {
            let made = match page {
                // Pure work for a processor, in pieces of a few milliseconds.
                Ok(page) => page
                    .found
                    .chunks(BATCH)
                    .filter_map(|some| prepare_batch(some, &page, &limits))
                    .map(Ok)
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            for batch in made {
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        }
    });
    batches
}

fn prepare_batch(some: &[Standing], page: &DeadSlice<Standing>, limits: &Limits) -> Option<Batch> {
    let mut skipped = ReplayTally::default();
    let (died_ms, letter, _) = some.last()?;
    let ready = skipped.prepare(some, limits);
    Some(Batch {
        ready,
        last: DeadCursor {
            died_ms: *died_ms,
            id: letter.record.id.clone(),
        },
        skipped,
        looked: page.looked * some.len() / page.found.len().max(1),
    })
}

fn stream_pages(
    bulk: &BulkReplay,
    most: usize,
    broker: Broker,
) -> mpsc::Receiver<Result<DeadSlice<Standing>, BrokerError>> {
    let mut query = DeadQuery {
        filter: bulk.filter.clone(),
        span: bulk.span.clone(),
        order: DeadOrder::OldestFirst,
        after: bulk.after.clone(),
    };
    let (sender, pages) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let page = broker.dead_letters().page(&query, most).await;
            let next = page.as_ref().ok().and_then(|page| page.next.clone());
            if sender.send(page).await.is_err() || next.is_none() {
                return;
            }
            query.after = next;
        }
    });
    pages
}
