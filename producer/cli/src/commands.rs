//! The commands: a file or a folder for each noun, a file for each verb.

mod audit;
mod batch;
mod chain;
mod completions;
mod config;
mod costs;
mod cron;
mod dev;
mod dlq;
mod doctor;
mod failures;
mod jobs;
mod man;
mod migrate;
mod models;
mod pause;
mod queues;
mod quota;
mod recipes;
mod reconcile;
mod review;
mod route;
mod run;
mod show;
mod status;
mod submit;
mod workers;

use clap::Subcommand;

pub(crate) use self::dev::running_stack;
use crate::{
    error::{CommandError, Exit},
    session::Session,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a task and wait for the answer
    Submit(Box<submit::Arguments>),
    /// Submit the tasks of a file and wait for the answers
    Batch(batch::Arguments),
    /// Run the tasks of a project's tasks.yaml and wait for the answers
    Run(run::Arguments),
    /// Start, show, list, cancel and retry chains
    Chain(chain::Arguments),
    /// Show, list, explain, cancel and wait for jobs
    Jobs(jobs::Arguments),
    /// Show a job, a step, a chain or a batch
    Show(show::Arguments),
    /// Show platforms, queues and services
    Status(status::Arguments),
    /// Show what fails now, in groups, with an example of each
    Failures(failures::Arguments),
    /// Show the usage of quotas and budgets
    Quota(quota::Arguments),
    /// Show costs by day, platform, type, tenant or chain
    Costs(costs::Arguments),
    /// Add, list, pause, resume, remove and run recurring jobs
    Cron(cron::Arguments),
    /// List, show, edit, replay and purge dead letters
    Dlq(dlq::Arguments),
    /// Show which platforms would answer a task, and why, without calling them
    Route(route::Arguments),
    /// List, show and explain recipes
    Recipes(recipes::Arguments),
    /// List, show and decide what people are asked
    Review(review::Arguments),
    /// Show the length of queues and lanes
    Queues(queues::Arguments),
    /// Show workers and their jobs in flight
    Workers(workers::Arguments),
    /// Pause a queue, a job type or a provider
    Pause(pause::PauseArguments),
    /// Resume a paused queue, job type or provider
    Resume(pause::ResumeArguments),
    /// Show who changed what with a command, newest first
    Audit(audit::Arguments),
    /// Compare Postgres with Redis, and cost totals with attempts, and list differences
    Reconcile(reconcile::Arguments),
    /// List models, find the cheapest, import prices
    Models(models::Arguments),
    /// Show, validate, compare and push the configuration
    Config(config::Arguments),
    /// Apply Postgres migrations
    Migrate(migrate::Arguments),
    /// Check the setup and suggest fixes
    Doctor(doctor::Arguments),
    /// Start all services on this machine
    Dev(dev::Arguments),
    /// Print a script that completes commands in a shell
    Completions(completions::Arguments),
    /// Write the manual pages of all commands
    Man(man::Arguments),
}

pub(crate) async fn run(command: Command) -> Result<Exit, CommandError> {
    match command {
        // It starts its own servers, so it opens no session.
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Submit(arguments) => submit::run(*arguments, &Session::open()?).await,
        Command::Batch(arguments) => batch::run(arguments, &Session::open()?).await,
        Command::Run(arguments) => Box::pin(run::run(arguments, &Session::open()?)).await,
        Command::Chain(arguments) => chain::run(arguments, &Session::open()?).await,
        Command::Jobs(arguments) => jobs::run(arguments, &Session::open()?).await,
        Command::Show(arguments) => Box::pin(show::run(arguments, &Session::open()?)).await,
        Command::Status(arguments) => Box::pin(status::run(arguments, &Session::open()?)).await,
        Command::Failures(arguments) => failures::run(arguments, &Session::open()?).await,
        Command::Quota(arguments) => quota::run(arguments, &Session::open()?).await,
        Command::Costs(arguments) => costs::run(arguments, &Session::open()?).await,
        Command::Cron(arguments) => cron::run(arguments, &Session::open()?).await,
        Command::Dlq(arguments) => dlq::run(arguments, &Session::open()?).await,
        Command::Review(arguments) => review::run(arguments, &Session::open()?).await,
        Command::Queues(arguments) => queues::run(arguments, &Session::open()?).await,
        Command::Workers(arguments) => workers::run(arguments, &Session::open()?).await,
        Command::Pause(arguments) => pause::pause(arguments, &Session::open()?).await,
        Command::Resume(arguments) => pause::resume(arguments, &Session::open()?).await,
        Command::Audit(arguments) => audit::run(arguments, &Session::open()?).await,
        Command::Reconcile(arguments) => reconcile::run(arguments, &Session::open()?).await,
        Command::Models(arguments) => models::run(arguments, &Session::open()?),
        Command::Config(arguments) => Box::pin(config::run(arguments)).await,
        Command::Recipes(arguments) => recipes::run(arguments, &Session::open()?),
        Command::Route(arguments) => route::run(arguments, &Session::open()?),
        Command::Migrate(arguments) => migrate::run(arguments, &Session::open()?).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
        Command::Man(arguments) => man::run(&arguments),
    }
}
