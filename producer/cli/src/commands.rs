//! The commands: a file or a folder for each noun, a file for each verb.

mod batch;
mod chain;
mod config;
mod costs;
mod cron;
mod dev;
mod dlq;
mod doctor;
mod jobs;
mod migrate;
mod models;
mod pause;
mod queues;
mod quota;
mod reconcile;
mod route;
mod run;
mod status;
mod submit;
mod workers;

use clap::Subcommand;

use crate::{
    error::{CommandError, Exit},
    session::Session,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit one task and wait for its answer
    Submit(submit::Arguments),
    /// Submit many tasks from a file and wait for their answers
    Batch(batch::Arguments),
    /// Run the tasks of a project's file and wait for their answers
    Run(run::Arguments),
    /// Begin, show, list, stop and go on with chains of steps
    Chain(chain::Arguments),
    /// Show, list, explain, cancel and wait for jobs
    Jobs(jobs::Arguments),
    /// Show platforms, queues and services
    Status(status::Arguments),
    /// Show what is used of quotas and budgets
    Quota(quota::Arguments),
    /// Show what was spent, by day, platform, type or chain
    Costs(costs::Arguments),
    /// Add, list, pause, resume, remove and run jobs that recur
    Cron(cron::Arguments),
    /// List, show, edit, replay and purge dead letters
    Dlq(dlq::Arguments),
    /// Show who would answer a task, and why, without asking anyone
    Route(route::Arguments),
    /// Show how full the queues and lanes are
    Queues(queues::Arguments),
    /// Show who works, and on what
    Workers(workers::Arguments),
    /// Pause a queue, a type of jobs or a provider
    Pause(pause::PauseArguments),
    /// Resume what was paused
    Resume(pause::ResumeArguments),
    /// Hold the record against what stands in Redis
    Reconcile(reconcile::Arguments),
    /// List the models, name the cheapest, import prices
    Models(models::Arguments),
    /// Show, check, compare and push the configuration
    Config(config::Arguments),
    /// Bring the Postgres tables up to date
    Migrate(migrate::Arguments),
    /// Check the set-up and say what to do
    Doctor(doctor::Arguments),
    /// Start everything on this machine
    Dev(dev::Arguments),
}

pub(crate) async fn run(command: Command) -> Result<Exit, CommandError> {
    match command {
        // It makes the servers that a configuration would name.
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Submit(arguments) => submit::run(arguments, &Session::open()?).await,
        Command::Batch(arguments) => batch::run(arguments, &Session::open()?).await,
        Command::Run(arguments) => Box::pin(run::run(arguments, &Session::open()?)).await,
        Command::Chain(arguments) => chain::run(arguments, &Session::open()?).await,
        Command::Jobs(arguments) => jobs::run(arguments, &Session::open()?).await,
        Command::Status(arguments) => status::run(arguments, &Session::open()?).await,
        Command::Quota(arguments) => quota::run(arguments, &Session::open()?).await,
        Command::Costs(arguments) => costs::run(arguments, &Session::open()?).await,
        Command::Cron(arguments) => cron::run(arguments, &Session::open()?).await,
        Command::Dlq(arguments) => dlq::run(arguments, &Session::open()?).await,
        Command::Queues(arguments) => queues::run(arguments, &Session::open()?).await,
        Command::Workers(arguments) => workers::run(arguments, &Session::open()?).await,
        Command::Pause(arguments) => pause::pause(arguments, &Session::open()?).await,
        Command::Resume(arguments) => pause::resume(arguments, &Session::open()?).await,
        Command::Reconcile(arguments) => reconcile::run(arguments, &Session::open()?).await,
        Command::Models(arguments) => models::run(arguments, &Session::open()?),
        Command::Config(arguments) => config::run(arguments).await,
        Command::Route(arguments) => route::run(arguments, &Session::open()?),
        Command::Migrate(arguments) => migrate::run(arguments, &Session::open()?).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
    }
}
