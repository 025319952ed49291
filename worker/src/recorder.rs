//! Takes facts from Redis to Postgres, in batches. Postgres may be away for as long as it likes: the
//! facts wait in Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{BadEvent, BrokerError, EventEntry, EventStream};
use longshore_ledger::{BadEventId, EventId, Ledger};
use longshore_protocol::event::{AttemptRecord, Event};

use crate::deps::Deps;

/// Entries of the stream in one transaction, of one to some twenty facts each.
const BATCH: usize = 256;

/// Bytes that one read should bring at most, going by what came before: answers may be long.
const BYTES: usize = 8 << 20;

/// How long one read waits for the first fact.
const WAIT: Duration = Duration::from_secs(1);

/// What a writer read and did not record for so long, another may take.
const STALE: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Records until the worker's last job is done, and then what is left.
pub(crate) async fn record(
    deps: Arc<Deps>,
    ledger: Ledger,
    done: tokio_util::sync::CancellationToken,
) {
    deps.health.register("recorder", Duration::from_mins(2));
    let mut pause = FIRST_PAUSE;
    loop {
        let recorder = Recorder {
            deps: &deps,
            ledger: &ledger,
            done: &done,
        };
        match recorder.while_well(&mut pause).await {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!("facts cannot be read: {error}; again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if done.is_cancelled() {
            break;
        }
    }
    deps.health.retire("recorder");
}

struct Recorder<'a> {
    deps: &'a Deps,
    ledger: &'a Ledger,
    done: &'a tokio_util::sync::CancellationToken,
}

impl Recorder<'_> {
    async fn while_well(&self, pause: &mut Duration) -> Result<(), BrokerError> {
        let mut stream = self.deps.broker.event_stream(&self.deps.worker).await?;
        let mut looked: Option<Instant> = None;
        // What the first entries bring is not known.
        let mut typical = BYTES / 16;
        loop {
            let most = (BYTES / typical.max(1)).clamp(1, BATCH);
            let mut batch = Vec::new();
            if looked.is_none_or(|looked| looked.elapsed() >= STALE / 2) {
                looked = Some(Instant::now());
                batch = stream.claim(most, STALE).await?;
            }
            let last = self.done.is_cancelled();
            if batch.is_empty() {
                batch = stream
                    .read(most, if last { Duration::from_millis(1) } else { WAIT })
                    .await?;
            }
            *pause = FIRST_PAUSE;
            self.deps.health.beat("recorder");
            if batch.is_empty() {
                if last {
                    return stream.leave().await;
                }
                continue;
            }
            typical = batch.iter().map(EventEntry::size).sum::<usize>() / batch.len();
            if !self.write(&mut stream, batch).await? {
                return Ok(());
            }
        }
    }

    /// Writes a batch, however long Postgres takes to be there; `false` when the worker ends first
    /// (another writer will take the batch).
    async fn write(
        &self,
        stream: &mut EventStream,
        batch: Vec<EventEntry>,
    ) -> Result<bool, BrokerError> {
        let mut pause = FIRST_PAUSE;
        let Batch {
            entries,
            facts,
            mut bad,
        } = decode(batch);
        let mut recorded = 0;
        // Halves of a batch that Postgres refuses, until the one fact is found.
        let mut stack = vec![facts];
        while let Some(mut facts) = stack.pop() {
            if facts.events.is_empty() {
                continue;
            }
            match self.ledger.record(&facts.events).await {
                Ok(()) => {
                    recorded += facts.events.len();
                    self.deps.health.beat("recorder");
                }
                Err(error) if error.is_bad_data() => {
                    if facts.events.len() > 1 {
                        stack.push(facts.split_off());
                        stack.push(facts);
                    } else {
                        bad.extend(facts.texts.pop().map(|text| BadEvent {
                            text,
                            reason: error.to_string(),
                        }));
                    }
                }
                Err(error) => {
                    tracing::warn!("the record waits: {error}; again in {pause:?}");
                    self.deps.health.fail("recorder", error.to_string());
                    stack.push(facts);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.done.cancelled() => return Ok(false),
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        stream.recorded(&entries, &bad).await?;
        metrics::counter!("longshore_facts_recorded_total").increment(recorded as u64);
        self.tell_of(&bad);
        Ok(true)
    }

    fn tell_of(&self, bad: &[BadEvent]) {
        let kept_in = self.deps.broker.keys().bad_events();
        for BadEvent { reason, .. } in bad {
            tracing::error!("a fact cannot be recorded and is kept in {kept_in}: {reason}");
            metrics::counter!("longshore_facts_bad_total").increment(1);
        }
    }
}

/// Entries of the stream, and what they say.
#[derive(Default)]
struct Batch {
    entries: Vec<String>,
    facts: Facts,
    bad: Vec<BadEvent>,
}

/// What is to be recorded, and as which text it came.
#[derive(Default)]
struct Facts {
    texts: Vec<String>,
    events: Vec<(EventId, Event)>,
}

impl Facts {
    /// The second half of them.
    fn split_off(&mut self) -> Self {
        let half = self.events.len() / 2;
        Self {
            texts: self.texts.split_off(half),
            events: self.events.split_off(half),
        }
    }
}

fn decode(entries: Vec<EventEntry>) -> Batch {
    let mut batch = Batch::default();
    for mut entry in entries {
        if entry.texts.is_empty() {
            // Not ours; what it lacks is the reason.
            entry.texts.push(String::new());
        }
        for text in entry.texts {
            match read(&entry.id, &text, entry.duplicate) {
                Ok(fact) => {
                    batch.facts.events.push(fact);
                    batch.facts.texts.push(text);
                }
                Err(reason) => batch.bad.push(BadEvent { text, reason }),
            }
        }
        batch.entries.push(entry.id);
    }
    batch
}

fn read(id: &str, text: &str, duplicate: bool) -> Result<(EventId, Event), String> {
    let event: Event = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let id = id.parse().map_err(|error: BadEventId| error.to_string())?;
    if event.attempt.is_some() && event.labelled_attempt().is_none() {
        return Err("nothing says whose the attempt is".to_owned());
    }
    let event = if duplicate {
        as_duplicate(event)
    } else {
        event
    };
    Ok((id, event))
}

/// Of a step that was fenced off, only the attempt is a fact.
fn as_duplicate(event: Event) -> Event {
    let labels = event.job.map(|job| job.labels);
    Event {
        attempt: event.attempt.map(|attempt| AttemptRecord {
            duplicate: true,
            labels: attempt.labels.or(labels),
            ..attempt
        }),
        ..Event::default()
    }
}
