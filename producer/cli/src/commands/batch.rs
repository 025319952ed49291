//! `longshore batch`: runs the tasks of a file and writes their results.

mod check;
mod collect;
mod destination;
mod lines;
mod pace;
mod recorded;
mod report;
mod results;
mod run;
mod show;
mod wait;
mod watch;

use clap::Subcommand;
use longshore_client::{BatchReport, ChainId, Client};
use longshore_protocol::chain::ChainKind;

pub(super) use self::show::show;

use super::chain;
use crate::{
    error::{CommandError, Exit},
    render::text::counted,
    session::Session,
};

#[derive(Debug, clap::Args)]
// Its group would have the same name as the group of `run::Arguments`, which clap refuses.
#[group(skip)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Wait for an existing batch and write its results
    Wait(wait::Arguments),
    /// Show the progress of a batch
    Show(show::Arguments),
    /// List batches, newest first
    List(chain::list::Arguments),
    /// Cancel a batch: stop running tasks and start no more
    Cancel(chain::cancel::Arguments),
    /// Run the failed tasks of a batch again
    Retry(chain::retry::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Some(Action::Wait(arguments)) => wait::run(arguments, session).await,
        Some(Action::Show(arguments)) => show::run(arguments, session).await,
        Some(Action::List(arguments)) => {
            chain::list::run(arguments, Some(ChainKind::Batch), session).await
        }
        Some(Action::Cancel(arguments)) => {
            chain::cancel::run(arguments, ChainKind::Batch, session).await
        }
        Some(Action::Retry(arguments)) => {
            chain::retry::run(arguments, ChainKind::Batch, session).await
        }
        None => run::run(arguments.run, session).await,
    }
}

/// A batch that is in Redis. The error for another one shows where to find its cost.
async fn known_batch(client: &Client, id: &ChainId) -> Result<BatchReport, CommandError> {
    client.batch(id).await?.ok_or_else(|| {
        CommandError::Input(format!(
            "no batch `{id}` in Redis: the id is wrong, or the batch ended longer ago than `retention.chains`; for its \
             cost: `longshore costs --chain-id {id}`"
        ))
    })
}

fn task_count(count: u64) -> String {
    counted(count, "task")
}
