//! Messages that were dropped because another came first.

use longshore_protocol::event::DropRecord;
use sqlx::PgConnection;

use super::{clean, record::column};

/// Records dropped messages; what is told twice changes nothing.
pub(super) async fn insert(
    rows: &[&DropRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("insert_dropped.sql"))
        .bind(column(rows, |row| row.place.as_str()))
        .bind(column(rows, |row| row.job_id.as_str()))
        .bind(column(rows, |row| clean::instant(row.at)))
        .execute(connection)
        .await?;
    Ok(())
}
