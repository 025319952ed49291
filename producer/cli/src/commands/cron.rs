//! `longshore cron`: recurring jobs.

mod add;
mod control;
mod list;

use clap::Subcommand;
use longshore_broker::{Broker, CronFence, CronRecord};
use longshore_policy::cron::CronJob;
use longshore_protocol::id::CronName;

use crate::{
    error::{CommandError, Exit},
    output,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a recurring job
    Add(add::Arguments),
    /// List recurring jobs with their next and last ticks
    List(list::Arguments),
    /// Pause a recurring job; ticks during the pause do not count as missed
    Pause(Named),
    /// Resume a paused recurring job
    Resume(Named),
    /// Remove a recurring job
    Remove(Named),
    /// Enqueue a recurring job once, now
    Run(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Name of the recurring job
    #[arg(value_parser = CronName::parse)]
    name: CronName,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::Add(arguments) => add::run(arguments, session).await,
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Pause(named) => control::set_paused(&named.name, true, session).await,
        Action::Resume(named) => control::set_paused(&named.name, false, session).await,
        Action::Remove(named) => control::remove(&named.name, session).await,
        Action::Run(named) => control::run_now(&named.name, session).await,
    }
}

/// The recurring job of this name; prints an error if there is none.
async fn find_job(
    broker: &Broker,
    name: &CronName,
) -> Result<Option<(CronRecord, CronJob)>, CommandError> {
    let Some(record) = broker.cron().record(name).await? else {
        output::error(&format!(
            "no recurring job `{name}`; `longshore cron list` lists them"
        ));
        return Ok(None);
    };
    let entry = record.entry()?;
    Ok(Some((record, entry)))
}

/// Fails if someone else changed the job at the same time.
fn require_unchanged(name: &CronName, fence: CronFence) -> Result<(), CommandError> {
    match fence {
        CronFence::Held => Ok(()),
        CronFence::Changed | CronFence::Deposed => Err(CommandError::Input(format!(
            "recurring job `{name}` was changed by someone else at the same time; check it with `longshore cron list` and \
             try again"
        ))),
    }
}
