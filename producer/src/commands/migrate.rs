//! `longshore migrate`: the tables of the record, up to date.

use longshore_ledger::{Ledger, LedgerError};

use crate::{
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only list what is still to be applied; exit code 1 if there is anything
    #[arg(long)]
    check: bool,
}

/// Applies what is pending, or lists it.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let ledger = session.ledger().await?;
    let pending = ledger.pending_migrations().await?;
    if pending.is_empty() {
        output::line(format_args!(
            "The tables at {} are up to date.",
            ledger.address()
        ));
        return Ok(Done::Success);
    }
    if arguments.check {
        for name in &pending {
            output::line(format_args!("Pending: {name}"));
        }
        output::note(format_args!(
            "`longshore migrate` applies them to {}.",
            ledger.address()
        ));
        return Ok(Done::Failure);
    }
    ledger.migrate().await?;
    for name in &pending {
        output::line(format_args!("Applied: {name}"));
    }
    output::line(format_args!(
        "The tables at {} are up to date.",
        ledger.address()
    ));
    Ok(Done::Success)
}

/// An error of the record, with what to do where its tables are the reason.
pub(super) async fn explained(ledger: &Ledger, error: LedgerError) -> CommandError {
    match ledger.pending_migrations().await {
        Ok(pending) if !pending.is_empty() => CommandError::Input(format!(
            "the tables at {} are not up to date; run `longshore migrate`",
            ledger.address()
        )),
        _ => error.into(),
    }
}
