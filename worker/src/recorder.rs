//! Takes facts from Redis to Postgres, in batches. Postgres may be away for as long as it likes: the
//! facts wait in Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_shared::{
    broker::{BrokerError, EventEntry, EventStream},
    event::{AttemptRecord, Event},
    ledger::{EventId, Ledger},
};

use crate::deps::Deps;

/// Facts in one transaction.
const BATCH: usize = 2000;

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
        loop {
            let mut batch = Vec::new();
            if looked.is_none_or(|looked| looked.elapsed() >= STALE / 2) {
                looked = Some(Instant::now());
                batch = stream.claim(BATCH, STALE).await?;
            }
            let last = self.done.is_cancelled();
            if batch.is_empty() {
                batch = stream
                    .read(BATCH, if last { Duration::from_millis(1) } else { WAIT })
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
        let (facts, unreadable) = decode(batch);
        for (entry, reason) in unreadable {
            self.set_aside(stream, &entry, &reason).await?;
        }
        // Halves of a batch that Postgres refuses, until the one fact is found.
        let mut stack = vec![facts];
        while let Some(mut facts) = stack.pop() {
            if facts.events.is_empty() {
                continue;
            }
            match self.ledger.record(&facts.events).await {
                Ok(()) => {
                    let ids: Vec<String> =
                        facts.entries.into_iter().map(|entry| entry.id).collect();
                    stream.recorded(&ids).await?;
                    metrics::counter!("longshore_facts_recorded_total").increment(ids.len() as u64);
                    self.deps.health.beat("recorder");
                }
                Err(error) if error.is_bad_data() => {
                    if let [entry] = facts.entries.as_slice() {
                        self.set_aside(stream, entry, &error.to_string()).await?;
                    } else {
                        stack.push(facts.split_off());
                        stack.push(facts);
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
        Ok(true)
    }

    async fn set_aside(
        &self,
        stream: &mut EventStream,
        entry: &EventEntry,
        reason: &str,
    ) -> Result<(), BrokerError> {
        tracing::error!(
            id = entry.id,
            "a fact cannot be recorded and is kept in {}: {reason}",
            self.deps.broker.keys().bad_events()
        );
        metrics::counter!("longshore_facts_bad_total").increment(1);
        stream.set_aside(entry, reason).await
    }
}

/// Entries, and what each of them says.
#[derive(Default)]
struct Facts {
    entries: Vec<EventEntry>,
    events: Vec<(EventId, Event)>,
}

impl Facts {
    /// The second half of them.
    fn split_off(&mut self) -> Self {
        let half = self.entries.len() / 2;
        Self {
            entries: self.entries.split_off(half),
            events: self.events.split_off(half),
        }
    }
}

fn decode(batch: Vec<EventEntry>) -> (Facts, Vec<(EventEntry, String)>) {
    let mut facts = Facts::default();
    let mut unreadable = Vec::new();
    for entry in batch {
        match (
            serde_json::from_str::<Event>(&entry.text),
            entry.id.parse::<EventId>(),
        ) {
            (Ok(event), _) if event.attempt.is_some() && event.labelled_attempt().is_none() => {
                unreadable.push((entry, "nothing says whose the attempt is".to_owned()));
            }
            (Ok(event), Ok(id)) => {
                let event = if entry.duplicate {
                    as_duplicate(event)
                } else {
                    event
                };
                facts.events.push((id, event));
                facts.entries.push(entry);
            }
            (Err(error), _) => unreadable.push((entry, error.to_string())),
            (_, Err(error)) => unreadable.push((entry, error.to_string())),
        }
    }
    (facts, unreadable)
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
