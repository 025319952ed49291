//! `longshore jobs cancel`: requests that jobs be cancelled.

use longshore_client::{Cancellation, Client, JobId, Location};
use serde::Serialize;

use super::{cancel_all, unknown_job};
use crate::{
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::{self, Format},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job ids
    #[arg(value_name = "ID", value_parser = JobId::parse, required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<JobId>,
    /// All jobs that have not ended and match the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: LabelFilter,
    #[command(flatten)]
    consent: Consent,
    /// Output format
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

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    if arguments.all {
        let (filter, consent) = (&arguments.filter, arguments.consent);
        return cancel_all::run(filter, consent, arguments.format, client.broker(), session).await;
    }
    if !arguments.filter.is_empty() || arguments.consent.dry_run {
        return Err(CommandError::Input(
            "filters and --dry-run go with --all, not with ids: `longshore jobs cancel --all …`"
                .to_owned(),
        ));
    }
    let mut answers = Vec::with_capacity(arguments.ids.len());
    for id in arguments.ids {
        let (result, text) = cancel(&id, &client, session).await?;
        if arguments.format == Format::Text {
            match result {
                Became::Unknown => output::error(&text),
                _ => output::line(format_args!("{id}: {text}")),
            }
        }
        answers.push(Answer { id, result, text });
    }
    if arguments.format == Format::Json {
        output::json(&answers);
    }
    let all_asked = answers.iter().all(|answer| answer.result == Became::Asked);
    Ok(Exit::success_if(all_asked))
}

async fn cancel(
    id: &JobId,
    client: &Client,
    session: &Session,
) -> Result<(Became, String), CommandError> {
    Ok(match client.cancel(id).await? {
        Cancellation::Requested(location) => {
            (Became::Asked, describe_request(&location).to_owned())
        }
        Cancellation::AlreadyEnded(Some(state)) => {
            (Became::Ended, format!("has ended already: {state}"))
        }
        Cancellation::AlreadyEnded(None) => (Became::Ended, "has ended already".to_owned()),
        Cancellation::DeadLetter => (
            Became::Ended,
            "has ended already: it is a dead letter".to_owned(),
        ),
        Cancellation::NotFound => match session.recorded_job(id).await {
            Ok(Some(history)) => (
                Became::Ended,
                format!("has ended already: {}", history.row.job.state),
            ),
            Ok(None) => (Became::Unknown, unknown_job(id, true, None)),
            Err(error) => (
                Became::Unknown,
                unknown_job(id, true, Some(&error.first_line())),
            ),
        },
    })
}

fn describe_request(location: &Location) -> &'static str {
    match location {
        Location::Running { .. } => "asked: its worker drops it now",
        Location::Nowhere { .. } => {
            "asked: it was not found among the first jobs of the queues; if it is further back, it ends when its turn comes"
        }
        _ => "asked: the next worker ends it without running it",
    }
}
