//! Writes chains: the newest version of each.

use longshore_protocol::event::ChainRecord;
use sqlx::PgConnection;

use super::column;
use crate::{EventId, sanitize};

pub(super) struct ChainWrite<'a> {
    pub(super) version: i64,
    record: &'a ChainRecord,
}

impl<'a> ChainWrite<'a> {
    pub(super) fn new(id: EventId, record: &'a ChainRecord) -> Self {
        Self {
            version: id.version(),
            record,
        }
    }
}

pub(super) async fn upsert(
    rows: &[&ChainWrite<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/upsert_chains.sql"))
        .bind(column(rows, |row| row.record.chain_id.as_str()))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| {
            sanitize::optional_label(row.record.name.as_ref())
        }))
        .bind(column(rows, |row| row.record.kind.as_str()))
        .bind(column(rows, |row| row.record.state.as_str()))
        .bind(column(rows, |row| sanitize::bigint(row.record.steps)))
        .bind(column(rows, |row| {
            sanitize::timestamp_from_ms(row.record.begun_ms)
        }))
        .bind(column(rows, |row| {
            row.record.ended_ms.map(sanitize::timestamp_from_ms)
        }))
        .execute(connection)
        .await?;
    Ok(())
}
