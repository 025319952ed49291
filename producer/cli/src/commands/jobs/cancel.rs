//! `longshore jobs cancel`: asks for jobs to be cancelled.

use longshore_shared::{broker::Broker, id::JobId};
use serde::Serialize;

use super::{
    cancel_all::{self, Filter, Sure},
    find::{self, Location},
    nowhere,
    why::first_line,
};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The jobs
    #[arg(value_name = "ID", value_parser = JobId::parse, required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<JobId>,
    /// All jobs that have not ended and fit the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Only say which they are
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Answer {
    id: JobId,
    result: Became,
    text: String,
}

/// What became of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    /// Its worker, or the next one, ends it.
    Asked,
    /// There was nothing left to cancel.
    Ended,
    /// There is no such job.
    Unknown,
}

/// Asks, and says what became of it.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    if arguments.all {
        let sure = Sure {
            dry_run: arguments.dry_run,
            yes: arguments.yes,
        };
        return cancel_all::run(&arguments.filter, sure, arguments.format, &broker, session).await;
    }
    if !arguments.filter.is_empty() || arguments.dry_run {
        return Err(CommandError::Input(
            "filters and --dry-run go with --all, not with ids: `longshore jobs cancel --all …`"
                .to_owned(),
        ));
    }
    let mut answers = Vec::with_capacity(arguments.ids.len());
    for id in arguments.ids {
        let (result, text) = cancel(&id, &broker, session).await?;
        if arguments.format == Format::Text {
            match result {
                Became::Unknown => output::complain(&text),
                _ => output::line(format_args!("{id}: {text}")),
            }
        }
        answers.push(Answer { id, result, text });
    }
    if arguments.format == Format::Json {
        output::json(&answers);
    }
    if answers.iter().all(|answer| answer.result == Became::Asked) {
        Ok(Done::Success)
    } else {
        Ok(Done::Failure)
    }
}

async fn cancel(
    id: &JobId,
    broker: &Broker,
    session: &Session,
) -> Result<(Became, String), CommandError> {
    let found = find::find(broker, id).await?;
    match found.location {
        Location::Ended => {
            let state = found
                .outcome
                .map_or("ended", |outcome| outcome.state.as_str());
            return Ok((Became::Ended, format!("has ended already: {state}")));
        }
        Location::Dead => {
            return Ok((
                Became::Ended,
                "has ended already: it is a dead letter".to_owned(),
            ));
        }
        // An id that is nowhere must not be marked: the mark would hit a later job of that name.
        Location::Nowhere { complete: true } => {
            let recorded = match session.ledger().await {
                Ok(ledger) => ledger.job(id).await.map_err(CommandError::from),
                Err(error) => Err(error),
            };
            return Ok(match recorded {
                Ok(Some(history)) => (
                    Became::Ended,
                    format!("has ended already: {}", history.row.job.state),
                ),
                Ok(None) => (Became::Unknown, nowhere(id, true, None)),
                Err(error) => (
                    Became::Unknown,
                    nowhere(id, true, Some(&first_line(&error))),
                ),
            });
        }
        _ => {}
    }
    // Who waits for his tenant's turn is known there by his place.
    let aside = match (&found.location, &found.resume) {
        (Location::Waiting { .. }, Some(resume)) => &resume.id,
        _ => id,
    };
    if !broker.cancel_aside(id, aside).await? {
        return Ok((Became::Ended, "has ended already".to_owned()));
    }
    Ok((Became::Asked, asked(&found.location).to_owned()))
}

fn asked(location: &Location) -> &'static str {
    match location {
        Location::Running { .. } => "asked: its worker drops it now",
        Location::Nowhere { .. } => {
            "asked: it was not found among the first jobs of the queues; if it is further back, it ends when its turn comes"
        }
        _ => "asked: the next worker ends it without running it",
    }
}
