//! `longshore dlq`: lists, edits, replays and purges dead letters.

mod bulk;
mod edit;
mod fields;
mod filter;
mod list;
mod message;
mod pace;
mod purge;
mod replay;
mod selection;
mod show;

use clap::Subcommand;
use longshore_client::JobId;

use crate::{
    error::{CommandError, Exit},
    output,
    render::text::printable,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, newest first
    List(list::Arguments),
    /// Show a dead letter in full
    Show(show::Arguments),
    /// Change the message of a dead letter
    Edit(edit::Arguments),
    /// Enqueue dead letters again
    Replay(replay::Arguments),
    /// Remove dead letters from Redis; they stay archived in Postgres
    Purge(purge::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::Edit(arguments) => edit::run(arguments, session).await,
        Action::Replay(arguments) => replay::run(arguments, session).await,
        Action::Purge(arguments) => purge::run(arguments, session).await,
    }
}

/// Names the dead letters of a page that were left out because they cannot be parsed.
fn note_unreadable(ids: &[String]) {
    for id in ids {
        output::note(format_args!(
            "Dead letter `{}` left out: it is not as Longshore wrote it.",
            printable(id)
        ));
    }
}

/// The error for an unknown dead letter.
fn unknown_dead_letter(id: &JobId) -> String {
    format!("no dead letter `{id}` in Redis; for its history: longshore jobs show {id}")
}
