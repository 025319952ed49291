//! The ledger: the record of jobs, attempts, costs and dead letters in Postgres.
//!
//! Facts come from the events stream, at least once and in any order; each has an identity of its
//! own, so that the tables end up the same whatever the deliveries were. Nothing on the way of a
//! job waits for this module: Postgres may be away while the work goes on.

use std::{fmt, str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

mod alerts;
mod chains;
mod clean;
mod costs;
mod dead;
mod dropped;
mod error;
mod event_id;
mod outcomes;
mod prune;
mod queries;
mod reconcile;
mod record;
mod rows;
#[cfg(test)]
mod tests;
mod windows;

pub use chains::{ChainFilter, ChainJobFilter, ChainRow, Figures, StepRow};
pub use costs::{ChainCosts, CostLine, CostScope, CostSummary, JobCost, ReportedCosts};
pub use error::LedgerError;
pub use event_id::{BadEventId, EventId};
pub use prune::OldRows;
pub use queries::{JobFilter, JobHistory};
pub use reconcile::{DeadKey, OpenJob, ShortJob};
pub use rows::{BookRow, DeadRow, JobRow};

/// How long to wait for a connection before saying that there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A newer process may have migrated further than this one knows: in a rolling deploy the older
/// ones must still start.
static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.ignore_missing = true;
    migrator
};

/// The record in Postgres. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    options: PgConnectOptions,
    at: String,
}

/// Says where the ledger is, and never with which password.
impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.at).finish()
    }
}

impl Ledger {
    /// A ledger at `url`. Connects only when it is first used, so that services start while
    /// Postgres is away. Call it inside a tokio runtime.
    pub fn connect(url: &SecretString, max_connections: u32) -> Result<Self, LedgerError> {
        let options = parse(url.expose_secret())?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options.clone());
        let at = place(&options);
        Ok(Self { pool, options, at })
    }

    /// Where the record is: `host:port/database`, without user and password.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Brings the tables up to date. Safe to run from many processes at once, and again.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        // On a connection of its own: a failed migration leaves its lock behind, and closing the
        // connection is what frees it.
        let mut connection = self.connect_directly().await?;
        let result = MIGRATOR.run(&mut connection).await;
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "closing the connection that migrated");
        }
        result.map_err(|cause| LedgerError::Migrate {
            at: self.at.clone(),
            cause,
        })
    }

    /// The migrations that this program knows and the database has not seen, by name.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, LedgerError> {
        let mut connection = self.acquire().await?;
        let known: bool = sqlx::query_scalar(include_str!("migrations_known.sql"))
            .fetch_one(&mut *connection)
            .await
            .map_err(|cause| self.failed(cause))?;
        let applied: Vec<i64> = if known {
            sqlx::query_scalar(include_str!("migrations_applied.sql"))
                .fetch_all(&mut *connection)
                .await
                .map_err(|cause| self.failed(cause))?
        } else {
            Vec::new()
        };
        Ok(MIGRATOR
            .iter()
            .filter(|migration| !applied.contains(&migration.version))
            .map(|migration| format!("{:04} {}", migration.version, migration.description))
            .collect())
    }

    /// Whether Postgres answers.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        let mut connection = self.acquire().await?;
        connection.ping().await.map_err(|cause| self.failed(cause))
    }

    /// The server's version, as it says it (`15.18`).
    pub async fn version(&self) -> Result<String, LedgerError> {
        sqlx::query_scalar(include_str!("version.sql"))
            .fetch_one(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Closes the pool, after what is under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection of the pool. The pool keeps to itself why it found none, so that is asked for.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, LedgerError> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolTimedOut) => match self.connect_directly().await {
                Ok(_) => Err(self.failed(sqlx::Error::PoolTimedOut)),
                Err(why) => Err(why),
            },
            Err(cause) => Err(self.failed(cause)),
        }
    }

    async fn connect_directly(&self) -> Result<PgConnection, LedgerError> {
        tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: sqlx::Error) -> LedgerError {
        LedgerError::Query {
            at: self.at.clone(),
            cause,
        }
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, LedgerError> {
    // A password with a bare `/`, `?` or `#` would end up in the host's or the database's name,
    // and from there in messages.
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    if after_scheme
        .split_once(['/', '?', '#'])
        .is_some_and(|(_, rest)| rest.contains('@'))
    {
        return Err(LedgerError::Url(
            "an `@` stands after the host: percent-encode special characters of the password"
                .to_owned(),
        ));
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(LedgerError::Url(
            "it does not begin with postgres://".to_owned(),
        ));
    }
    PgConnectOptions::from_str(url)
        .map(|options| {
            options
                .application_name("longshore")
                .disable_statement_logging()
        })
        .map_err(|cause| LedgerError::Url(cause.to_string()))
}

fn place(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(
        || options.get_host().to_owned(),
        |socket| socket.display().to_string(),
    );
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}
