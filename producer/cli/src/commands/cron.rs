//! `longshore cron`: jobs that recur.

mod add;
mod change;
mod list;
mod run;

use clap::Subcommand;
use longshore_shared::{
    broker::{Broker, CronFence, CronRecord},
    cron::Entry,
    id::CronName,
};

use crate::{
    error::{CommandError, Done},
    output,
    session::Session,
};

/// What to do with recurring jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let a job recur
    Add(add::Arguments),
    /// List the recurring jobs with their next and last ticks
    List(list::Arguments),
    /// Let a recurring job rest; what would come meanwhile is not missed
    Pause(Named),
    /// Let a recurring job that rests go on
    Resume(Named),
    /// Take a recurring job away
    Remove(Named),
    /// Enqueue a recurring job once, now
    Run(Named),
}

/// One of them.
#[derive(Debug, clap::Args)]
struct Named {
    /// Its name
    #[arg(value_parser = CronName::parse)]
    name: CronName,
}

/// Does it.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    match arguments.action {
        Action::Add(arguments) => add::run(arguments, session).await,
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Pause(named) => change::rest(&named.name, true, session).await,
        Action::Resume(named) => change::rest(&named.name, false, session).await,
        Action::Remove(named) => change::remove(&named.name, session).await,
        Action::Run(named) => run::run(&named.name, session).await,
    }
}

/// The recurring job of this name; `None` once it is told that there is none.
async fn find(
    broker: &Broker,
    name: &CronName,
) -> Result<Option<(CronRecord, Entry)>, CommandError> {
    let Some(record) = broker.cron_record(name).await? else {
        output::complain(&format!(
            "no recurring job `{name}`; `longshore cron list` tells which there are"
        ));
        return Ok(None);
    };
    let entry = record.entry()?;
    Ok(Some((record, entry)))
}

/// Says so if somebody else changed the job meanwhile.
fn unchanged(name: &CronName, fence: CronFence) -> Result<(), CommandError> {
    match fence {
        CronFence::Held => Ok(()),
        CronFence::Changed | CronFence::Deposed => Err(CommandError::Input(format!(
            "the recurring job `{name}` was changed by somebody else just now; look at it and try again"
        ))),
    }
}
