//! One database for each test, all in one private Postgres.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use longshore_ledger::Ledger;
use longshore_local::{LocalPostgres, PostgresOptions};
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::toolbox;

struct Shared {
    postgres: LocalPostgres,
    _dir: TempDir,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

async fn shared() -> anyhow::Result<&'static Shared> {
    SHARED
        .get_or_try_init(|| async {
            let dir = tempfile::tempdir()?;
            let postgres = LocalPostgres::start(
                toolbox().await?,
                dir.path(),
                PostgresOptions {
                    durable: false,
                    ..PostgresOptions::default()
                },
            )
            .await?;
            Ok(Shared {
                postgres,
                _dir: dir,
            })
        })
        .await
}

/// The URL of a new database with all tables.
pub async fn database() -> anyhow::Result<String> {
    let shared = shared().await?;
    let server = shared.postgres.url();
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    create_database(&server, &name).await
}

/// Creates a database with all tables on a server, and returns its URL.
pub async fn create_database(server: &str, name: &str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    let (base, _) = server
        .rsplit_once('/')
        .context("an address has a database")?;
    let url = format!("{base}/{name}");
    let ledger = Ledger::connect(&SecretString::from(url.clone()), 1)?;
    ledger.migrate().await?;
    ledger.close().await;
    Ok(url)
}

/// Starts a Postgres that the test may stop and restart, without tables.
pub async fn own_postgres() -> anyhow::Result<OwnPostgres> {
    let dir = tempfile::tempdir()?;
    let server =
        LocalPostgres::start(toolbox().await?, dir.path(), PostgresOptions::default()).await?;
    Ok(OwnPostgres { server, dir })
}

/// A Postgres that the test may stop and restart.
pub struct OwnPostgres {
    server: LocalPostgres,
    dir: TempDir,
}

impl OwnPostgres {
    /// Its address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        Ok(self.server.stop().await?)
    }

    /// Restarts it at the same address with the same data.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        Ok(self.server.restart().await?)
    }

    /// Keeps its data and its log when this is dropped; returns where they are.
    pub fn keep(&mut self) -> [&Path; 2] {
        self.server.keep_data();
        self.dir.disable_cleanup(true);
        [self.server.data_dir(), self.dir.path()]
    }
}
