//! Dead letters: that they came to be, the whole of them, and what became of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    event::{DeadEnd, DeadRecord, DeadResolution},
    id::JobId,
};
use sqlx::{Connection, PgConnection};

use super::{
    Ledger, LedgerError, clean,
    record::{column, parts},
};

/// A dead letter to write, with or without the letter itself.
pub(super) struct DeadLine<'a> {
    pub(super) record: &'a DeadRecord,
    pub(super) letter: Option<&'a str>,
}

impl<'a> DeadLine<'a> {
    /// The key as Postgres sees it: its clock has microseconds.
    pub(super) fn key(&self) -> (&'a JobId, i64) {
        (
            &self.record.id,
            clean::instant(self.record.at).timestamp_micros(),
        )
    }

    pub(super) fn weight(&self) -> usize {
        self.letter.map_or(0, str::len) + self.record.error.len() + 1000
    }
}

impl Ledger {
    /// Keeps dead letters whole, before they leave Redis: each record with its letter's JSON.
    /// The first copy stays. Whether their events have been recorded yet does not matter.
    pub async fn archive_dead(&self, letters: &[(DeadRecord, String)]) -> Result<(), LedgerError> {
        let lines: BTreeMap<_, _> = letters
            .iter()
            .map(|(record, letter)| DeadLine {
                record,
                letter: Some(letter),
            })
            .map(|line| (line.key(), line))
            .collect();
        let lines: Vec<&DeadLine<'_>> = lines.values().collect();
        let mut connection = self.acquire().await?;
        archive(&lines, &mut connection)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Says what became of dead letters, named by id and time of death. The first word stays.
    pub async fn dead_gone(
        &self,
        letters: &[(JobId, DateTime<Utc>)],
        resolution: DeadResolution,
    ) -> Result<(), LedgerError> {
        let gone_at = Utc::now();
        let ends: Vec<DeadEnd> = letters
            .iter()
            .map(|(id, at)| DeadEnd {
                id: id.clone(),
                at: *at,
                resolution,
                gone_at,
            })
            .collect();
        let ends: BTreeMap<_, _> = ends.iter().map(|end| (end_key(end), end)).collect();
        let ends: Vec<&DeadEnd> = ends.into_values().collect();
        end(&ends, &mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }
}

/// The key of a letter's end as Postgres sees it.
pub(super) fn end_key(end: &DeadEnd) -> (&JobId, i64) {
    (&end.id, clean::instant(end.at).timestamp_micros())
}

/// Says what became of dead letters, every one once and in the order of their keys.
pub(super) async fn end(ends: &[&DeadEnd], connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(include_str!("end_dead.sql"))
        .bind(column(ends, |end| end.id.as_str()))
        .bind(column(ends, |end| clean::instant(end.at)))
        .bind(column(ends, |end| end.resolution.as_str()))
        .bind(column(ends, |end| clean::instant(end.gone_at)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn archive(lines: &[&DeadLine<'_>], connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    for part in parts(lines, |line| line.weight()) {
        bound(include_str!("archive_dead.sql"), part)
            .bind(column(part, |row| row.letter.map(clean::text)))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Records that messages became dead letters.
pub(super) async fn insert(
    lines: &[&DeadLine<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    bound(include_str!("insert_dead.sql"), lines)
        .execute(connection)
        .await?;
    Ok(())
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The columns that both statements begin with.
fn bound<'a>(sql: &'static str, rows: &[&'a DeadLine<'a>]) -> Statement<'a> {
    sqlx::query(sql)
        .bind(column(rows, |row| row.record.id.as_str()))
        .bind(column(rows, |row| clean::instant(row.record.at)))
        .bind(column(rows, |row| row.record.place.as_str()))
        .bind(column(rows, |row| row.record.queue.as_str()))
        .bind(column(rows, |row| clean::text(&row.record.reason)))
        .bind(column(rows, |row| clean::text(&row.record.error)))
        .bind(column(rows, |row| {
            clean::maybe(row.record.task_type.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe(row.record.platform.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.tenant.as_ref())
        }))
        .bind(column(rows, |row| {
            clean::maybe_label(row.record.chain_id.as_ref())
        }))
        .bind(column(rows, |row| clean::small(row.record.attempts)))
}
