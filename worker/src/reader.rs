//! Pulls jobs: never more than there are free places, and never so many large ones that memory suffers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{BrokerError, Delivered, Held, Spent, Wanted};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{deps::Deps, fairness, job::Job, patience::patiently};

/// How long one read waits for new jobs: as long as a stop may have to wait for the reader.
const WAIT: Duration = Duration::from_millis(500);

/// The same while no new jobs are pulled: thousands of workers may wait for midnight.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// Entries that one read takes at most.
const MOST: usize = 512;

/// Bytes that one read should bring at most, going by what came before.
const BYTES: usize = 8 << 20;

/// How often the reader makes sure that it has all that Redis thinks it has.
const STRAYS_EVERY: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the reader's jobs go.
pub type Deliver = mpsc::UnboundedSender<(Arc<Job>, OwnedSemaphorePermit)>;

/// Reads until the worker drains. What goes wrong with Redis is waited out.
pub(crate) async fn read(deps: Arc<Deps>, deliver: Deliver) {
    deps.health.register("reader", Duration::from_secs(30));
    let mut pause = FIRST_PAUSE;
    while !deps.drain.is_cancelled() {
        match read_while_well(&deps, &deliver, &mut pause).await {
            Ok(()) => break,
            Err(error) => {
                metrics::counter!("longshore_redis_errors_total").increment(1);
                tracing::warn!("no jobs can be read: {error}; again in {pause:?}");
                deps.health.fail("reader", error.to_string());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = deps.drain.cancelled() => break,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    deps.health.retire("reader");
}

async fn read_while_well(
    deps: &Deps,
    deliver: &Deliver,
    pause: &mut Duration,
) -> Result<(), BrokerError> {
    let queues = &deps.config.queues;
    let mut reader = deps.broker.reader(queues, &deps.worker).await?;
    deps.pauses.learn(&deps.broker).await?;
    give_up_strays(deps).await?;
    let mut looked = Instant::now();
    let mut typical = 0_usize;
    let mut policy = deps.policy();
    loop {
        let current = deps.policy();
        if !Arc::ptr_eq(&policy, &current) {
            // There may be room now.
            deps.gate.open();
            policy = current;
        }
        if looked.elapsed() >= STRAYS_EVERY {
            give_up_strays(deps).await?;
            looked = Instant::now();
        }
        if deps.drain.is_cancelled() {
            return Ok(());
        }
        let now = deps.clock.now();
        let now_ms = now.timestamp_millis();
        reader.leave_out(deps.pauses.queues(queues, now));
        if reader.is_idle() {
            deps.health.beat("reader");
            deps.pauses.change(WAIT).await;
            continue;
        }
        if deps.places.available_permits() == 0 && deps.fairness.is_wanted(now_ms) {
            let (looked, forged) = fairness::sort_some(&mut reader, deps).await?;
            deps.health.beat("reader");
            for one in forged {
                dispatch_when_free(deps, deliver, one).await;
            }
            if looked > 0 {
                continue;
            }
        }
        let Some(mut places) = free_places(deps, queues.len(), batch(typical)).await else {
            continue;
        };
        // While every new job would only be laid aside, none is pulled.
        let (wanted, wait) = match deps.gate.closed_for(now_ms) {
            Some(closed) => (Wanted::Begun, closed.min(LONG_WAIT)),
            None => (Wanted::All, WAIT),
        };
        let delivered = tokio::select! {
            delivered = reader.read(places.num_permits(), wait, wanted) => delivered?,
            // What such a read may still bring was begun before: whoever recovers this worker has it.
            () = deps.drain.cancelled(), if wanted == Wanted::Begun => return Ok(()),
        };
        *pause = FIRST_PAUSE;
        deps.health.beat("reader");
        let paused = deps.pauses.queues(queues, deps.clock.now());
        for one in delivered {
            if paused.contains(&one.held.queue.base()) {
                // It came while the pause was told.
                give_up(deps, &one.held).await;
                continue;
            }
            typical = (typical * 7 + one.message.size()) / 8;
            match places.split(1) {
                Some(place) => dispatch(deps, deliver, one, place),
                // Now and then more comes than was asked for.
                None => dispatch_when_free(deps, deliver, one).await,
            }
        }
    }
}

async fn dispatch_when_free(deps: &Deps, deliver: &Deliver, one: Delivered) {
    // Never closed.
    if let Ok(place) = deps.places.clone().acquire_owned().await {
        dispatch(deps, deliver, one, place);
    }
}

/// As many entries as should fit into [`BYTES`].
fn batch(typical: usize) -> usize {
    (BYTES / typical.max(1)).clamp(1, MOST)
}

/// Waits for free places, at least one a queue; `None` when the worker drains, or it is time to look
/// through what is new.
async fn free_places(deps: &Deps, least: usize, most: usize) -> Option<OwnedSemaphorePermit> {
    let least = u32::try_from(least.max(1)).unwrap_or(1);
    let mut places = tokio::select! {
        biased;
        () = deps.drain.cancelled() => return None,
        () = tokio::time::sleep(WAIT) => return None,
        places = deps.places.clone().acquire_many_owned(least) => places.ok()?,
    };
    let more = deps
        .places
        .available_permits()
        .min(most.saturating_sub(places.num_permits()));
    if let Ok(more) = u32::try_from(more)
        && let Ok(more) = deps.places.clone().try_acquire_many_owned(more)
    {
        places.merge(more);
    }
    Some(places)
}

fn dispatch(deps: &Deps, deliver: &Deliver, delivered: Delivered, credit: OwnedSemaphorePermit) {
    let place = delivered.held.place.clone();
    match Job::new(delivered) {
        Ok(job) => {
            let job = Arc::new(job);
            deps.hands.take(&job);
            // The receiver ends only after the reader.
            let _sent = deliver.send((job, credit));
        }
        Err(error) => {
            tracing::error!(%place, "what is remembered of a job cannot be read: {error}");
        }
    }
}

/// Entries that Redis gave to this worker but whose reply was lost on the way are given back.
async fn give_up_strays(deps: &Deps) -> Result<(), BrokerError> {
    for queue in &deps.config.queues {
        for stream in [queue.ready(), queue.clone()] {
            for held in deps.broker.held_by(&stream, &deps.worker).await? {
                if !deps.hands.hold(&held.place) {
                    give_up(deps, &held).await;
                }
            }
        }
    }
    Ok(())
}

/// What was not begun goes to whoever comes next.
async fn give_up(deps: &Deps, held: &Held) {
    let _fence = patiently("give up an entry", || {
        deps.broker
            .hand_back(held, None, "", "", Spent::NothingTaken)
    })
    .await;
}
