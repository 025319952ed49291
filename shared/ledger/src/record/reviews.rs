//! Writes reviews.

use longshore_protocol::review::{DefaultVerdict, ReviewRecord};
use sqlx::PgConnection;

use super::{SHORT_COLUMNS, column, text_length};
use crate::sanitize;

/// The size of a row.
pub(super) fn size(row: &ReviewRecord) -> usize {
    SHORT_COLUMNS + row.review.question.len() + text_length([&row.review.artefact, &row.comment])
}

pub(super) async fn upsert(
    rows: &[&ReviewRecord],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let texts = sanitize::optional_without_nul;
    sqlx::query(include_str!("../../sql/upsert_reviews.sql"))
        .bind(column(rows, |row| row.review.id.as_str()))
        .bind(column(rows, |row| sanitize::timestamp(row.review.asked_at)))
        .bind(column(rows, |row| row.review.chain.as_str()))
        .bind(column(rows, |row| row.review.step.to_string()))
        .bind(column(rows, |row| texts(row.review.asks.as_ref())))
        .bind(column(rows, |row| {
            sanitize::without_nul(&row.review.question)
        }))
        .bind(column(rows, |row| texts(row.review.artefact.as_ref())))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.review.deadline)
        }))
        .bind(column(rows, |row| {
            row.review.default.map(DefaultVerdict::as_str)
        }))
        .bind(column(rows, |row| row.state.as_str()))
        .bind(column(rows, |row| {
            sanitize::optional_timestamp(row.decided_at)
        }))
        .bind(column(rows, |row| texts(row.by.as_ref())))
        .bind(column(rows, |row| texts(row.comment.as_ref())))
        .execute(connection)
        .await?;
    Ok(())
}
