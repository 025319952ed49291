//! `longshore chain`: starts, shows, cancels and retries chains of dependent steps.

pub(super) mod cancel;
mod graph;
mod input;
pub(super) mod list;
mod live;
mod log;
mod reader;
mod report;
pub(super) mod retry;
mod run;
mod show;
mod tree;
mod wait;
mod watch;

use clap::Subcommand;
use longshore_client::ChainId;
use longshore_protocol::chain::ChainKind;

pub(super) use self::{run::enqueue_and_wait, show::show};

use self::reader::{ChainReader, ChainStatus};
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
    /// Start a chain from a file and wait for it to end
    Run(run::Arguments),
    /// Show the steps of a chain as a tree, with states, times and costs
    Show(show::Arguments),
    /// Write the log of a chain: its steps in order, each with its attempts, decisions, waits and costs
    Log(log::Arguments),
    /// List chains, newest first
    List(list::Arguments),
    /// Wait for a chain to end
    Wait(wait::Arguments),
    /// Cancel a chain: stop running steps and start no more
    Cancel(cancel::Arguments),
    /// Run the failed steps of a chain again and keep the other answers
    Retry(retry::Arguments),
    /// Print a chain as a graph
    Graph(graph::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::Run(arguments) => Box::pin(run::run(arguments, session)).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::Log(arguments) => Box::pin(log::run(arguments, session)).await,
        Action::List(arguments) => list::run(arguments, None, session).await,
        Action::Wait(arguments) => Box::pin(wait::run(arguments, session)).await,
        Action::Cancel(arguments) => cancel::run(arguments, ChainKind::Chain, session).await,
        Action::Retry(arguments) => retry::run(arguments, ChainKind::Chain, session).await,
        Action::Graph(arguments) => graph::run(arguments, session).await,
    }
}

/// Reads a chain. If there is none of this id, it prints why and returns `None`.
async fn read_chain(reader: &mut ChainReader) -> Result<Option<ChainStatus>, CommandError> {
    let chain = reader.read().await?;
    if chain.is_none() {
        let error = reader.ledger_error();
        output::error(&unknown_chain(ChainKind::Chain, reader.id(), error));
    }
    Ok(chain)
}

/// The error for an unknown chain or batch; `ledger_error`: why the query to Postgres failed.
fn unknown_chain(kind: ChainKind, id: &ChainId, ledger_error: Option<&str>) -> String {
    match ledger_error {
        None => format!("no {kind} `{id}`: searched Redis and Postgres"),
        Some(error) => format!("no {kind} `{id}`: searched Redis; Postgres query failed: {error}"),
    }
}
