//! `longshore chain`: steps that depend on one another, begun, watched, stopped and gone on with.

mod cancel;
mod graph;
mod input;
mod list;
mod live;
mod look;
mod outline;
mod report;
mod retry;
mod run;
mod show;
mod tree;
mod wait;
mod watch;

pub(super) use run::put_in_and_wait;

use clap::Subcommand;
use longshore_shared::chain::ChainId;

use crate::{
    error::{CommandError, Done},
    session::Session,
};

/// What to do with chains.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Begin a chain out of a file and wait for its end
    Run(run::Arguments),
    /// Show a chain: its steps as a tree, with states, times and costs
    Show(show::Arguments),
    /// List chains, the newest first
    List(list::Arguments),
    /// Wait until a chain has ended
    Wait(wait::Arguments),
    /// Stop a chain: cancel what runs and start nothing more
    Cancel(cancel::Arguments),
    /// Go on with a chain from the steps that failed, keeping what was paid for
    Retry(retry::Arguments),
    /// Draw a chain as a graph
    Graph(graph::Arguments),
}

/// Does it.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    match arguments.action {
        Action::Run(arguments) => Box::pin(run::run(arguments, session)).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Wait(arguments) => Box::pin(wait::run(arguments, session)).await,
        Action::Cancel(arguments) => cancel::run(arguments, session).await,
        Action::Retry(arguments) => retry::run(arguments, session).await,
        Action::Graph(arguments) => graph::run(arguments, session).await,
    }
}

/// What was looked at in vain, for the error.
fn nowhere(id: &ChainId, record: Option<&str>) -> String {
    let text = format!("no chain `{id}`: looked in Redis");
    match record {
        None => text + ", and at the record in Postgres",
        Some(error) => format!("{text}; the record could not be asked: {error}"),
    }
}
