//! Writes acts.

use longshore_protocol::event::AuditRecord;
use sqlx::PgConnection;

use super::column;
use crate::sanitize;

pub(super) async fn upsert(
    rows: &[&AuditRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("../../sql/upsert_audit.sql"))
        .bind(column(rows, |row| row.act_id.0))
        .bind(column(rows, |row| sanitize::timestamp(row.at)))
        .bind(column(rows, |row| sanitize::label(&row.actor)))
        .bind(column(rows, |row| sanitize::label(&row.command)))
        .bind(column(rows, |row| sanitize::without_nul(&row.what)))
        .bind(column(rows, |row| row.affected.map(sanitize::bigint)))
        .bind(column(rows, |row| row.outcome.as_str()))
        .bind(column(rows, |row| {
            sanitize::optional_without_nul(row.error.as_ref())
        }))
        .execute(connection)
        .await?;
    Ok(())
}
