//! `longshore dlq purge`: removes dead letters from Redis; they stay archived in Postgres.

use clap::ArgGroup;
use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_protocol::event::DeadLetterResolution;
use longshore_service::archive::{ArchiveError, archive_and_remove};

use super::{
    note_unreadable,
    selection::{Selected, Selection, print_dry_run, progress_bar},
};
use crate::{
    audit,
    error::{CommandError, Exit},
    output,
    render::text::counted,
    session::Session,
};

/// Dead letters removed by one call.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "all"])))]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let selection = arguments.selection;
    selection.check("purge")?;
    let broker = session.broker().await?;
    let selected = selection.find(&broker).await?;
    if selection.consent.dry_run {
        print_dry_run("purged", selected, &broker).await?;
        return Ok(Exit::Success);
    }
    // Connect before asking: a dead letter that cannot be archived must stay.
    let ledger = match session.ledger().await {
        Err(CommandError::Ledger(error)) => return Err(ArchiveError::Ledger(error).into()),
        other => other?,
    };
    if !selection.confirmed("purge", &selected, &broker).await? {
        output::note("Nothing was purged.");
        return Ok(Exit::Refused);
    }
    let mut purged = 0;
    let ended = purge(selected, &broker, &ledger, &mut purged).await;
    audit::add_affected(purged);
    match ended {
        Ok(done) => {
            output::line(format_args!(
                "{} purged; Postgres keeps the archive",
                counted(purged, "dead letter")
            ));
            Ok(done)
        }
        Err(error) => {
            output::note(format_args!(
                "{} purged before the error.",
                counted(purged, "dead letter")
            ));
            Err(error.into())
        }
    }
}

async fn purge(
    selected: Selected,
    broker: &Broker,
    ledger: &Ledger,
    purged: &mut usize,
) -> Result<Exit, ArchiveError> {
    let resolution = DeadLetterResolution::Purged;
    let mut query = match selected {
        Selected::Named(dead_letters, all) => {
            *purged += archive_and_remove(broker, ledger, &dead_letters, resolution).await?;
            return Ok(Exit::success_if(all));
        }
        Selected::Matching(query) => query,
    };
    let bar = progress_bar(
        broker
            .dead_letters()
            .count_before(query.span.end().saturating_add(1))
            .await?,
    );
    loop {
        let page = broker.dead_letters().page(&query, PAGE).await?;
        note_unreadable(&page.unreadable);
        *purged += archive_and_remove(broker, ledger, &page.found, resolution).await?;
        bar.advance(page.scanned as u64);
        query.after = page.next;
        if query.after.is_none() {
            bar.clear();
            return Ok(Exit::Success);
        }
    }
}
