//! `longshore dlq purge`: takes dead letters out of Redis, archived.

use longshore_shared::{
    archive::{ArchiveError, archive_and_remove},
    ledger::DeadResolution,
};

use super::{
    absent,
    bulk::{self, Choice},
};
use crate::{
    commands::words::many,
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Letters that leave at once.
const CHUNK: usize = 500;

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choice: Choice,
}

/// Archives and removes.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let choice = arguments.choice;
    let broker = session.broker().await?;
    let chosen = choice.find("purge", &broker).await?;
    for id in &chosen.absent {
        output::complain(&absent(id));
    }
    if choice.dry_run {
        bulk::dry_run("purged", &chosen, &broker).await?;
        return Ok(Done::Success);
    }
    // Before the question: where nothing can be archived, nothing can leave.
    let ledger = match session.ledger().await {
        Err(CommandError::Ledger(error)) => return Err(ArchiveError::Ledger(error).into()),
        other => other?,
    };
    if !choice.confirmed("purge", chosen.keys.len())? {
        output::note("Nothing was purged.");
        return Ok(Done::Failure);
    }
    let bar = bulk::bar(chosen.keys.len());
    let mut purged = 0;
    for keys in chosen.keys.chunks(CHUNK) {
        let letters = broker.dead_letters(keys).await?;
        let removed = archive_and_remove(&broker, &ledger, &letters, DeadResolution::Purged).await;
        match removed {
            Ok(removed) => purged += removed,
            Err(error) => {
                bar.abandon();
                output::note(format_args!(
                    "{} purged before that.",
                    many(purged, "dead letter")
                ));
                return Err(error.into());
            }
        }
        bar.inc(keys.len() as u64);
    }
    bar.finish_and_clear();
    output::line(format_args!(
        "{} purged; Postgres keeps them whole",
        many(purged, "dead letter")
    ));
    Ok(if chosen.absent.is_empty() {
        Done::Success
    } else {
        Done::Failure
    })
}
