//! Records events: a batch becomes rows, in one transaction.

mod attempts;
mod audit;
mod chains;
mod dead_letters;
mod jobs;
mod quotas;
mod reviews;

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::ChainId,
    event::{ActOutcome, AlertRecord, AuditRecord, ChainEvent, DeadLetterEnd, DropRecord, Event},
    id::{ActId, AttemptId, EntryId, JobId},
    review::{ReviewRecord, ReviewState},
};
use sqlx::{Connection, PgConnection};

use self::{
    attempts::AttemptWrite,
    chains::ChainWrite,
    dead_letters::DeadLetterWrite,
    jobs::JobWrite,
    quotas::{AlertKey, WindowWrite},
};
use super::{EventId, Ledger, LedgerError};

/// A connection that does not answer for this long counts as dead.
const RECORD_TIMEOUT: Duration = Duration::from_mins(1);

/// The approximate size of a statement, however large the answers in a batch are.
const STATEMENT_BYTES: usize = 8 << 20;

/// The approximate size of the columns of a row that are always short, in bytes.
const SHORT_COLUMNS: usize = 1000;

impl Ledger {
    /// Records a batch of events durably, all or none.
    ///
    /// Recording an event twice, or after later ones, changes nothing.
    pub async fn record(&self, batch: &[(EventId, Event)]) -> Result<(), LedgerError> {
        let rows = Rows::from_events(batch);
        let mut connection = self.acquire().await?;
        let writing = tokio::time::timeout(RECORD_TIMEOUT, rows.write(&mut connection));
        if let Ok(result) = writing.await {
            return result.map_err(|cause| self.failed(cause));
        }
        // In the pool, it would occupy a slot for as long as it hangs.
        drop(connection.detach());
        Err(LedgerError::Timeout {
            at: self.address.clone(),
            seconds: RECORD_TIMEOUT.as_secs(),
        })
    }
}

/// The rows of a batch. Each key occurs once, because a statement must not touch a row twice. They are in order,
/// because two writers that lock rows in different orders deadlock.
#[derive(Default)]
struct Rows<'a> {
    jobs: BTreeMap<&'a JobId, JobWrite<'a>>,
    attempts: BTreeMap<AttemptId, AttemptWrite<'a>>,
    dead_letters: BTreeMap<(&'a JobId, i64), DeadLetterWrite<'a>>,
    resolutions: BTreeMap<(&'a JobId, i64), &'a DeadLetterEnd>,
    dropped: BTreeMap<&'a EntryId, &'a DropRecord>,
    windows: BTreeMap<(Cow<'a, str>, DateTime<Utc>), WindowWrite<'a>>,
    alerts: BTreeMap<AlertKey<'a>, &'a AlertRecord>,
    chains: BTreeMap<&'a ChainId, ChainWrite<'a>>,
    acts: BTreeMap<ActId, &'a AuditRecord>,
    reviews: BTreeMap<(&'a JobId, DateTime<Utc>), &'a ReviewRecord>,
}

impl<'a> Rows<'a> {
    fn from_events(batch: &'a [(EventId, Event)]) -> Self {
        let mut rows = Self::default();
        for (id, event) in batch {
            rows.add(*id, event);
        }
        rows
    }

    fn add(&mut self, id: EventId, event: &'a Event) {
        if let Some(record) = &event.job {
            let job = JobWrite::new(id, record);
            keep_better(&mut self.jobs, &record.labels.job_id, job, |old, new| {
                old.version.cmp(&new.version)
            });
        }
        if let Some((record, labels)) = event.labelled_attempt() {
            let attempt = AttemptWrite::new(record, labels);
            keep_better(
                &mut self.attempts,
                record.attempt_id,
                attempt,
                |old, new| old.rank.cmp(&new.rank),
            );
        }
        if let Some(record) = &event.dead {
            let letter = DeadLetterWrite::without_json(record);
            self.dead_letters.entry(letter.key()).or_insert(letter);
        }
        if let Some(record) = &event.dead_end {
            let key = dead_letters::resolution_key(record);
            self.resolutions.entry(key).or_insert(record);
        }
        if let Some(record) = &event.dropped {
            self.dropped.entry(&record.entry_id).or_insert(record);
        }
        if let Some(record) = &event.window {
            let window = WindowWrite::new(id, record);
            keep_better(
                &mut self.windows,
                window.key(),
                window,
                WindowWrite::compare,
            );
        }
        if let Some(record) = &event.alert {
            self.alerts
                .entry(quotas::alert_key(record))
                .or_insert(record);
        }
        if let Some(ChainEvent { record, .. }) = event.chain.as_deref() {
            let chain = ChainWrite::new(id, record);
            keep_better(&mut self.chains, &record.chain_id, chain, |old, new| {
                old.version.cmp(&new.version)
            });
        }
        if let Some(record) = event.audit.as_deref() {
            let has_ended = |record: &AuditRecord| record.outcome != ActOutcome::Begun;
            keep_better(&mut self.acts, record.act_id, record, |old, new| {
                has_ended(old).cmp(&has_ended(new))
            });
        }
        if let Some(record) = event.review.as_deref() {
            let has_ended = |record: &ReviewRecord| record.state != ReviewState::Awaiting;
            let key = (&record.review.id, record.review.asked_at);
            keep_better(&mut self.reviews, key, record, |old, new| {
                has_ended(old).cmp(&has_ended(new))
            });
        }
    }

    async fn write(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let mut transaction = connection.begin().await?;
        let all: Vec<_> = self.jobs.values().collect();
        for rows in split_by_size(&all, |row| row.size()) {
            jobs::upsert(rows, &mut transaction).await?;
        }
        let all: Vec<_> = self.attempts.values().collect();
        for rows in split_by_size(&all, |row| row.size()) {
            attempts::upsert(rows, &mut transaction).await?;
        }
        let all: Vec<_> = self.dead_letters.values().collect();
        for rows in split_by_size(&all, |row| row.size()) {
            dead_letters::insert(rows, &mut transaction).await?;
        }
        if !self.resolutions.is_empty() {
            let rows: Vec<_> = self.resolutions.values().copied().collect();
            dead_letters::resolve(&rows, &mut transaction).await?;
        }
        if !self.dropped.is_empty() {
            let rows: Vec<_> = self.dropped.values().copied().collect();
            dead_letters::insert_dropped(&rows, &mut transaction).await?;
        }
        if !self.windows.is_empty() {
            let rows: Vec<_> = self.windows.values().collect();
            quotas::upsert_windows(&rows, &mut transaction).await?;
        }
        if !self.alerts.is_empty() {
            let rows: Vec<_> = self.alerts.values().copied().collect();
            quotas::insert_alerts(&rows, &mut transaction).await?;
        }
        if !self.chains.is_empty() {
            let rows: Vec<_> = self.chains.values().collect();
            chains::upsert(&rows, &mut transaction).await?;
        }
        if !self.acts.is_empty() {
            let rows: Vec<_> = self.acts.values().copied().collect();
            audit::upsert(&rows, &mut transaction).await?;
        }
        let all: Vec<_> = self.reviews.values().copied().collect();
        for rows in split_by_size(&all, |row| reviews::size(row)) {
            reviews::upsert(rows, &mut transaction).await?;
        }
        transaction.commit().await
    }
}

/// Inserts `row`, unless the row of this key is at least as good.
fn keep_better<K: Ord, V>(
    rows: &mut BTreeMap<K, V>,
    key: K,
    row: V,
    compare: impl Fn(&V, &V) -> Ordering,
) {
    if rows
        .get(&key)
        .is_none_or(|old| compare(old, &row) == Ordering::Less)
    {
        rows.insert(key, row);
    }
}

/// Splits rows into runs of at most [`STATEMENT_BYTES`]. A larger row is a run of its own.
fn split_by_size<T>(rows: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|row| {
                bytes += size(row);
                bytes <= STATEMENT_BYTES
            })
            .count();
        let (run, after) = rest.split_at(fitting.max(1));
        runs.push(run);
        rest = after;
    }
    runs
}

/// One column of all rows, as a parameter of a statement.
fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

fn text_length<const N: usize>(columns: [&Option<String>; N]) -> usize {
    columns.into_iter().flatten().map(String::len).sum()
}
