//! Writes closed windows of quotas and budgets, and alerts.

use std::{borrow::Cow, cmp::Ordering};

use chrono::{DateTime, Utc};
use longshore_protocol::event::{AlertRecord, WindowRecord};
use sqlx::PgConnection;

use super::column;
use crate::{EventId, sanitize};

pub(super) struct WindowWrite<'a> {
    meter: Cow<'a, str>,
    start: DateTime<Utc>,
    record: &'a WindowRecord,
    closed_at: DateTime<Utc>,
}

impl<'a> WindowWrite<'a> {
    pub(super) fn new(id: EventId, record: &'a WindowRecord) -> Self {
        Self {
            meter: sanitize::label(&record.meter),
            start: sanitize::timestamp_from_ms(record.start_ms),
            record,
            closed_at: sanitize::timestamp_from_ms(i64::try_from(id.ms).unwrap_or(i64::MAX)),
        }
    }

    pub(super) fn key(&self) -> (Cow<'a, str>, DateTime<Utc>) {
        (self.meter.clone(), self.start)
    }

    /// Which of two accounts of one window stays, by the same rule as `upsert_windows.sql`.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rank = |row: &Self| (sanitize::bigint(row.record.used), row.closed_at);
        rank(self).cmp(&rank(other))
    }
}

pub(super) async fn upsert_windows(
    rows: &[&WindowWrite<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/upsert_windows.sql"))
        .bind(column(rows, |row| row.meter.as_ref()))
        .bind(column(rows, |row| row.start))
        .bind(column(rows, |row| {
            sanitize::timestamp_from_ms(row.record.end_ms)
        }))
        .bind(column(rows, |row| row.record.unit.as_str()))
        .bind(column(rows, |row| sanitize::bigint(row.record.used)))
        .bind(column(rows, |row| sanitize::bigint(row.record.limit)))
        .bind(column(rows, |row| row.closed_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Meter, start of the window, threshold.
pub(super) type AlertKey<'a> = (Cow<'a, str>, DateTime<Utc>, i16);

pub(super) fn alert_key(record: &AlertRecord) -> AlertKey<'_> {
    (
        sanitize::label(&record.meter),
        sanitize::timestamp_from_ms(record.start_ms),
        record.threshold.into(),
    )
}

pub(super) async fn insert_alerts(
    rows: &[&AlertRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/insert_alerts.sql"))
        .bind(column(rows, |row| sanitize::label(&row.meter)))
        .bind(column(rows, |row| {
            sanitize::timestamp_from_ms(row.start_ms)
        }))
        .bind(column(rows, |row| i16::from(row.threshold)))
        .bind(column(rows, |row| {
            row.end_ms.map(sanitize::timestamp_from_ms)
        }))
        .bind(column(rows, |row| row.unit.as_str()))
        .bind(column(rows, |row| sanitize::bigint(row.used)))
        .bind(column(rows, |row| sanitize::bigint(row.limit)))
        .bind(column(rows, |row| sanitize::timestamp_from_ms(row.at_ms)))
        .execute(connection)
        .await?;
    Ok(())
}
