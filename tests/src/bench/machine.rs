//! The setup of the benchmarks: one durable Postgres, and a new stack for each measurement.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use longshore_local::{ChildProcess, LocalPostgres, PostgresOptions, free_port};
use longshore_simulator::Stats;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::stack::{Options, Stack, create_database, eventually, toolbox, within};

/// The longest time until the jobs of one measurement are recorded.
const RECORDED: Duration = Duration::from_mins(5);

/// A running Postgres for all measurements.
pub(super) struct Machine {
    postgres: LocalPostgres,
    // Dropped after the server, which must have stopped by then.
    _data: Data,
    _dir: TempDir,
    databases: Cell<u32>,
}

/// The data of a durable server, removed when dropped.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
        // The substitute for a folder that Postgres cannot reach; any other is not empty.
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
        let postgres = LocalPostgres::start(toolbox().await?, dir.path(), options).await?;
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

    /// A new Redis, a new database with all tables, and workers with `concurrency` slots.
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
        create_database(&server, &name).await
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

/// Waits until the table of jobs has this many rows.
pub(super) async fn until_recorded(stack: &Stack, jobs: usize) -> anyhow::Result<()> {
    within(RECORDED, "all jobs are recorded", || async {
        let rows = recorded_jobs(stack).await?;
        ensure!(rows == u64::try_from(jobs)?, "{rows} of {jobs}");
        Ok(())
    })
    .await
}

/// Starts the no-op worker of this program.
pub(super) fn noop_worker(stack: &Stack, journal: Option<&Path>) -> anyhow::Result<ChildProcess> {
    let mut command = stack.command("longshore-bench")?;
    command.arg("noop-worker");
    if let Some(journal) = journal {
        command.arg("--journal").arg(journal);
    }
    Ok(ChildProcess::spawn(
        "noop-worker",
        command,
        &stack.dir().join("noop-worker.log"),
    )?)
}

/// Starts the real worker with this simulator instead of the stack's, and waits until it is ready.
pub(super) async fn real_worker(
    stack: &Stack,
    simulator: &ExternalSimulator,
) -> anyhow::Result<ChildProcess> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let worker = spawn_real_worker(stack, simulator, Some(&listen))?;
    let client = reqwest::Client::new();
    let ready = format!("http://{listen}/ready");
    eventually("the worker is ready", || async {
        client.get(&ready).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    Ok(worker)
}

/// Starts the real worker with this simulator instead of the stack's.
pub(super) fn spawn_real_worker(
    stack: &Stack,
    simulator: &ExternalSimulator,
    listen: Option<&str>,
) -> anyhow::Result<ChildProcess> {
    let mut command = stack.command("longshore-worker")?;
    command.env("LONGSHORE_SIMULATOR_URL", &simulator.url);
    if let Some(listen) = listen {
        command.env("LONGSHORE_LISTEN", listen);
    }
    let log = stack.dir().join("worker.log");
    Ok(ChildProcess::spawn("longshore-worker", command, &log)?)
}

/// A simulator in a process of its own.
pub(super) struct ExternalSimulator {
    pub(super) url: String,
    child: ChildProcess,
    client: reqwest::Client,
}

impl ExternalSimulator {
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

    /// What it has received.
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

    /// Resets its counts.
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
