//! `longshore migrate`: applies pending Postgres migrations.

use crate::{
    error::{CommandError, Exit},
    output,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only list pending migrations; exit code 1 if there are any
    #[arg(long)]
    check: bool,
}

/// Applies pending migrations, or lists them.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let ledger = session.ledger().await?;
    let pending = ledger.pending_migrations().await?;
    if pending.is_empty() {
        output::line(format_args!(
            "The tables at {} are up to date.",
            ledger.address()
        ));
        return Ok(Exit::Success);
    }
    if arguments.check {
        for name in &pending {
            output::line(format_args!("Pending: {name}"));
        }
        output::note(format_args!(
            "Run `longshore migrate` to apply them to {}.",
            ledger.address()
        ));
        return Ok(Exit::Failure);
    }
    ledger.migrate().await?;
    for name in &pending {
        output::line(format_args!("Applied: {name}"));
    }
    output::line(format_args!(
        "The tables at {} are up to date.",
        ledger.address()
    ));
    Ok(Exit::Success)
}
