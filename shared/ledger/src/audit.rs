//! Queries about the acts of people.

use chrono::{DateTime, Utc};
use longshore_protocol::{event::AuditRecord, id::ActId};
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{
    Ledger, LedgerError,
    rows::{decode, decode_optional_count},
    sanitize,
};

/// Which acts to list: those that match every field that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilter {
    /// Begun at this time or later.
    pub since: DateTime<Utc>,
    pub actor: Option<String>,
    /// The words of a command, or the first of them.
    pub command: Option<String>,
    pub limit: u32,
}

impl Ledger {
    /// The acts that match, newest first.
    pub async fn acts(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, LedgerError> {
        let rows: Vec<AuditRow> = sqlx::query_as(include_str!("../sql/audit.sql"))
            .bind(sanitize::timestamp(filter.since))
            .bind(sanitize::optional_label(filter.actor.as_ref()))
            .bind(sanitize::optional_label(filter.command.as_ref()))
            .bind(i64::from(filter.limit))
            .fetch_all(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))?;
        Ok(rows.into_iter().map(|AuditRow(act)| act).collect())
    }
}

/// Decodes an [`AuditRecord`], which belongs to another crate.
struct AuditRow(AuditRecord);

impl FromRow<'_, PgRow> for AuditRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(AuditRecord {
            act_id: ActId(row.try_get("act_id")?),
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            command: row.try_get("command")?,
            what: row.try_get("what")?,
            affected: decode_optional_count(row, "affected")?,
            outcome: decode(row, "outcome")?,
            error: row.try_get("error")?,
        }))
    }
}
