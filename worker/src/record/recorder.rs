//! The recorder: writes events from Redis to Postgres, in batches. While Postgres is unavailable, events wait
//! in Redis.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{BadEvent, BrokerError, EventEntry, EventStream};
use longshore_ledger::{BadEventId, EventId, Ledger};
use longshore_protocol::event::Event;
use longshore_service::backoff::Backoff;
use longshore_service::instruments::{EVENTS_RECORDED, EVENTS_REFUSED};
use tokio_util::sync::CancellationToken;

use super::spans;
use crate::{backoff::RECONNECT, context::Context};

/// The most stream entries of one transaction. An entry has from one to about twenty events.
const BATCH_ENTRIES: usize = 256;

/// The most bytes that one read should bring, estimated from the entries before: answers may be long.
const BATCH_BYTES: usize = 8 << 20;

/// After a batch of so many entries, the next one gathers for a while: what a transaction costs Postgres, above all the
/// synchronisation of its log, hardly depends on its rows. A single entry means that little happens, and more entries that
/// the batches are large already.
const SMALL_BATCH: Range<usize> = 2..64;

/// How long events gather. A row is in the ledger that much later.
const GATHER: Duration = Duration::from_millis(20);

/// How long one read blocks.
const READ_BLOCK: Duration = Duration::from_secs(1);

/// After this time another recorder may claim entries that one has read and not recorded.
const CLAIM_AFTER: Duration = Duration::from_secs(10);

/// Records until the worker's last job is settled (`done`), and then what is left.
pub(crate) async fn run(context: Arc<Context>, ledger: Ledger, done: CancellationToken) {
    context.health.register("recorder", Duration::from_mins(2));
    let mut backoff = Backoff::new(RECONNECT);
    let recorder = Recorder {
        context: &context,
        ledger: &ledger,
        done: &done,
    };
    while let Err(error) = recorder.record_until_failure(&mut backoff).await {
        let delay = backoff.next_delay();
        tracing::warn!("event stream read failed: {error}; retrying in {delay:.1?}");
        tokio::time::sleep(delay).await;
        if done.is_cancelled() {
            break;
        }
    }
    context.health.retire("recorder");
}

struct Recorder<'a> {
    context: &'a Context,
    ledger: &'a Ledger,
    done: &'a CancellationToken,
}

impl Recorder<'_> {
    /// Records until the worker ends (`Ok`) or Redis fails.
    async fn record_until_failure(&self, backoff: &mut Backoff) -> Result<(), BrokerError> {
        let context = self.context;
        let mut stream = context.broker.events().stream(&context.worker).await?;
        let mut claimed_at: Option<Instant> = None;
        // Cautious until the size of the first entries is known.
        let mut typical_size = BATCH_BYTES / 16;
        loop {
            let most = (BATCH_BYTES / typical_size.max(1)).clamp(1, BATCH_ENTRIES);
            let mut batch = Vec::new();
            if claimed_at.is_none_or(|at| at.elapsed() >= CLAIM_AFTER / 2) {
                claimed_at = Some(Instant::now());
                batch = stream.claim(most, CLAIM_AFTER).await?;
            }
            let is_done = self.done.is_cancelled();
            if batch.is_empty() {
                let block = if is_done {
                    Duration::from_millis(1)
                } else {
                    READ_BLOCK
                };
                batch = stream.read(most, block).await?;
            }
            backoff.reset();
            context.health.beat("recorder");
            if batch.is_empty() {
                if is_done {
                    return stream.leave().await;
                }
                continue;
            }
            typical_size = batch.iter().map(EventEntry::size).sum::<usize>() / batch.len();
            let is_small = SMALL_BATCH.contains(&batch.len());
            if !self.write(&mut stream, batch).await? {
                return Ok(());
            }
            if is_small {
                let gathers = tokio::time::sleep(GATHER);
                self.done.run_until_cancelled(gathers).await;
            }
        }
    }

    /// Writes a batch, retrying until Postgres is available. Returns `false` if the worker ends first; another
    /// recorder then claims the batch.
    async fn write(
        &self,
        stream: &mut EventStream,
        batch: Vec<EventEntry>,
    ) -> Result<bool, BrokerError> {
        let mut backoff = Backoff::new(RECONNECT);
        let Batch {
            entries,
            events,
            mut bad,
        } = decode_batch(batch);
        let mut recorded = 0;
        // If Postgres refuses the data of a batch, its halves are tried, down to the one bad event.
        let mut stack = vec![events];
        while let Some(mut events) = stack.pop() {
            if events.decoded.is_empty() {
                continue;
            }
            match self.ledger.record(&events.decoded).await {
                Ok(()) => {
                    spans::send(&events.decoded, self.context);
                    recorded += events.decoded.len();
                    self.context.health.beat("recorder");
                }
                Err(error) if error.is_bad_data() => {
                    if events.decoded.len() > 1 {
                        stack.push(events.split_off_half());
                        stack.push(events);
                    } else {
                        bad.extend(events.json.pop().map(|text| BadEvent {
                            text,
                            reason: error.to_string(),
                        }));
                    }
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::warn!("Postgres write failed: {error}; retrying in {delay:.1?}");
                    self.context.health.fail("recorder", error.to_string());
                    stack.push(events);
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = self.done.cancelled() => return Ok(false),
                    }
                }
            }
        }
        stream.recorded(&entries, &bad).await?;
        EVENTS_RECORDED.add([], recorded as u64);
        self.report_bad(&bad);
        Ok(true)
    }

    fn report_bad(&self, bad: &[BadEvent]) {
        let kept_in = self.context.broker.keys().bad_events();
        for BadEvent { reason, .. } in bad {
            tracing::error!("event not recorded: {reason}; it is kept in {kept_in}");
            EVENTS_REFUSED.add([], 1);
        }
    }
}

/// Stream entries and their events.
#[derive(Default)]
struct Batch {
    entries: Vec<String>,
    events: Events,
    bad: Vec<BadEvent>,
}

/// Events to record, as they came and decoded.
#[derive(Default)]
struct Events {
    json: Vec<String>,
    decoded: Vec<(EventId, Event)>,
}

impl Events {
    fn split_off_half(&mut self) -> Self {
        let half = self.decoded.len() / 2;
        Self {
            json: self.json.split_off(half),
            decoded: self.decoded.split_off(half),
        }
    }
}

fn decode_batch(entries: Vec<EventEntry>) -> Batch {
    let mut batch = Batch::default();
    for mut entry in entries {
        if entry.texts.is_empty() {
            // A foreign entry; decoding the empty text gives the reason.
            entry.texts.push(String::new());
        }
        for text in entry.texts {
            match decode_event(&entry.id, &text, entry.duplicate) {
                Ok(event) => {
                    batch.events.decoded.push(event);
                    batch.events.json.push(text);
                }
                Err(reason) => batch.bad.push(BadEvent { text, reason }),
            }
        }
        batch.entries.push(entry.id);
    }
    batch
}

fn decode_event(id: &str, json: &str, duplicate: bool) -> Result<(EventId, Event), String> {
    let event: Event = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let id = id.parse().map_err(|error: BadEventId| error.to_string())?;
    if event.attempt.is_some() && event.labelled_attempt().is_none() {
        return Err("the attempt has no labels: neither its own nor a job's".to_owned());
    }
    let event = if duplicate {
        as_duplicate(event)
    } else {
        event
    };
    Ok((id, event))
}

/// The event of a step that was fenced off: only its attempt is a fact.
fn as_duplicate(event: Event) -> Event {
    let mut attempt = event.into_labelled_attempt();
    if let Some(attempt) = &mut attempt {
        attempt.duplicate = true;
    }
    Event {
        attempt,
        ..Event::default()
    }
}
