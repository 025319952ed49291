//! Alerts: windows that were used up to a part of their limits.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use longshore_protocol::event::AlertRecord;
use sqlx::PgConnection;

use super::{clean, record::column, windows::moment};

/// The key of an alert as Postgres sees it.
pub(super) type AlertKey<'a> = (Cow<'a, str>, DateTime<Utc>, i16);

pub(super) fn key(record: &AlertRecord) -> AlertKey<'_> {
    (
        clean::label(&record.meter),
        moment(record.start_ms),
        record.threshold.into(),
    )
}

/// Writes alerts, each once.
pub(super) async fn insert(
    rows: &[&AlertRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("insert_alerts.sql"))
        .bind(column(rows, |row| clean::label(&row.meter)))
        .bind(column(rows, |row| moment(row.start_ms)))
        .bind(column(rows, |row| i16::from(row.threshold)))
        .bind(column(rows, |row| row.end_ms.map(moment)))
        .bind(column(rows, |row| row.unit.as_str()))
        .bind(column(rows, |row| clean::count(row.used)))
        .bind(column(rows, |row| clean::count(row.limit)))
        .bind(column(rows, |row| moment(row.at_ms)))
        .execute(connection)
        .await?;
    Ok(())
}
