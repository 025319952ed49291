//! `longshore batch`: many tasks out of a file, and their answers.

mod collect;
mod past;
mod report;
mod results;
mod run;
mod show;
mod survey;
mod wait;

use clap::Subcommand;
use longshore_client::{BatchReport, ChainId, Client};

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
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Some(Action::Wait(arguments)) => wait::run(arguments, session).await,
        Some(Action::Show(arguments)) => show::run(arguments, session).await,
        None => run::run(arguments.run, session).await,
    }
}

/// A batch that Redis knows; the error says where its cost is kept.
async fn known_batch(client: &Client, id: &ChainId) -> Result<BatchReport, CommandError> {
    client.batch(id).await?.ok_or_else(|| {
        CommandError::Input(format!(
            "batch `{id}` is not known, or ended so long ago that Redis keeps it no more \
             (`retention.chains`); what it cost: `longshore costs --chain-id {id}`"
        ))
    })
}

fn task_count(count: u64) -> String {
    counted(count, "task")
}
