//! Writing: a batch of events becomes rows, in one transaction.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::{ErrorClass, FinishReason},
    chain::ChainId,
    event::{AlertRecord, AttemptRecord, DeadEnd, DropRecord, Event, JobLabels, JobRecord},
    id::{AttemptId, JobId, Place},
    money::Usd,
    state::AttemptOutcome,
};
use sqlx::{Connection, PgConnection};

use super::{
    EventId, Ledger, LedgerError,
    alerts::{self, AlertKey},
    chains::ChainLine,
    clean,
    dead::{self, DeadLine},
    windows::WindowLine,
};

/// After this long without an answer the connection counts as dead.
const RECORD_TIMEOUT: Duration = Duration::from_mins(1);

/// A statement carries at most about so much text, however large the answers of a batch are.
const STATEMENT_BYTES: usize = 8 << 20;

impl Ledger {
    /// Records a batch of events: all of it, durably, or nothing.
    ///
    /// Recording an event again, or after later ones, changes nothing.
    pub async fn record(&self, batch: &[(EventId, Event)]) -> Result<(), LedgerError> {
        let rows = Rows::of(batch);
        let mut connection = self.acquire().await?;
        let writing = tokio::time::timeout(RECORD_TIMEOUT, rows.write(&mut connection));
        if let Ok(result) = writing.await {
            return result.map_err(|cause| self.failed(cause));
        }
        // Given back, it would keep one of the pool's places for as long as it hangs.
        drop(connection.detach());
        Err(LedgerError::Timeout {
            at: self.at.clone(),
            seconds: RECORD_TIMEOUT.as_secs(),
        })
    }
}

/// A batch as rows. Each key stands once, because a statement may not touch a row twice; and in
/// order, because two writers that lock rows in different orders block each other.
struct Rows<'a> {
    jobs: BTreeMap<&'a JobId, JobLine<'a>>,
    attempts: BTreeMap<AttemptId, AttemptLine<'a>>,
    dead: BTreeMap<(&'a JobId, i64), DeadLine<'a>>,
    dead_ends: BTreeMap<(&'a JobId, i64), &'a DeadEnd>,
    dropped: BTreeMap<&'a Place, &'a DropRecord>,
    windows: BTreeMap<(Cow<'a, str>, DateTime<Utc>), WindowLine<'a>>,
    alerts: BTreeMap<AlertKey<'a>, &'a AlertRecord>,
    chains: BTreeMap<&'a ChainId, ChainLine<'a>>,
}

struct JobLine<'a> {
    version: i64,
    record: &'a JobRecord,
    metadata: Option<String>,
}

struct AttemptLine<'a> {
    rank: i16,
    record: &'a AttemptRecord,
    labels: &'a JobLabels,
    decision: Option<String>,
}

/// How much an account of an attempt knows.
fn rank(attempt: &AttemptRecord) -> i16 {
    match (attempt.outcome, attempt.duplicate) {
        (AttemptOutcome::Lost, _) => 0,
        (_, true) => 1,
        (_, false) => 2,
    }
}

/// Puts `line` in unless what is there is at least as good.
fn keep_best<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    key: K,
    line: V,
    compare: impl Fn(&V, &V) -> Ordering,
) {
    match map.entry(key) {
        Entry::Vacant(free) => {
            free.insert(line);
        }
        Entry::Occupied(mut taken) => {
            if compare(taken.get(), &line) == Ordering::Less {
                taken.insert(line);
            }
        }
    }
}

impl<'a> Rows<'a> {
    fn of(batch: &'a [(EventId, Event)]) -> Self {
        let mut rows = Self {
            jobs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            dead: BTreeMap::new(),
            dead_ends: BTreeMap::new(),
            dropped: BTreeMap::new(),
            windows: BTreeMap::new(),
            alerts: BTreeMap::new(),
            chains: BTreeMap::new(),
        };
        for (id, event) in batch {
            if let Some(record) = &event.job {
                let line = JobLine {
                    version: id.version(),
                    record,
                    metadata: record.metadata.as_ref().and_then(clean::json),
                };
                keep_best(&mut rows.jobs, &record.labels.job_id, line, |a, b| {
                    a.version.cmp(&b.version)
                });
            }
            if let Some((record, labels)) = event.labelled_attempt() {
                let line = AttemptLine {
                    rank: rank(record),
                    record,
                    labels,
                    decision: record.decision.as_ref().and_then(clean::json),
                };
                keep_best(&mut rows.attempts, record.attempt_id, line, |a, b| {
                    a.rank.cmp(&b.rank)
                });
            }
            if let Some(record) = &event.dead {
                let line = DeadLine {
                    record,
                    letter: None,
                };
                keep_best(&mut rows.dead, line.key(), line, |_, _| Ordering::Equal);
            }
            if let Some(record) = &event.dead_end {
                keep_best(
                    &mut rows.dead_ends,
                    dead::end_key(record),
                    record,
                    |_, _| Ordering::Equal,
                );
            }
            if let Some(record) = &event.dropped {
                keep_best(&mut rows.dropped, &record.place, record, |_, _| {
                    Ordering::Equal
                });
            }
            if let Some(record) = &event.window {
                let line = WindowLine::new(*id, record);
                keep_best(&mut rows.windows, line.key(), line, WindowLine::compare);
            }
            if let Some(record) = &event.alert {
                keep_best(&mut rows.alerts, alerts::key(record), record, |_, _| {
                    Ordering::Equal
                });
            }
            if let Some(record) = &event.chain {
                let line = ChainLine::new(*id, record);
                keep_best(&mut rows.chains, &record.chain_id, line, |a, b| {
                    a.version.cmp(&b.version)
                });
            }
        }
        rows
    }

    async fn write(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let mut transaction = connection.begin().await?;
        let jobs: Vec<&JobLine<'_>> = self.jobs.values().collect();
        for part in parts(&jobs, |line| line.weight()) {
            write_jobs(part, &mut transaction).await?;
        }
        let attempts: Vec<&AttemptLine<'_>> = self.attempts.values().collect();
        for part in parts(&attempts, |line| line.weight()) {
            write_attempts(part, &mut transaction).await?;
        }
        let dead: Vec<&DeadLine<'_>> = self.dead.values().collect();
        for part in parts(&dead, |line| line.weight()) {
            dead::insert(part, &mut transaction).await?;
        }
        if !self.dead_ends.is_empty() {
            let ends: Vec<&DeadEnd> = self.dead_ends.values().copied().collect();
            dead::end(&ends, &mut transaction).await?;
        }
        if !self.dropped.is_empty() {
            let dropped: Vec<&DropRecord> = self.dropped.values().copied().collect();
            super::dropped::insert(&dropped, &mut transaction).await?;
        }
        if !self.windows.is_empty() {
            let windows: Vec<&WindowLine<'_>> = self.windows.values().collect();
            super::windows::upsert(&windows, &mut transaction).await?;
        }
        if !self.alerts.is_empty() {
            let alerts: Vec<&AlertRecord> = self.alerts.values().copied().collect();
            alerts::insert(&alerts, &mut transaction).await?;
        }
        if !self.chains.is_empty() {
            let chains: Vec<&ChainLine<'_>> = self.chains.values().collect();
            super::chains::upsert(&chains, &mut transaction).await?;
        }
        transaction.commit().await
    }
}

impl JobLine<'_> {
    fn weight(&self) -> usize {
        let JobRecord {
            labels,
            prompt_head,
            platform,
            model,
            output,
            error,
            ..
        } = self.record;
        let optional = [platform, model, output, error, &self.metadata];
        SHORT_TEXTS + labels.task_type.len() + prompt_head.len() + lengths(optional)
    }
}

impl AttemptLine<'_> {
    fn weight(&self) -> usize {
        let AttemptRecord {
            model,
            error,
            response_id,
            ..
        } = self.record;
        let optional = [error, response_id, &self.decision];
        SHORT_TEXTS + self.labels.task_type.len() + model.len() + lengths(optional)
    }
}

/// What the columns of a row that are always short come to.
const SHORT_TEXTS: usize = 1000;

fn lengths<const N: usize>(texts: [&Option<String>; N]) -> usize {
    texts.into_iter().flatten().map(String::len).sum()
}

/// Cuts lines into runs of at most [`STATEMENT_BYTES`]; a heavier line makes a run alone.
pub(super) fn parts<T>(lines: &[T], weight: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|line| {
                bytes += weight(line);
                bytes <= STATEMENT_BYTES
            })
            .count();
        let (run, after) = rest.split_at(fitting.max(1));
        runs.push(run);
        rest = after;
    }
    runs
}

/// One column of many rows.
pub(super) fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

fn maybe_instant(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.map(clean::instant)
}

async fn write_jobs(rows: &[&JobLine<'_>], connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(include_str!("upsert_jobs.sql"))
        .bind(column(rows, |row| row.record.labels.job_id.as_str()))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.record.labels.queue.as_str()))
        .bind(column(rows, |row| {
            clean::text(&row.record.labels.task_type)
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.labels.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.labels.chain_id.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.labels.parent_id.as_ref())
        }))
        .bind(column(rows, |row| row.record.state.as_str()))
        .bind(column(rows, |row| clean::instant(row.record.enqueued_at)))
        .bind(column(rows, |row| maybe_instant(row.record.started_at)))
        .bind(column(rows, |row| maybe_instant(row.record.finished_at)))
        .bind(column(rows, |row| maybe_instant(row.record.due_at)))
        .bind(column(rows, |row| {
            clean::maybe(row.record.platform.as_ref())
        }))
        .bind(column(rows, |row| clean::maybe(row.record.model.as_ref())))
        .bind(column(rows, |row| clean::small(row.record.attempts)))
        .bind(column(rows, |row| clean::text(&row.record.prompt_head)))
        .bind(column(rows, |row| clean::maybe(row.record.output.as_ref())))
        .bind(column(rows, |row| {
            row.record.finish_reason.map(FinishReason::as_str)
        }))
        .bind(column(rows, |row| clean::maybe(row.record.error.as_ref())))
        .bind(column(rows, |row| {
            clean::maybe(row.record.error_class.as_ref())
        }))
        .bind(column(rows, |row| row.metadata.as_deref()))
        .bind(column(rows, |row| {
            clean::maybe(row.record.traceparent.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.labels.step.as_ref())
        }))
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_attempts(
    rows: &[&AttemptLine<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("upsert_attempts.sql"))
        .bind(column(rows, |row| row.record.attempt_id.0))
        .bind(column(rows, |row| row.rank))
        .bind(column(rows, |row| row.labels.job_id.as_str()))
        .bind(column(rows, |row| row.labels.queue.as_str()))
        .bind(column(rows, |row| clean::text(&row.labels.task_type)))
        .bind(column(rows, |row| {
            clean::maybe_label(row.labels.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.labels.chain_id.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.labels.parent_id.as_ref())
        }))
        .bind(column(rows, |row| clean::small(row.record.attempt)))
        .bind(column(rows, |row| row.record.worker.as_str()))
        .bind(column(rows, |row| clean::text(&row.record.platform)))
        .bind(column(rows, |row| clean::text(&row.record.model)))
        .bind(column(rows, |row| clean::text(&row.record.routing_reason)))
        .bind(column(rows, |row| clean::instant(row.record.started_at)))
        .bind(column(rows, |row| maybe_instant(row.record.finished_at)))
        .bind(column(rows, |row| row.record.outcome.as_str()))
        .bind(column(rows, |row| row.record.duplicate))
        .bind(column(rows, |row| {
            row.record.error_class.map(ErrorClass::as_str)
        }))
        .bind(column(rows, |row| clean::maybe(row.record.error.as_ref())))
        .bind(column(rows, |row| row.record.status.map(i32::from)))
        .bind(column(rows, |row| clean::count(row.record.usage.input)))
        .bind(column(rows, |row| clean::count(row.record.usage.cached)))
        .bind(column(rows, |row| {
            clean::count(row.record.usage.cache_write)
        }))
        .bind(column(rows, |row| {
            clean::count(row.record.usage.cache_write_1h)
        }))
        .bind(column(rows, |row| clean::count(row.record.usage.output)))
        .bind(column(rows, |row| clean::count(row.record.usage.reasoning)))
        .bind(column(rows, |row| {
            row.record.cost_usd.map(|Usd(cost)| cost)
        }))
        .bind(column(rows, |row| row.record.reserved_usd.0))
        .bind(column(rows, |row| {
            clean::maybe(row.record.response_id.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe(row.record.traceparent.as_ref())
        }))
        .bind(column(rows, |row| row.decision.as_deref()))
        .bind(column(rows, |row| {
            row.record.reported_cost_usd.map(|Usd(cost)| cost)
        }))
        .bind(column(rows, |row| {
            row.record.tokens_estimated.map(clean::count)
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.labels.step.as_ref())
        }))
        .execute(connection)
        .await?;
    Ok(())
}
