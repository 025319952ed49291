//! `longshore dev`: starts all services on this machine.

mod backoff;
mod demo;
mod exec;
mod guide;
mod http;
mod lock;
mod ports;
mod program;
mod stack;
mod variables;

use std::{
    convert::Infallible,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_config::Config;
use longshore_settings::{ConfigError, Environment};

use self::{
    demo::Demo,
    exec::Signals,
    lock::DirectoryLock,
    ports::Ports,
    stack::{Plan, Stack, worker_grace},
    variables::VariablesFile,
};
use crate::{
    environment::DEV_DIRECTORY,
    error::{CommandError, EXIT_INTERRUPTED, Exit},
    output,
};

/// Added to the grace period of a worker before it is killed, so that it can record its events.
const STOP_MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of data, logs and addresses; existing data is reused
    #[arg(long, value_name = "DIR", default_value = DEV_DIRECTORY)]
    dir: PathBuf,
    /// Number of workers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// First of consecutive ports: Redis, Postgres, simulator, scheduler, workers [default: those of the last start]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    port: Option<u16>,
    /// Use the simulator even if provider keys are set; see docs/SIMULATOR.md
    #[arg(long, conflicts_with = "no_simulator")]
    simulator: bool,
    /// Do not use the simulator even if no provider key is set
    #[arg(long, conflicts_with = "simulator_script")]
    no_simulator: bool,
    /// Use the simulator with this script of answers and faults; see docs/TESTING.md
    #[arg(long, value_name = "FILE")]
    simulator_script: Option<PathBuf>,
    /// Run the command after `--` when all services are ready, then stop and exit with its code
    #[arg(long, requires = "command", conflicts_with = "demo")]
    exec: bool,
    /// Run the tasks of this batch file, show answers and costs, then stop
    #[arg(long, value_name = "FILE")]
    demo: Option<PathBuf>,
    /// Command for --exec, with its arguments
    #[arg(last = true, requires = "exec", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What to do when all services are ready.
enum Purpose {
    /// Run until a stop signal.
    Stay,
    /// Run this command.
    Exec(Vec<OsString>),
    /// Run the tasks of this file.
    Demo(PathBuf),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen()?;
    let purpose = match (arguments.demo, arguments.exec) {
        (Some(file), _) => Purpose::Demo(file),
        (None, true) => Purpose::Exec(arguments.command),
        (None, false) => Purpose::Stay,
    };
    let dir = prepare(&arguments.dir)?;
    let lock = DirectoryLock::acquire(&dir, &arguments.dir)?;
    let ports = Ports::new(&dir, arguments.port);
    let simulator = Simulator {
        wanted: arguments.simulator || arguments.simulator_script.is_some(),
        refused: arguments.no_simulator,
        script: arguments.simulator_script,
    };
    let plan = plan(dir, arguments.workers, ports, simulator).await?;

    let started = tokio::select! {
        started = Stack::start(&plan) => started?,
        _ = signals.next() => {
            output::note("Stopping…");
            return Ok(Exit::Code(EXIT_INTERRUPTED));
        }
    };
    let mut stack = started;
    let ran = serve(&plan, &arguments.dir, &mut stack, purpose, &mut signals).await;
    let stopped = stop(&plan, stack, &mut signals).await;
    drop(lock);
    // A failed command matters more than a second Ctrl-C.
    match (ran?, stopped) {
        (Exit::Success, true) => Ok(Exit::Success),
        (Exit::Success, false) => Ok(Exit::Code(EXIT_INTERRUPTED)),
        (done, _) => Ok(done),
    }
}

/// The addresses of the `longshore dev` that runs in `dir`.
pub(crate) fn running_stack(dir: &Path) -> Result<Option<Environment>, ConfigError> {
    if DirectoryLock::is_held(dir) {
        VariablesFile::read(dir)
    } else {
        Ok(None)
    }
}

/// Creates the directory and excludes it from version control: its files contain prompts, answers and a password.
fn prepare(dir: &Path) -> Result<PathBuf, CommandError> {
    let wrong = |source| CommandError::Io {
        what: format!("cannot use the directory {}", dir.display()),
        source,
    };
    fs::create_dir_all(dir).map_err(wrong)?;
    let ignore = dir.join(".gitignore");
    if !ignore.exists() {
        fs::write(ignore, "*\n").map_err(wrong)?;
    }
    // Postgres is started from another working directory.
    dir.canonicalize().map_err(wrong)
}

/// Whether the user asks for the simulator or refuses it, and its script.
#[derive(Debug)]
struct Simulator {
    wanted: bool,
    refused: bool,
    script: Option<PathBuf>,
}

async fn plan(
    dir: PathBuf,
    workers: u16,
    ports: Ports,
    simulator: Simulator,
) -> Result<Plan, CommandError> {
    // The services are private: they ignore the addresses of other servers in the environment.
    let mut environment = Environment::read()?;
    for name in variables::ADDRESSES {
        environment = environment.with(name, "");
    }
    // The environment may still contain the address of an earlier simulator.
    let named = environment.get(variables::SIMULATOR).map(str::to_owned);
    let stale = match &named {
        Some(url) => !http::listens(url).await,
        None => false,
    };
    if stale {
        output::note("Note: LONGSHORE_SIMULATOR_URL is ignored, because nothing listens there.");
    }
    if stale || simulator.wanted || simulator.refused {
        environment = environment.with(variables::SIMULATOR, "");
    }
    let config = Config::load(&environment)?;
    output::warnings(&config.warnings);
    let has_provider = config.catalog.enabled().next().is_some();
    if simulator.refused && !has_provider {
        output::note("Warning: no provider key is set, so every job fails.");
    }
    Ok(Plan {
        programs: program::program_directory()?,
        tools: stack::tool_options(&environment),
        forget_simulator: named.is_some() && config.simulator_url.is_none(),
        dir,
        config,
        workers,
        ports,
        simulator: simulator.wanted || (!simulator.refused && !has_provider),
        simulator_script: simulator.script,
    })
}

/// Runs until the purpose is fulfilled, and restarts services that exit.
async fn serve(
    plan: &Plan,
    shown: &Path,
    stack: &mut Stack,
    purpose: Purpose,
    signals: &mut Signals,
) -> Result<Exit, CommandError> {
    let variables = stack.variables(plan);
    let _file = VariablesFile::write(&plan.dir, &variables)?;
    let guide = guide::Guide::new(plan, stack, shown);
    let work = async {
        match purpose {
            Purpose::Stay => {
                output::line(guide);
                signals.next().await;
                Ok(Exit::Success)
            }
            Purpose::Exec(command) => {
                output::note(guide.one_line());
                exec::run(&command, &variables, signals).await
            }
            Purpose::Demo(file) => {
                output::note(guide.one_line());
                Demo::new(plan, shown, &file, &variables)?
                    .run(signals)
                    .await
            }
        }
    };
    tokio::select! {
        done = work => done,
        never = stack.supervise() => match never {},
    }
}

/// Stops all services in order; another Ctrl-C kills the rest. Returns whether the stop was orderly.
async fn stop(plan: &Plan, mut stack: Stack, signals: &mut Signals) -> bool {
    output::note("Stopping… (press Ctrl-C to kill)");
    let orderly = tokio::select! {
        () = stack.stop(worker_grace(plan) + STOP_MARGIN) => true,
        _ = signals.next() => false,
    };
    if !orderly {
        stack.kill();
    }
    output::note(if orderly { "Stopped." } else { "Killed." });
    orderly
}

/// The output of a future that never completes.
type Never = Infallible;
