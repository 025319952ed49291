//! Writes dead letters, their resolutions, and dropped messages. The first record of each stays.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    clock::local_time,
    event::{DeadLetterEnd, DeadLetterRecord, DeadLetterResolution, DropRecord},
    id::JobId,
};
use sqlx::{Connection, PgConnection};

use super::{SHORT_COLUMNS, column, split_by_size};
use crate::{Ledger, LedgerError, sanitize};

impl Ledger {
    /// Archives whole dead letters, each with its JSON, before they leave Redis.
    ///
    /// The first copy of a dead letter stays. Its event may be recorded before or after.
    pub async fn archive_dead_letters(
        &self,
        letters: &[(DeadLetterRecord, String)],
    ) -> Result<(), LedgerError> {
        let rows: BTreeMap<_, _> = letters
            .iter()
            .map(|(record, json)| DeadLetterWrite {
                record,
                json: Some(json),
            })
            .map(|row| (row.key(), row))
            .collect();
        let rows: Vec<_> = rows.values().collect();
        let mut connection = self.acquire().await?;
        archive(&rows, &mut connection)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Records what happened to dead letters, given by id and time of death. The first resolution stays.
    pub async fn resolve_dead_letters(
        &self,
        letters: &[(JobId, DateTime<Utc>)],
        resolution: DeadLetterResolution,
    ) -> Result<(), LedgerError> {
        let gone_at = local_time();
        let resolutions: Vec<DeadLetterEnd> = letters
            .iter()
            .map(|(id, at)| DeadLetterEnd {
                id: id.clone(),
                at: *at,
                resolution,
                gone_at,
            })
            .collect();
        let rows: BTreeMap<_, _> = resolutions
            .iter()
            .map(|row| (resolution_key(row), row))
            .collect();
        let rows: Vec<_> = rows.into_values().collect();
        resolve(&rows, &mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}

/// A dead letter to write, with or without its JSON.
pub(super) struct DeadLetterWrite<'a> {
    record: &'a DeadLetterRecord,
    json: Option<&'a str>,
}

impl<'a> DeadLetterWrite<'a> {
    pub(super) fn without_json(record: &'a DeadLetterRecord) -> Self {
        Self { record, json: None }
    }

    /// The key in the table. Postgres stores microseconds.
    pub(super) fn key(&self) -> (&'a JobId, i64) {
        (&self.record.id, micros(self.record.at))
    }

    /// The approximate size of the row in bytes.
    pub(super) fn size(&self) -> usize {
        self.json.map_or(0, str::len) + self.record.error.len() + SHORT_COLUMNS
    }
}

/// The key of a resolution in the table.
pub(super) fn resolution_key(end: &DeadLetterEnd) -> (&JobId, i64) {
    (&end.id, micros(end.at))
}

fn micros(at: DateTime<Utc>) -> i64 {
    sanitize::timestamp(at).timestamp_micros()
}

pub(super) async fn insert(
    rows: &[&DeadLetterWrite<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    bind_record(include_str!("../../sql/insert_dead_letters.sql"), rows)
        .execute(connection)
        .await?;
    Ok(())
}

async fn archive(rows: &[&DeadLetterWrite<'_>], connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    for rows in split_by_size(rows, |row| row.size()) {
        bind_record(include_str!("../../sql/archive_dead_letters.sql"), rows)
            .bind(column(rows, |row| row.json.map(sanitize::without_nul)))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

pub(super) async fn resolve(
    rows: &[&DeadLetterEnd],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/resolve_dead_letters.sql"))
        .bind(column(rows, |row| row.id.as_str()))
        .bind(column(rows, |row| sanitize::timestamp(row.at)))
        .bind(column(rows, |row| row.resolution.as_str()))
        .bind(column(rows, |row| sanitize::timestamp(row.gone_at)))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_dropped(
    rows: &[&DropRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/insert_dropped_messages.sql"))
        .bind(column(rows, |row| row.entry_id.as_str()))
        .bind(column(rows, |row| row.job_id.as_str()))
        .bind(column(rows, |row| sanitize::timestamp(row.at)))
        .execute(connection)
        .await?;
    Ok(())
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds the columns that both statements begin with.
fn bind_record<'a>(sql: &'static str, rows: &[&'a DeadLetterWrite<'a>]) -> Statement<'a> {
    sqlx::query(sql)
        .bind(column(rows, |row| row.record.id.as_str()))
        .bind(column(rows, |row| sanitize::timestamp(row.record.at)))
        .bind(column(rows, |row| row.record.entry_id.as_str()))
        .bind(column(rows, |row| row.record.queue.as_str()))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.record.reason)
        }))
        .bind(column(rows, |row| sanitize::without_nul(&row.record.error)))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.task_type.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.record.platform.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.chain_id.as_ref())
        }))
        .bind(column(rows, |row| sanitize::integer(row.record.attempts)))
}
