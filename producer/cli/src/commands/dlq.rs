//! `longshore dlq`: the dead letters.

mod bulk;
mod edit;
mod fields;
mod filter;
mod list;
mod message;
mod pace;
mod purge;
mod replay;
mod show;
mod walk;

use clap::Subcommand;
use longshore_shared::id::JobId;

use crate::{
    error::{CommandError, Done},
    session::Session,
};

/// What to do with dead letters.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, the newest first
    List(list::Arguments),
    /// Show all of a dead letter
    Show(show::Arguments),
    /// Change the message of a dead letter
    Edit(edit::Arguments),
    /// Put dead letters into their queues again
    Replay(replay::Arguments),
    /// Take dead letters out of Redis; they stay archived in Postgres
    Purge(purge::Arguments),
}

/// Does it.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::Edit(arguments) => edit::run(arguments, session).await,
        Action::Replay(arguments) => replay::run(arguments, session).await,
        Action::Purge(arguments) => purge::run(arguments, session).await,
    }
}

/// What is said of a letter that is not there.
fn absent(id: &JobId) -> String {
    format!("no dead letter `{id}` in Redis; `longshore jobs show {id}` tells what became of it")
}
