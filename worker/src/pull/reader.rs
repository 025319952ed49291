//! The reader: pulls entries while slots are free, in batches of bounded size.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{BrokerError, DeliveredEntry, EntrySource, QueueReader};
use longshore_service::backoff::Backoff;
use longshore_service::instruments::REDIS_ERRORS;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{return_entry, tenants};
use crate::{backoff::RECONNECT, context::Context, job::Job, route::policy::Policy};

/// How long one read blocks, and so the longest time that a drain waits for the reader.
const READ_BLOCK: Duration = Duration::from_millis(500);

/// How long one read blocks while the gate is closed: thousands of workers may wait for midnight.
const GATED_READ_BLOCK: Duration = Duration::from_secs(2);

/// The most entries of one read.
const BATCH_ENTRIES: usize = 512;

/// The most bytes that one read should bring, by the size of the entries before.
const BATCH_BYTES: usize = 8 << 20;

/// How often the reader compares what Redis has delivered to it with the jobs in flight.
const RETURN_STRAYS_EVERY: Duration = Duration::from_secs(30);

/// Where the reader sends jobs, each with its slot.
pub(crate) type JobSender = mpsc::UnboundedSender<(Arc<Job>, OwnedSemaphorePermit)>;

/// Decides how many entries one read may bring, so that a worker does not die of their size. The first reads bring few.
/// One large message makes the next reads small at once; they grow again while messages are small.
struct ReadSize {
    /// The size that a message may have.
    message_bytes: usize,
}

impl ReadSize {
    fn new() -> Self {
        Self {
            message_bytes: BATCH_BYTES / 16,
        }
    }

    /// The most entries of the next read.
    fn entries(&self) -> usize {
        (BATCH_BYTES / self.message_bytes.max(1)).clamp(1, BATCH_ENTRIES)
    }

    /// Takes the messages of a read into account.
    fn observe(&mut self, messages: impl Iterator<Item = usize>) {
        let Some(largest) = messages.max() else {
            return;
        };
        self.message_bytes = largest.max(self.message_bytes / 2);
    }
}

/// Reads until the worker drains. Reconnects when Redis fails.
pub(crate) async fn run(context: Arc<Context>, sender: JobSender) {
    context.health.register("reader", Duration::from_secs(30));
    let mut backoff = Backoff::new(RECONNECT);
    while !context.drain.is_cancelled() {
        let Err(error) = read_until_failure(&context, &sender, &mut backoff).await else {
            break;
        };
        let delay = backoff.next_delay();
        REDIS_ERRORS.add([], 1);
        tracing::warn!("job reader failed: {error}; retrying in {delay:.1?}");
        context.health.fail("reader", error.to_string());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = context.drain.cancelled() => break,
        }
    }
    context.health.retire("reader");
}

/// Reads until the worker drains (`Ok`) or Redis fails.
async fn read_until_failure(
    context: &Context,
    sender: &JobSender,
    backoff: &mut Backoff,
) -> Result<(), BrokerError> {
    let queues = &context.config.queue_names();
    let pauses = &context.availability.pauses;
    let mut reader = context
        .broker
        .queues()
        .reader(queues, &context.worker)
        .await?;
    reader.share(&context.config.queues, context.config.queue_order);
    pauses.refresh(&context.broker).await?;
    return_strays(context).await?;
    let mut strays_returned_at = Instant::now();
    let mut applied: Option<Arc<Policy>> = None;
    let mut read_size = ReadSize::new();
    loop {
        let policy = context.policy();
        if applied
            .as_ref()
            .is_none_or(|applied| !Arc::ptr_eq(applied, &policy))
        {
            // The new limits may have capacity, also for parked jobs. A worker that starts may have other limits than the
            // one that it replaces.
            context.pull_gate.open();
            context.queue_gates.open();
            context.broker.lanes().retry_all().await?;
            applied = Some(policy);
        }
        if strays_returned_at.elapsed() >= RETURN_STRAYS_EVERY {
            return_strays(context).await?;
            strays_returned_at = Instant::now();
        }
        if context.drain.is_cancelled() {
            return Ok(());
        }
        let now = context.clock.now();
        let now_ms = now.timestamp_millis();
        reader.exclude(pauses.paused_queues(queues, now));
        reader.leave_new(context.queue_gates.closed(now_ms));
        if reader.is_idle() {
            context.health.beat("reader");
            pauses.changed_within(READ_BLOCK).await;
            continue;
        }
        if context.slots.available_permits() == 0
            && context.tenant_activity.is_recent(now_ms)
            && sort_by_tenant(&mut reader, &mut read_size, context, sender).await? > 0
        {
            continue;
        }
        let Some(mut slots) = free_slots(context, queues.len(), read_size.entries()).await else {
            continue;
        };
        // While the gate is closed, only jobs that were started before are pulled.
        let (wanted, block) = match context.pull_gate.closed_for(now_ms) {
            Some(closed) => (EntrySource::Begun, closed.min(GATED_READ_BLOCK)),
            None => (EntrySource::All, READ_BLOCK),
        };
        let delivered = tokio::select! {
            delivered = reader.read(slots.num_permits(), block, wanted) => delivered?,
            // The recovery of this worker's entries covers what this read may still deliver.
            () = context.drain.cancelled(), if wanted == EntrySource::Begun => return Ok(()),
        };
        backoff.reset();
        context.health.beat("reader");
        read_size.observe(delivered.iter().map(|entry| entry.message.size()));
        let paused = pauses.paused_queues(queues, context.clock.now());
        for entry in delivered {
            if paused.contains(&entry.delivery.queue.base()) {
                // The queue was paused during the read.
                return_entry(context, &entry.delivery).await;
                continue;
            }
            match slots.split(1) {
                Some(slot) => dispatch(context, sender, entry, slot),
                // A read over several queues may bring more than was asked for.
                None => dispatch_when_free(context, sender, entry).await,
            }
        }
    }
}

/// Sorts new entries into the lanes of their tenants, and dispatches those that must be refused. Returns how
/// many entries it read.
async fn sort_by_tenant(
    reader: &mut QueueReader,
    read_size: &mut ReadSize,
    context: &Context,
    sender: &JobSender,
) -> Result<usize, BrokerError> {
    let delivered = reader.read_ahead(read_size.entries()).await?;
    read_size.observe(delivered.iter().map(|entry| entry.message.size()));
    let read = delivered.len();
    let refused = tenants::sort_new_entries(delivered, reader, context).await?;
    context.health.beat("reader");
    for entry in refused {
        dispatch_when_free(context, sender, entry).await;
    }
    Ok(read)
}

async fn dispatch_when_free(context: &Context, sender: &JobSender, entry: DeliveredEntry) {
    // The semaphore is never closed.
    if let Ok(slot) = context.slots.clone().acquire_owned().await {
        dispatch(context, sender, entry, slot);
    }
}

/// Takes from `least` to `most` free slots. `None` if the worker drains, or if none came free within
/// [`READ_BLOCK`].
async fn free_slots(context: &Context, least: usize, most: usize) -> Option<OwnedSemaphorePermit> {
    let least = u32::try_from(least.max(1)).unwrap_or(1);
    let mut slots = tokio::select! {
        biased;
        () = context.drain.cancelled() => return None,
        () = tokio::time::sleep(READ_BLOCK) => return None,
        slots = context.slots.clone().acquire_many_owned(least) => slots.ok()?,
    };
    let more = context
        .slots
        .available_permits()
        .min(most.saturating_sub(slots.num_permits()));
    if let Ok(more) = u32::try_from(more)
        && let Ok(more) = context.slots.clone().try_acquire_many_owned(more)
    {
        slots.merge(more);
    }
    Some(slots)
}

fn dispatch(
    context: &Context,
    sender: &JobSender,
    delivered: DeliveredEntry,
    slot: OwnedSemaphorePermit,
) {
    let entry_id = delivered.delivery.entry_id.clone();
    match Job::new(delivered, context.broker.keyring(), context.clock.now()) {
        Ok(job) => {
            let job = Arc::new(job);
            context.in_flight.insert(&job);
            // The receiver outlives the reader.
            let _sent = sender.send((job, slot));
        }
        Err(error) => {
            tracing::error!(%entry_id, "checkpoint cannot be parsed: {error}; the entry stays pending");
        }
    }
}

/// Returns entries that Redis delivered to this worker in a reply that was lost.
async fn return_strays(context: &Context) -> Result<(), BrokerError> {
    for queue in &context.config.queue_names() {
        for stream in [queue.ready(), queue.clone()] {
            for delivery in context
                .broker
                .deliveries()
                .held_by(&stream, &context.worker)
                .await?
            {
                if !context.in_flight.contains(&delivery.entry_id) {
                    return_entry(context, &delivery).await;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_begin_small_and_grow_while_messages_are_small() {
        let mut size = ReadSize::new();
        assert_eq!(size.entries(), 16);
        size.observe([].into_iter());
        assert_eq!(size.entries(), 16);
        for entries in [32, 64, 128, 256, BATCH_ENTRIES, BATCH_ENTRIES] {
            size.observe([100, 3_000].into_iter());
            assert_eq!(size.entries(), entries);
        }
    }

    #[test]
    fn one_large_message_makes_the_next_reads_small() {
        let mut size = ReadSize::new();
        for _ in 0..6 {
            size.observe([100].into_iter());
        }
        size.observe([100, 16 << 20, 100].into_iter());
        for entries in [1, 1, 2, 4] {
            assert_eq!(size.entries(), entries);
            size.observe([100].into_iter());
        }
    }
}
