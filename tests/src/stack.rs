//! A private Longshore for one test: its own Redis, database and simulator, and real worker and scheduler
//! processes.
//!
//! The programs are those next to the test program (`cargo build --workspace --bins` builds them). No port is
//! fixed, and everything stops with the stack.

mod books;
mod postgres;
mod process;

use std::{
    fmt::Debug,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use longshore_broker::{Broker, QueueDepth};
use longshore_ledger::Ledger;
use longshore_local::{ChildProcess, LocalRedis, RedisOptions, ToolOptions, Toolbox};
use longshore_protocol::{
    id::{EntryId, JobId, Namespace, QueueName},
    outcome::Outcome,
};
use longshore_settings::FILE_NAME;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use self::{
    books::{Books, Comparison, Difference, UnknownCost},
    postgres::{OwnPostgres, create_database, database, own_postgres},
    process::Process,
};
use longshore_simulator::{Settings, Simulator};

use crate::documents;

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(20);

/// How long a test waits for a condition.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How a stack differs from the ordinary one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long the simulator takes for an answer.
    pub latency: Duration,
    /// Environment variables of workers and schedulers.
    pub env: Vec<(String, String)>,
}

impl Options {
    /// The ordinary stack with this latency.
    pub fn with_latency(latency: Duration) -> Self {
        Self {
            latency,
            ..Self::default()
        }
    }
}

/// A private Longshore.
pub struct Stack {
    /// Its Redis.
    pub redis: LocalRedis,
    /// Its database.
    pub database_url: String,
    /// The simulated providers and their invoice.
    pub simulator: Simulator,
    /// The broker on its Redis.
    pub broker: Broker,
    /// The ledger in its database.
    pub ledger: Ledger,
    options: Options,
    started: std::cell::Cell<u32>,
    names_providers: std::cell::Cell<bool>,
    dir: TempDir,
}

/// The folder that keeps downloaded servers between runs.
pub fn tools_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.longshore")
}

/// The Redis and Postgres programs of this machine, or downloaded ones.
pub async fn toolbox() -> anyhow::Result<&'static Toolbox> {
    static TOOLBOX: OnceCell<Toolbox> = OnceCell::const_new();
    let find = || async { Toolbox::find(&tools_dir(), &ToolOptions::default()).await };
    Ok(TOOLBOX.get_or_try_init(find).await?)
}

impl Stack {
    /// Starts Redis, a database and the simulator.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        Self::start_with(options, database().await?).await
    }

    /// Starts it with a database of the caller's.
    pub async fn start_with(options: Options, database_url: String) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let redis = LocalRedis::start(
            toolbox().await?,
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

    /// A command of a workspace program whose environment names only this stack.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        self.launcher().command(program)
    }

    /// What starts programs of this stack from other tasks.
    pub fn launcher(&self) -> Launcher {
        Launcher {
            dir: self.dir.path().to_owned(),
            env: self.env(),
        }
    }

    /// The environment variables that point a program to this stack.
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

    /// Sets an environment variable of programs started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the `longshore.yaml` that its programs read, with providers of its own: programs started from
    /// now on do not replace the built-in catalog's providers by the simulator.
    pub fn config_yaml(&self, yaml: &str) -> anyhow::Result<()> {
        self.names_providers.set(true);
        Ok(std::fs::write(self.dir.path().join(FILE_NAME), yaml)?)
    }

    /// Starts a worker process.
    pub fn worker(&self) -> anyhow::Result<Process> {
        self.spawn("longshore-worker")
    }

    /// Starts a scheduler process.
    pub fn scheduler(&self) -> anyhow::Result<Process> {
        self.spawn("longshore-scheduler")
    }

    fn spawn(&self, program: &str) -> anyhow::Result<Process> {
        let number = self.started.get();
        self.started.set(number + 1);
        let log = self.dir.path().join(format!("{program}-{number}.log"));
        let child = ChildProcess::spawn(program, self.command(program)?, &log)?;
        Ok(Process::new(child))
    }

    /// Runs the `longshore` command to its end.
    pub async fn longshore(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.launcher().longshore(arguments).await
    }

    /// Writes a file, and the folders that it is in, in the working directory of its programs.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.path().join(name);
        let folder = path.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| name.to_owned())?;
        std::fs::write(&path, text).with_context(|| name.to_owned())
    }

    /// The working directory of its programs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps that directory, which also has the logs and the data of Redis, when this is dropped.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// A plain Redis connection, as any producer has one.
    pub async fn connection(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        connect_to_redis(&self.redis.url()).await
    }

    /// Makes Redis acknowledge only what is on disk, so that a test may kill it at any time.
    pub async fn acknowledge_only_durable_writes(&self) -> anyhow::Result<()> {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("appendfsync")
            .arg("always")
            .query_async::<()>(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Enqueues a message of flat fields in the default queue, as any producer does.
    pub async fn xadd(&self, fields: &[(&str, &str)]) -> anyhow::Result<JobId> {
        let mut command = redis::cmd("XADD");
        command
            .arg(self.broker.keys().queue(&QueueName::default()))
            .arg("*");
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
        let entry: String = command.query_async(&mut self.connection().await?).await?;
        Ok(JobId::from_entry(&EntryId::new(
            &QueueName::default(),
            &entry,
        )))
    }

    /// Enqueues JSON messages in the default queue.
    pub async fn enqueue(&self, jobs: &[String]) -> anyhow::Result<Vec<JobId>> {
        let mut ids = Vec::with_capacity(jobs.len());
        for some in jobs.chunks(1000) {
            let entry_ids = self
                .broker
                .queues()
                .enqueue_all(&QueueName::default(), some)
                .await?;
            ids.extend(entry_ids.iter().map(JobId::from_entry));
        }
        Ok(ids)
    }

    /// The depth of the default queue.
    pub async fn depth(&self) -> anyhow::Result<QueueDepth> {
        Ok(self.broker.queues().depth(&QueueName::default()).await?)
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
            let outcomes = self.broker.jobs().outcomes(jobs).await?;
            let ended = outcomes.iter().flatten().count();
            if ended < jobs.len() {
                bail!("{ended} of {} have ended", jobs.len());
            }
            Ok(outcomes.into_iter().flatten().collect())
        })
        .await
    }

    /// Waits for the outcomes of jobs; an error if one of them failed.
    pub async fn successes(&self, jobs: &[JobId]) -> anyhow::Result<Vec<Outcome>> {
        let outcomes = self.outcomes(jobs).await?;
        match outcomes.iter().find(|outcome| !outcome.success) {
            Some(failed) => bail!("a job failed: {failed:?}"),
            None => Ok(outcomes),
        }
    }

    /// Waits until at least this many calls are in flight.
    pub async fn wait_for_calls(&self, count: u64) -> anyhow::Result<()> {
        eventually("calls are in flight", || async {
            match self.simulator.stats().in_flight {
                calls if calls >= count => Ok(()),
                calls => bail!("{calls} calls are in flight, not {count}"),
            }
        })
        .await
    }

    /// Waits until every event is in the ledger.
    pub async fn recorded(&self) -> anyhow::Result<()> {
        eventually("all facts are recorded", || async {
            match self.broker.events().unrecorded_count().await? {
                0 => Ok(()),
                left => bail!("{left} facts are still in Redis"),
            }
        })
        .await
    }
}

/// A plain connection to the Redis at `url`, which waits longer for a reply than the client's 500 ms: a busy
/// machine is no failure.
pub async fn connect_to_redis(url: &str) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    Ok(redis::Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Starts programs of one stack; cheap to clone.
#[derive(Debug, Clone)]
pub struct Launcher {
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Launcher {
    /// Starts programs in a directory, with only the search path and `env` in their environment.
    pub fn new(dir: &Path, env: &[(&str, &str)]) -> Self {
        let path = std::env::vars().filter(|(name, _)| name == "PATH");
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            dir: dir.to_owned(),
            env: path.chain(env).collect(),
        }
    }

    /// The working directory of the programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command of a workspace program whose environment names only the stack.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(program)?);
        command.current_dir(&self.dir).env_clear();
        for (name, value) in &self.env {
            command.env(name, value);
        }
        Ok(command)
    }

    /// Runs the `longshore` command to its end. What it prints as JSON must fit its schema.
    pub async fn longshore(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = tokio::process::Command::from(self.command("longshore")?);
        let output = command.args(arguments).output().await?;
        let ran = Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        documents::check(arguments, &ran.stdout)?;
        Ok(ran)
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The standard output of a command that must have succeeded.
///
/// # Panics
///
/// When its exit code is not 0.
pub fn expect_success(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// This many jobs with a prompt of their own.
pub fn prompts(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect()
}

/// The path of a program next to the running test.
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

/// Retries until the condition holds, for up to two minutes.
pub async fn eventually<T: Debug, F>(what: &str, condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    within(TIMEOUT, what, condition).await
}

/// Retries until the condition holds, for up to `timeout`.
pub async fn within<T: Debug, F>(
    timeout: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        match condition().await {
            Ok(holds) => return Ok(holds),
            Err(error) if began.elapsed() > timeout => {
                return Err(error.context(format!("{what}: not within {timeout:?}")));
            }
            // A condition that reads thousands of outcomes must not keep a processor busy.
            Err(_) => tokio::time::sleep(POLL.max(asked.elapsed() * 3)).await,
        }
    }
}
