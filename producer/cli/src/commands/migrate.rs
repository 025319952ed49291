//! `longshore migrate`: applies pending Postgres migrations, and makes the partitions of the next months.

use longshore_ledger::Ledger;
use longshore_protocol::clock::local_time;

use crate::{
    audit,
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
    if arguments.check {
        return Ok(list(&pending, &ledger));
    }
    ledger.migrate().await?;
    audit::add_affected(pending.len());
    for name in &pending {
        output::line(format_args!("Applied: {name}"));
    }
    // Of a database that has many attempts in one table, this takes minutes. They go on being recorded.
    ledger.make_attempt_partitions(local_time()).await?;
    report_up_to_date(&ledger);
    Ok(Exit::Success)
}

fn list(pending: &[String], ledger: &Ledger) -> Exit {
    if pending.is_empty() {
        report_up_to_date(ledger);
        return Exit::Success;
    }
    for name in pending {
        output::line(format_args!("Pending: {name}"));
    }
    output::note(format_args!(
        "Run `longshore migrate` to apply them to {}.",
        ledger.address()
    ));
    Exit::Failure
}

fn report_up_to_date(ledger: &Ledger) {
    output::line(format_args!(
        "The tables at {} are up to date.",
        ledger.address()
    ));
}
