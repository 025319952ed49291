//! The services: Redis, Postgres, the simulator, the scheduler, the workers.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

use longshore_config::Config;
use longshore_ledger::Ledger;
use longshore_local::{
    LocalError, LocalPostgres, LocalRedis, PostgresOptions, RedisOptions, ToolOptions, Toolbox,
};
use longshore_settings::Environment;
use secrecy::SecretString;
use tokio::time::sleep;

use super::{
    Never,
    backoff::Backoff,
    ports::{Ports, Service},
    program::{self, Executable, Program, Ready},
    variables::{self, Variables, VariablesFile},
};
use crate::{error::CommandError, output};

/// How often the children are checked.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// Installed servers are found sooner; after this time, a message reports the download.
const DOWNLOAD_NOTE_AFTER: Duration = Duration::from_secs(1);

const STOP_GRACE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug)]
pub(super) struct Plan {
    /// For data, logs and addresses; absolute.
    pub(super) dir: PathBuf,
    /// The directory of the programs.
    pub(super) programs: PathBuf,
    pub(super) tools: ToolOptions,
    pub(super) config: Config,
    pub(super) workers: u16,
    pub(super) ports: Ports,
    pub(super) simulator: bool,
    /// Its script.
    pub(super) simulator_script: Option<PathBuf>,
    /// Whether to clear the address of a simulator in the environment.
    pub(super) forget_simulator: bool,
}

/// The running services. Fields are dropped in order, which is the order of stopping.
#[derive(Debug)]
pub(super) struct Stack {
    workers: Vec<Program>,
    scheduler: Program,
    simulator: Option<Program>,
    postgres: LocalPostgres,
    redis: LocalRedis,
    postgres_backoff: Backoff,
    redis_backoff: Backoff,
}

/// The servers that the user named, if any.
pub(super) fn tool_options(environment: &Environment) -> ToolOptions {
    let path = |name| environment.get(name).map(PathBuf::from);
    ToolOptions {
        redis_server: path("LONGSHORE_REDIS_SERVER"),
        postgres_bin: path("LONGSHORE_POSTGRES_BIN"),
        installed: true,
    }
}

impl Stack {
    /// Starts all services and waits until they are ready. On an error, those already started are stopped.
    pub(super) async fn start(plan: &Plan) -> Result<Self, CommandError> {
        let worker = program::find_program(&plan.programs, "longshore-worker")?;
        let scheduler = program::find_program(&plan.programs, "longshore-scheduler")?;
        let simulator = plan
            .simulator
            .then(|| program::find_program(&plan.programs, "longshore-simulator"))
            .transpose()?;
        let dir = plan.dir.as_path();
        VariablesFile::remove_stale(dir);
        let tools = find_tools(plan).await?;

        let (redis, postgres) = tokio::try_join!(
            LocalRedis::start(
                &tools,
                dir,
                RedisOptions {
                    aof: true,
                    port: plan.ports.of(Service::Redis),
                }
            ),
            LocalPostgres::start(
                &tools,
                dir,
                PostgresOptions {
                    port: plan.ports.of(Service::Postgres),
                    durable: true
                }
            ),
        )?;
        let ledger = Ledger::connect(&SecretString::from(postgres.url()), 1)?;
        ledger.migrate().await?;
        ledger.close().await;

        let simulator = match simulator {
            Some(binary) => {
                let ready = Ready::File(dir.join("simulator.url"));
                let port = plan.ports.of(Service::Simulator);
                let script = plan.simulator_script.iter();
                let arguments = script.flat_map(|file| ["--script".into(), file.clone().into()]);
                let executable = Executable {
                    binary,
                    arguments: arguments.collect(),
                };
                Some(Program::start("simulator", executable, dir, Vec::new(), ready, port).await?)
            }
            None => None,
        };
        let mut variables = service_variables(plan, &redis, &postgres, simulator.as_ref());
        let grace = format!("{}ms", worker_grace(plan).as_millis());
        variables.push(("LONGSHORE_GRACE", grace));
        let start = |name: String, binary, service| {
            let (variables, port) = (variables.clone(), plan.ports.of(service));
            async move { Program::start(&name, binary, dir, variables, Ready::Http, port).await }
        };
        let workers = (0..plan.workers).map(|number| {
            let name = match plan.workers {
                1 => "worker".to_owned(),
                _ => format!("worker-{}", number + 1),
            };
            start(name, worker.clone(), Service::Worker(number))
        });
        let (workers, scheduler) = tokio::try_join!(
            futures::future::try_join_all(workers),
            start("scheduler".to_owned(), scheduler, Service::Scheduler),
        )?;
        let stack = Self {
            workers,
            scheduler,
            simulator,
            postgres,
            redis,
            postgres_backoff: Backoff::new(),
            redis_backoff: Backoff::new(),
        };
        plan.ports.save(dir, stack.ports())?;
        Ok(stack)
    }

    fn ports(&self) -> impl Iterator<Item = (Service, u16)> {
        let servers = [
            (Service::Redis, self.redis.port()),
            (Service::Postgres, self.postgres.port()),
            (Service::Scheduler, self.scheduler.port()),
        ];
        let simulator = self.simulator.iter();
        let simulator = simulator.map(|program| (Service::Simulator, program.port()));
        let workers = (0..).map(Service::Worker).zip(&self.workers);
        let workers = workers.map(|(service, worker)| (service, worker.port()));
        servers.into_iter().chain(simulator).chain(workers)
    }

    /// The addresses of the services.
    pub(super) fn variables(&self, plan: &Plan) -> Variables {
        let mut variables =
            service_variables(plan, &self.redis, &self.postgres, self.simulator.as_ref());
        let workers: Vec<String> = self.workers.iter().map(Program::url).collect();
        if let Some(first) = workers.first() {
            variables.push(("LONGSHORE_WORKER_URL", first.clone()));
        }
        if workers.len() > 1 {
            variables.push(("LONGSHORE_WORKER_URLS", workers.join(" ")));
        }
        variables.push(("LONGSHORE_SCHEDULER_URL", self.scheduler.url()));
        variables
    }

    pub(super) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// The address of Postgres, without its password.
    pub(super) fn postgres_at(&self) -> String {
        format!("127.0.0.1:{}/longshore", self.postgres.port())
    }

    pub(super) fn worker_urls(&self) -> impl Iterator<Item = String> {
        self.workers.iter().map(Program::url)
    }

    pub(super) fn scheduler_url(&self) -> String {
        self.scheduler.url()
    }

    pub(super) fn simulator_url(&self) -> Option<String> {
        self.simulator.as_ref().map(Program::url)
    }

    /// Restarts services that exit. Never returns; may be dropped at any await.
    pub(super) async fn supervise(&mut self) -> Never {
        loop {
            restart_if_dead(&mut self.redis, &mut self.redis_backoff).await;
            restart_if_dead(&mut self.postgres, &mut self.postgres_backoff).await;
            for program in self.programs() {
                program.restart_if_dead();
            }
            sleep(CHECK_EVERY).await;
        }
    }

    /// Stops all services in order. Workers stop first, so that they can finish and record their jobs in flight.
    pub(super) async fn stop(&mut self, worker_grace: Duration) {
        let workers = self
            .workers
            .iter_mut()
            .map(|worker| worker.stop(worker_grace));
        futures::future::join_all(workers).await;
        self.scheduler.stop(STOP_GRACE).await;
        if let Some(simulator) = &mut self.simulator {
            simulator.stop(STOP_GRACE).await;
        }
        for stopped in [self.postgres.stop().await, self.redis.stop().await] {
            if let Err(error) = stopped {
                output::note(error);
            }
        }
    }

    /// Kills all services.
    pub(super) fn kill(&mut self) {
        for program in self.programs() {
            program.kill();
        }
        for killed in [self.postgres.kill(), self.redis.kill()] {
            if let Err(error) = killed {
                output::note(error);
            }
        }
    }

    fn programs(&mut self) -> impl Iterator<Item = &mut Program> {
        self.workers
            .iter_mut()
            .chain([&mut self.scheduler])
            .chain(&mut self.simulator)
    }
}

/// How long the worker may take to stop: nobody who presses Ctrl-C waits for minutes.
pub(super) fn worker_grace(plan: &Plan) -> Duration {
    plan.config.grace.min(STOP_GRACE)
}

/// The environment of our processes and of other shells. The `LONGSHORE_` names take precedence in the
/// configuration, so that a `.env` with another address has no effect.
fn service_variables(
    plan: &Plan,
    redis: &LocalRedis,
    postgres: &LocalPostgres,
    simulator: Option<&Program>,
) -> Variables {
    let urls = [redis.url(), postgres.url()];
    let mut variables: Variables = variables::ADDRESSES
        .into_iter()
        .zip(urls.iter().cycle().cloned())
        .collect();
    match simulator {
        Some(simulator) => variables.push((variables::SIMULATOR, simulator.url())),
        None if plan.forget_simulator => variables.push((variables::SIMULATOR, String::new())),
        None => {}
    }
    variables
}

async fn find_tools(plan: &Plan) -> Result<Toolbox, CommandError> {
    let mut found = std::pin::pin!(Toolbox::find(&plan.dir, &plan.tools));
    tokio::select! {
        found = &mut found => return Ok(found?),
        () = sleep(DOWNLOAD_NOTE_AFTER) => {}
    }
    output::note(format_args!(
        "Downloading Redis and Postgres into {} (only once)…",
        plan.dir.join("tools").display()
    ));
    Ok(found.await?)
}

/// A server that can be restarted with the same port and data.
trait Server {
    const NAME: &str;

    fn exit_status(&mut self) -> Option<ExitStatus>;

    async fn start_again(&mut self) -> Result<(), LocalError>;
}

impl Server for LocalRedis {
    const NAME: &str = "Redis";

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.try_wait().ok().flatten()
    }

    async fn start_again(&mut self) -> Result<(), LocalError> {
        self.restart().await
    }
}

impl Server for LocalPostgres {
    const NAME: &str = "Postgres";

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.try_wait().ok().flatten()
    }

    async fn start_again(&mut self) -> Result<(), LocalError> {
        self.restart().await
    }
}

async fn restart_if_dead<S: Server>(server: &mut S, backoff: &mut Backoff) {
    if backoff.take_due() {
        match server.start_again().await {
            Ok(()) => output::note(format_args!("Restarted {}.", S::NAME)),
            Err(error) => {
                let delay = backoff.failed();
                output::note(format_args!(
                    "{} failed to start: {error}; retrying in {delay:?}.",
                    S::NAME
                ));
            }
        }
    } else if !backoff.is_waiting()
        && let Some(status) = server.exit_status()
    {
        let delay = backoff.failed();
        output::note(format_args!(
            "{} exited ({status}); restarting it in {delay:?}.",
            S::NAME
        ));
    }
}
