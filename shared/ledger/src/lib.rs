//! The ledger: jobs, attempts, costs and dead letters in Postgres.
//!
//! Facts come from the events stream, at least once and in any order. Each has an identity of its own, so that
//! the tables are the same for any order and any repetition. No job waits for the ledger: jobs run while
//! Postgres is unreachable.
//!
//! The statements are in `sql/`, the tables in `migrations/`; `migrations/schema.sql` shows the result.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_protocol::encryption::{Content, Keyring};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::net::{TcpStream, UnixStream};

// Writing.
mod event_id;
mod record;
mod sanitize;

// Reading.
mod answer_lengths;
mod audit;
mod chains;
mod costs;
mod failures;
mod jobs;
mod outcomes;
mod reconcile;
mod reviews;
mod rows;
mod window_usage;

mod partitions;
mod prune;

mod error;
mod files;

use self::{
    error::is_locked,
    files::PasswordFile,
    partitions::{LOCK_PAUSE, LOCK_TRIES},
};

#[cfg(test)]
mod tests;

pub use answer_lengths::AnswerLength;
pub use audit::AuditFilter;
pub use chains::{ChainFilter, ChainJobFilter, ChainRow, Figures, StepRow};
pub use costs::{
    ChainCosts, CostDifference, CostFilter, CostLabel, CostLine, CostSummary, JobCost,
    ReportedCosts,
};
pub use error::LedgerError;
pub use event_id::{BadEventId, EventId};
pub use failures::{FailureFilter, FailureGroup, FailureKey, Failures};
pub use jobs::{JobFilter, JobHistory};
pub use prune::Prunable;
pub use reconcile::{DeadLetterKey, JobMissingAttempts, UnfinishedJob};
pub use reviews::ReviewFilter;
pub use rows::{AttemptCost, DeadLetterRow, JobRow};
pub use window_usage::{UsageBy, WindowCalls, WindowUse};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Ignores migrations that it does not know: in a rolling deploy, older processes must still start after a newer
/// one has migrated.
static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.ignore_missing = true;
    migrator
};

/// The ledger in one Postgres database. Cheap to clone; clones share one pool of connections.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    /// What the next connection is opened with.
    options: Arc<Mutex<PgConnectOptions>>,
    password: Option<Arc<PasswordFile>>,
    address: String,
    /// Decrypts what it reads.
    keyring: Keyring,
}

/// Shows the address without the password.
impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.address).finish()
    }
}

impl Ledger {
    /// A ledger at `url`. Connects at the first use, so that services start while Postgres is unreachable. Call it
    /// inside a Tokio runtime.
    pub fn connect(url: &SecretString, max_connections: u32) -> Result<Self, LedgerError> {
        Self::open(url, None, max_connections)
    }

    /// The same with the password in a file, which is read whenever it changed before a connection is opened. Fails
    /// if this file, or one that the URL names, cannot be read.
    pub fn open(
        url: &SecretString,
        password_file: Option<&Path>,
        max_connections: u32,
    ) -> Result<Self, LedgerError> {
        let mut options = parse_url(url.expose_secret())?;
        files::check_files_of(url.expose_secret())?;
        let password = password_file.map(PasswordFile::new);
        if let Some(password) = &password {
            options = options.password(password.read()?.expose_secret());
        }
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options.clone());
        let address = format_address(&options);
        Ok(Self {
            pool,
            options: Arc::new(Mutex::new(options)),
            password: password.map(Arc::new),
            address,
            keyring: Keyring::default(),
        })
    }

    /// Decrypts what it reads with these keys. What it records is encrypted before.
    #[must_use]
    pub fn with_keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = keyring;
        self
    }

    /// What was read, decrypted as far as the keys allow.
    fn opened<C: Content>(&self, rows: Vec<C>) -> Vec<C> {
        let rows = rows.into_iter();
        rows.map(|row| self.keyring.opened(row)).collect()
    }

    /// `host:port/database`, without user and password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Applies pending migrations. Safe to run in several processes at once, and repeatedly. A migration waits for a lock
    /// for a short time only, and is tried again, because others wait behind it.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        // A connection of its own: a failed migration keeps its lock until the connection is closed.
        let mut connection = self.connect_directly().await?;
        let mut tries = 1;
        let result = loop {
            match MIGRATOR.run(&mut connection).await {
                Err(MigrateError::ExecuteMigration(error, _))
                    if is_locked(&error) && tries < LOCK_TRIES =>
                {
                    tries += 1;
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                result => break result,
            }
        };
        if let Err(error) = connection.close().await {
            tracing::debug!("closing the connection of the migration failed: {error}");
        }
        result.map_err(|cause| LedgerError::Migrate {
            at: self.address.clone(),
            cause,
        })
    }

    /// The migrations that this program knows and the database does not have, by name.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, LedgerError> {
        let mut connection = self.acquire().await?;
        let has_migrations: bool = sqlx::query_scalar(include_str!("../sql/has_migrations.sql"))
            .fetch_one(&mut *connection)
            .await
            .map_err(|cause| self.failed(cause))?;
        let applied: Vec<i64> = if has_migrations {
            sqlx::query_scalar(include_str!("../sql/applied_migrations.sql"))
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

    /// Whether Postgres answers. If its address refuses connections, the error comes at once.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        if self.pool.size() == 0 {
            self.knock().await?;
        }
        let mut connection = self.acquire().await?;
        connection.ping().await.map_err(|cause| self.failed(cause))
    }

    /// The version of the server, such as `15.18`.
    pub async fn version(&self) -> Result<String, LedgerError> {
        sqlx::query_scalar(include_str!("../sql/server_version.sql"))
            .fetch_one(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// The server's clock.
    pub async fn server_time(&self) -> Result<DateTime<Utc>, LedgerError> {
        sqlx::query_scalar(include_str!("../sql/server_time.sql"))
            .fetch_one(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Closes the pool after the running statements.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection of the pool. The pool does not tell why it has none, so a direct connection finds out.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, LedgerError> {
        self.refresh_password()?;
        match self.pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolTimedOut) => match self.connect_directly().await {
                Ok(_) => Err(self.failed(sqlx::Error::PoolTimedOut)),
                Err(error) => Err(error),
            },
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Opens and closes a bare connection. The pool would try an address that refuses again and again for
    /// [`CONNECT_TIMEOUT`].
    async fn knock(&self) -> Result<(), LedgerError> {
        let (socket, host, port) = {
            let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
            let host = options.get_host().to_owned();
            let folder = host.starts_with('/').then(|| PathBuf::from(&host));
            let socket = options.get_socket().cloned().or(folder);
            (socket, host, options.get_port())
        };
        let opened = async {
            match socket {
                Some(folder) => UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")))
                    .await
                    .map(drop),
                None => TcpStream::connect((host, port)).await.map(drop),
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, opened)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)
            .and_then(|opened| opened.map_err(sqlx::Error::Io))
            .map_err(|cause| self.failed(cause))
    }

    /// Reads the password file again, if there is one, for the connections that are opened from now on.
    fn refresh_password(&self) -> Result<(), LedgerError> {
        let Some(password) = self
            .password
            .as_ref()
            .map(|file| file.read_if_changed())
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        *options = options.clone().password(password.expose_secret());
        self.pool.set_connect_options(options.clone());
        Ok(())
    }

    async fn connect_directly(&self) -> Result<PgConnection, LedgerError> {
        self.refresh_password()?;
        let options = self
            .options
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: sqlx::Error) -> LedgerError {
        LedgerError::Query {
            at: self.address.clone(),
            cause,
        }
    }
}

fn parse_url(url: &str) -> Result<PgConnectOptions, LedgerError> {
    // A password with an unescaped `/`, `?` or `#` would become part of the host or the database name, and appear
    // in messages.
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    if after_scheme
        .split_once(['/', '?', '#'])
        .is_some_and(|(_, rest)| rest.contains('@'))
    {
        return Err(LedgerError::Url(
            "it contains `@` after the host; percent-encode special characters of the password"
                .to_owned(),
        ));
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(LedgerError::Url(
            "expected postgres://user:password@host:port/database".to_owned(),
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

fn format_address(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(
        || options.get_host().to_owned(),
        |socket| socket.display().to_string(),
    );
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}
