//! What can go wrong with the record, and what to do about it.

use sqlx::migrate::MigrateError;

/// A failure of the ledger. Its text says where, and never with which password.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The address cannot be used; its text is not repeated, because it holds the password.
    #[error("the Postgres URL cannot be used: {0}")]
    Url(String),
    /// Postgres is not there, or said no.
    #[error("Postgres at {at}: {cause}")]
    Query {
        /// Where: `host:port/database`.
        at: String,
        /// What it said.
        cause: sqlx::Error,
    },
    /// Postgres took a statement and did not answer in time.
    #[error("Postgres at {at}: no answer within {seconds} s")]
    Timeout {
        /// Where: `host:port/database`.
        at: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The tables could not be brought up to date.
    #[error("Postgres at {at}: cannot migrate: {cause}")]
    Migrate {
        /// Where: `host:port/database`.
        at: String,
        /// What stopped it.
        cause: MigrateError,
    },
}

impl LedgerError {
    /// Whether it passes by itself: try the same again later.
    ///
    /// What is neither this nor [`Self::is_bad_data`] (a wrong password, a missing table) wants a
    /// person; the batch is not at fault, so it must be kept.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Query { cause, .. }
            | Self::Migrate {
                cause: MigrateError::Execute(cause),
                ..
            } => passes(cause),
            Self::Url(_) | Self::Migrate { .. } => false,
        }
    }

    /// Whether the batch itself is at fault: it fails again, but a part of it may not.
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Query {
                cause: sqlx::Error::Encode(_),
                ..
            } => true,
            Self::Query { cause, .. } => code(cause).is_some_and(|code| {
                // Data exception, integrity violation, cardinality violation, limit exceeded.
                ["22", "23", "21", "54"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }),
            Self::Url(_) | Self::Timeout { .. } | Self::Migrate { .. } => false,
        }
    }
}

fn passes(error: &sqlx::Error) -> bool {
    if let Some(code) = code(error) {
        // Classes: connection (08), transaction rolled back (40), out of memory, disk or
        // connections (53), shutdown and restart (57), the system under it (58). And: a lock not to
        // be had in time; read-only, as a replica is until it takes over.
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

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
