//! Failures of the ledger, and which of them to retry.

use std::{
    io,
    path::{Path, PathBuf},
};

use sqlx::migrate::MigrateError;

/// A failure of the ledger. The message contains the address, without the password.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL is invalid. The message does not repeat it, because it contains the password.
    #[error("the Postgres URL is not valid: {0}")]
    Url(String),
    /// A file that the settings name cannot be used.
    #[error("`{setting}`: {path} cannot be read: {reason}", path = path.display())]
    File {
        /// The setting, or the option of the URL.
        setting: &'static str,
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Postgres is unreachable, or rejected a statement.
    #[error("Postgres at {at}: {cause}")]
    Query {
        /// `host:port/database`.
        at: String,
        /// The error of the driver.
        cause: sqlx::Error,
    },
    /// Postgres accepted a statement and did not answer in time.
    #[error("Postgres at {at}: no answer within {seconds} s")]
    Timeout {
        /// `host:port/database`.
        at: String,
        /// The timeout.
        seconds: u64,
    },
    /// A migration failed.
    #[error("Postgres at {at}: migration failed: {cause}")]
    Migrate {
        /// `host:port/database`.
        at: String,
        /// The error of the migrator.
        cause: MigrateError,
    },
}

impl LedgerError {
    pub(crate) fn file(setting: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::File {
            setting,
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    /// Whether the same operation may succeed later.
    ///
    /// An error that is neither transient nor [bad data](Self::is_bad_data), such as a wrong password or a missing
    /// table, needs a person. The batch is not at fault, so it must be kept.
    pub fn is_transient(&self) -> bool {
        match self {
            // A file that is being replaced.
            Self::Timeout { .. } | Self::File { .. } => true,
            Self::Query { cause, .. }
            | Self::Migrate {
                cause: MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _),
                ..
            } => is_transient(cause),
            Self::Url(_) | Self::Migrate { .. } => false,
        }
    }

    /// Whether the batch is at fault. It fails again, but a part of it may succeed.
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Query {
                cause: sqlx::Error::Encode(_),
                ..
            } => true,
            Self::Query { cause, .. } if is_partition_change(cause) => false,
            Self::Query { cause, .. } => sql_state(cause).is_some_and(|code| {
                // Data exception, integrity violation, cardinality violation, limit exceeded.
                ["22", "23", "21", "54"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }),
            Self::Url(_) | Self::File { .. } | Self::Timeout { .. } | Self::Migrate { .. } => false,
        }
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    if is_partition_change(error) {
        return true;
    }
    if let Some(code) = sql_state(error) {
        // Classes: connection (08), transaction rollback (40), insufficient resources (53), operator intervention
        // (57), system error (58). Codes: lock not available; read-only transaction, as on a replica before its
        // promotion.
        return ["08", "40", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class))
            || ["55P03", "25006"].contains(&code.as_str());
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Whether the partitions of attempts change while an attempt is recorded: it must wait until the default partition is
/// split (`begin_attempt_split`), or its partition was created after Postgres had chosen the default one for it. The error
/// of the second names no constraint.
fn is_partition_change(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_check_violation()
            && match error.constraint() {
                Some(name) => name == "attempts_split",
                None => error.table() == Some("attempts_default"),
            }
    })
}

/// Whether somebody else holds a lock, or both wait for each other.
pub(crate) fn is_locked(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|code| ["55P03", "40P01"].contains(&code.as_str()))
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
