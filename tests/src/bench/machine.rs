//! What the benchmarks stand on: one durable Postgres, and for each measurement a fresh stack.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use longshore_local::{ChildProcess, LocalPostgres, PostgresOptions, free_port};
use longshore_shared::ledger::Ledger;
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::{
    simulator::Stats,
    stack::{Options, Stack, eventually, toolbox},
};

/// This machine with a Postgres on it.
pub(super) struct Machine {
    postgres: LocalPostgres,
    // After the server, which must not run any more when they go.
    _data: Data,
    _dir: TempDir,
    databases: Cell<u32>,
}

/// A durable server's data, which nobody else removes.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
        // The stand-in for a folder that Postgres cannot reach; anything else is not empty.
        if let Some(home) = self.0.parent() {
            fs::remove_dir(home).ok();
        }
    }
}

impl Machine {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let options = PostgresOptions {
            durable: true,
            ..PostgresOptions::default()
        };
        let postgres = LocalPostgres::start(&toolbox().await?, dir.path(), options).await?;
        Ok(Self {
            _data: Data(postgres.data_dir().to_owned()),
            postgres,
            _dir: dir,
            databases: Cell::new(0),
        })
    }

    /// The process id of Postgres.
    pub(super) fn postgres_pid(&self) -> u32 {
        self.postgres.pid()
    }

    /// A fresh Redis, a fresh database with all tables, and workers that take `concurrency` jobs at once.
    pub(super) async fn stack(&self, concurrency: usize) -> anyhow::Result<Stack> {
        let options = Options {
            env: vec![("LONGSHORE_CONCURRENCY".to_owned(), concurrency.to_string())],
            ..Options::default()
        };
        Stack::start_with(options, self.database().await?).await
    }

    async fn database(&self) -> anyhow::Result<String> {
        let server = self.postgres.url();
        let number = self.databases.get();
        self.databases.set(number + 1);
        let name = format!("bench_{number}");
        let mut connection = PgConnection::connect(&server).await?;
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
}

/// How many rows the table of jobs has.
pub(super) async fn recorded_jobs(stack: &Stack) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&stack.database_url).await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs")
        .fetch_one(&mut connection)
        .await?;
    Ok(count.try_into()?)
}

/// Starts this program's worker that answers at once.
pub(super) fn noop_worker(stack: &Stack, report: Option<&Path>) -> anyhow::Result<ChildProcess> {
    let mut command = stack.command("longshore-bench")?;
    command.arg("noop-worker");
    if let Some(report) = report {
        command.arg("--report").arg(report);
    }
    Ok(ChildProcess::spawn(
        "noop-worker",
        command,
        &stack.dir().join("noop-worker.log"),
    )?)
}

/// Starts the real worker with another simulator than the stack's, and waits until it is ready.
pub(super) async fn real_worker(
    stack: &Stack,
    simulator: &Outside,
) -> anyhow::Result<ChildProcess> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let mut command = stack.command("longshore-worker")?;
    command
        .env("LONGSHORE_SIMULATOR_URL", &simulator.url)
        .env("LONGSHORE_LISTEN", &listen);
    let worker = ChildProcess::spawn("longshore-worker", command, &stack.dir().join("worker.log"))?;
    let client = reqwest::Client::new();
    let ready = format!("http://{listen}/ready");
    eventually("the worker is ready", || async {
        client.get(&ready).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    Ok(worker)
}

/// A simulator in a process of its own.
pub(super) struct Outside {
    pub(super) url: String,
    child: ChildProcess,
    client: reqwest::Client,
}

impl Outside {
    /// Starts one whose answers take `latency`.
    pub(super) async fn start(stack: &Stack, latency: Duration) -> anyhow::Result<Self> {
        let file = stack.dir().join("simulator.url");
        let mut command = stack.command("longshore-simulator")?;
        command
            .args(["--latency-ms", &latency.as_millis().to_string()])
            .arg("--write-url")
            .arg(&file);
        let child = ChildProcess::spawn(
            "longshore-simulator",
            command,
            &stack.dir().join("simulator.log"),
        )?;
        let url = eventually("the simulator listens", || async {
            Ok(fs::read_to_string(&file)?)
        })
        .await?;
        Ok(Self {
            url,
            child,
            client: reqwest::Client::new(),
        })
    }

    /// What it has seen.
    pub(super) async fn stats(&self) -> anyhow::Result<Stats> {
        let text = self
            .client
            .get(format!("{}/stats", self.url))
            .send()
            .await?
            .text()
            .await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Forgets what it has seen.
    pub(super) async fn reset(&self) -> anyhow::Result<()> {
        self.client
            .post(format!("{}/reset", self.url))
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Its processor time so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        super::process::cpu(self.child.pid())
    }
}
