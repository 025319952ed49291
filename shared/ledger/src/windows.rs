//! Windows of quotas and budgets that are over.

use std::{borrow::Cow, cmp::Ordering};

use chrono::{DateTime, Utc};
use longshore_protocol::event::WindowRecord;
use sqlx::PgConnection;

use super::{EventId, clean, record::column};

/// A window to write.
pub(super) struct WindowLine<'a> {
    meter: Cow<'a, str>,
    start: DateTime<Utc>,
    record: &'a WindowRecord,
    closed: i64,
}

impl<'a> WindowLine<'a> {
    pub(super) fn new(id: EventId, record: &'a WindowRecord) -> Self {
        Self {
            meter: clean::label(&record.meter),
            start: moment(record.start_ms),
            record,
            closed: i64::try_from(id.ms).unwrap_or(i64::MAX),
        }
    }

    /// The key as Postgres sees it.
    pub(super) fn key(&self) -> (Cow<'a, str>, DateTime<Utc>) {
        (self.meter.clone(), self.start)
    }

    /// Which of two accounts of one window stays: as the statement has it.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rank = |line: &Self| (clean::count(line.record.used), moment(line.closed));
        rank(self).cmp(&rank(other))
    }
}

pub(super) fn moment(ms: i64) -> DateTime<Utc> {
    clean::instant(DateTime::from_timestamp_millis(ms).unwrap_or_default())
}

/// Writes windows, each once.
pub(super) async fn upsert(
    rows: &[&WindowLine<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("upsert_windows.sql"))
        .bind(column(rows, |row| row.meter.as_ref()))
        .bind(column(rows, |row| row.start))
        .bind(column(rows, |row| moment(row.record.end_ms)))
        .bind(column(rows, |row| row.record.unit.as_str()))
        .bind(column(rows, |row| clean::count(row.record.used)))
        .bind(column(rows, |row| clean::count(row.record.limit)))
        .bind(column(rows, |row| moment(row.closed)))
        .execute(connection)
        .await?;
    Ok(())
}
