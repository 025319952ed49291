//! `longshore dlq purge`: takes dead letters out of Redis, archived.

use clap::ArgGroup;
use longshore_shared::{
    archive::{ArchiveError, archive_and_remove},
    broker::Broker,
    event::DeadResolution,
    ledger::Ledger,
};

use super::bulk::{self, Choice, Chosen};
use crate::{
    commands::words::many,
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Letters that leave at once.
const PAGE: usize = 500;

/// Options.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "all"])))]
pub(super) struct Arguments {
    #[command(flatten)]
    choice: Choice,
}

/// Archives and removes.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let choice = arguments.choice;
    let broker = session.broker().await?;
    let chosen = choice.find("purge", &broker).await?;
    if choice.dry_run {
        bulk::dry_run("purged", chosen, &broker).await?;
        return Ok(Done::Success);
    }
    // Before the question: where nothing can be archived, nothing can leave.
    let ledger = match session.ledger().await {
        Err(CommandError::Ledger(error)) => return Err(ArchiveError::Ledger(error).into()),
        other => other?,
    };
    if !choice.confirmed("purge", &chosen, &broker).await? {
        output::note("Nothing was purged.");
        return Ok(Done::Failure);
    }
    let mut purged = 0;
    match purge(chosen, &broker, &ledger, &mut purged).await {
        Ok(done) => {
            output::line(format_args!(
                "{} purged; Postgres keeps them whole",
                many(purged, "dead letter")
            ));
            Ok(done)
        }
        Err(error) => {
            output::note(format_args!(
                "{} purged before that.",
                many(purged, "dead letter")
            ));
            Err(error.into())
        }
    }
}

async fn purge(
    chosen: Chosen,
    broker: &Broker,
    ledger: &Ledger,
    purged: &mut usize,
) -> Result<Done, ArchiveError> {
    let why = DeadResolution::Purged;
    let mut query = match chosen {
        Chosen::Named(letters, all) => {
            *purged += archive_and_remove(broker, ledger, &letters, why).await?;
            return Ok(if all { Done::Success } else { Done::Failure });
        }
        Chosen::Fitting(query) => query,
    };
    let bar = bulk::bar(
        broker
            .dead_before(query.span.end().saturating_add(1))
            .await?,
    );
    loop {
        let page = broker.dead_letters(&query, PAGE).await?;
        *purged += archive_and_remove(broker, ledger, &page.found, why).await?;
        bar.inc(page.looked as u64);
        query.after = page.next;
        if query.after.is_none() {
            bar.finish_and_clear();
            return Ok(Done::Success);
        }
    }
}
