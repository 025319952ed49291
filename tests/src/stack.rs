//! A private Longshore for one test: its own Redis, its own database, its own simulator, and real
//! worker and scheduler processes.
//!
//! The programs are those beside this one (`cargo build --workspace --bins` makes them). Nothing has a
//! fixed port, and everything ends with the stack.

mod books;
mod postgres;

use std::{
    fmt::Debug,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use longshore_local::{ChildProcess, LocalRedis, RedisOptions, ToolOptions, Toolbox};
use longshore_shared::{
    broker::Broker,
    config::FILE_NAME,
    id::{JobId, Namespace, Place, QueueName},
    ledger::Ledger,
    outcome::Outcome,
};
use secrecy::SecretString;
use tempfile::TempDir;

pub use self::{
    books::Books,
    postgres::{OwnPostgres, database, own_postgres},
};
use crate::simulator::{Settings, Simulator};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a stack differs from the ordinary one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long the simulator takes for an answer.
    pub latency: Duration,
    /// Environment variables of workers and schedulers.
    pub env: Vec<(String, String)>,
}

/// A private Longshore.
pub struct Stack {
    /// Its Redis.
    pub redis: LocalRedis,
    /// Its database.
    pub database_url: String,
    /// The other side of the books.
    pub simulator: Simulator,
    /// Redis, as the library sees it.
    pub broker: Broker,
    /// Postgres, as the library sees it.
    pub ledger: Ledger,
    options: Options,
    started: std::cell::Cell<u32>,
    names_providers: std::cell::Cell<bool>,
    dir: TempDir,
}

/// The folder where fetched servers are kept between runs.
pub fn tools_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.longshore")
}

/// The Redis and Postgres programs of this machine, or fetched ones.
pub async fn toolbox() -> anyhow::Result<Toolbox> {
    Ok(Toolbox::find(&tools_dir(), &ToolOptions::default()).await?)
}

impl Stack {
    /// Starts Redis, a database and the simulator.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        Self::start_with(options, database().await?).await
    }

    /// The same with a database of the caller's.
    pub async fn start_with(options: Options, database_url: String) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let redis = LocalRedis::start(
            &toolbox().await?,
            dir.path(),
            RedisOptions {
                aof: true,
                ..RedisOptions::default()
            },
        )
        .await?;
        let simulator = Simulator::start(
            ([127, 0, 0, 1], 0).into(),
            Settings {
                latency: options.latency,
                ..Settings::default()
            },
        )?;
        let broker =
            Broker::connect(&SecretString::from(redis.url()), &Namespace::default()).await?;
        let ledger = Ledger::connect(&SecretString::from(database_url.clone()), 2)?;
        Ok(Self {
            redis,
            database_url,
            simulator,
            broker,
            ledger,
            options,
            started: std::cell::Cell::new(0),
            names_providers: std::cell::Cell::new(false),
            dir,
        })
    }

    /// A program of ours, told of this stack and of nothing else.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(program)?);
        command.current_dir(self.dir.path()).env_clear();
        for (name, value) in self.env() {
            command.env(name, value);
        }
        Ok(command)
    }

    /// The variables that tell a program of this stack.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = std::env::vars()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value);
        let mut env = vec![
            ("PATH".to_owned(), path.unwrap_or_default()),
            ("REDIS_URL".to_owned(), self.redis.url()),
            ("DATABASE_URL".to_owned(), self.database_url.clone()),
        ];
        if !self.names_providers.get() {
            env.push(("LONGSHORE_SIMULATOR_URL".to_owned(), self.simulator.url()));
        }
        env.extend(self.options.env.clone());
        env
    }

    /// Sets a variable of the programs that are started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the `longshore.yaml` that its programs read. It names their providers: from now on the
    /// simulator does not stand in for those of the built-in catalog.
    pub fn config_yaml(&self, yaml: &str) -> anyhow::Result<()> {
        self.names_providers.set(true);
        Ok(std::fs::write(self.dir.path().join(FILE_NAME), yaml)?)
    }

    /// Starts a worker process.
    pub fn worker(&self) -> anyhow::Result<ChildProcess> {
        self.spawn("longshore-worker")
    }

    /// Starts a scheduler process.
    pub fn scheduler(&self) -> anyhow::Result<ChildProcess> {
        self.spawn("longshore-scheduler")
    }

    fn spawn(&self, program: &str) -> anyhow::Result<ChildProcess> {
        let number = self.started.get();
        self.started.set(number + 1);
        let log = self.dir.path().join(format!("{program}-{number}.log"));
        Ok(ChildProcess::spawn(program, self.command(program)?, &log)?)
    }

    /// Runs the `longshore` command to its end.
    pub async fn longshore(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = tokio::process::Command::from(self.command("longshore")?);
        let output = command.args(arguments).output().await?;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The folder that its programs run in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A plain connection, as a foreign producer has one.
    pub async fn connection(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        Ok(redis::Client::open(self.redis.url())?
            .get_multiplexed_async_connection()
            .await?)
    }

    /// From now on Redis acknowledges only what is on disk, so that a test may kill it at any moment.
    pub async fn acknowledge_what_is_on_disk(&self) -> anyhow::Result<()> {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("appendfsync")
            .arg("always")
            .query_async::<()>(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Puts a message of flat fields into the default queue, as any producer does.
    pub async fn xadd(&self, fields: &[(&str, &str)]) -> anyhow::Result<JobId> {
        let mut command = redis::cmd("XADD");
        command
            .arg(self.broker.keys().queue(&QueueName::default()))
            .arg("*");
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
        let entry: String = command.query_async(&mut self.connection().await?).await?;
        Ok(JobId::of_place(&Place::new(&QueueName::default(), &entry)))
    }

    /// Puts many JSON messages into the default queue.
    pub async fn enqueue(&self, jobs: &[String]) -> anyhow::Result<Vec<JobId>> {
        let mut ids = Vec::with_capacity(jobs.len());
        for some in jobs.chunks(1000) {
            let places = self.broker.enqueue_all(&QueueName::default(), some).await?;
            ids.extend(places.iter().map(JobId::of_place));
        }
        Ok(ids)
    }

    /// Waits for the outcome of a job.
    pub async fn outcome(&self, job: &JobId) -> anyhow::Result<Outcome> {
        Ok(self
            .outcomes(std::slice::from_ref(job))
            .await?
            .swap_remove(0))
    }

    /// Waits for the outcomes of jobs.
    pub async fn outcomes(&self, jobs: &[JobId]) -> anyhow::Result<Vec<Outcome>> {
        eventually("all jobs end", || async {
            let outcomes = self.broker.outcomes(jobs).await?;
            let ended = outcomes.iter().flatten().count();
            if ended < jobs.len() {
                bail!("{ended} of {} have ended", jobs.len());
            }
            Ok(outcomes.into_iter().flatten().collect())
        })
        .await
    }

    /// Waits until every fact is in the record.
    pub async fn recorded(&self) -> anyhow::Result<()> {
        eventually("all facts are recorded", || async {
            match self.broker.unrecorded().await? {
                0 => Ok(()),
                left => bail!("{left} facts are still in Redis"),
            }
        })
        .await
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it answered.
    pub stdout: String,
    /// What it noted.
    pub stderr: String,
}

/// A program beside the running test.
fn binary(program: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!("{program} is not there: run `cargo build --workspace --bins` first")
    })
}

/// Asks again until the condition holds.
pub async fn eventually<T: Debug, F>(what: &str, condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    within(PATIENCE, what, condition).await
}

/// The same with a patience of the test's own.
pub async fn within<T: Debug, F>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let began = Instant::now();
    loop {
        match condition().await {
            Ok(holds) => return Ok(holds),
            Err(error) if began.elapsed() > patience => {
                return Err(error.context(format!("{what}: not within {patience:?}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
