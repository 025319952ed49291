//! `longshore jobs cancel`: requests the cancellation of jobs.

use longshore_client::{Cancellation, Client, JobId, Location};
use serde::Serialize;

use super::{cancel_all, refuse_chains, unknown_job};
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
    result: CancelResult,
    text: String,
}

/// The result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum CancelResult {
    /// The job's worker, or the next one that reads it, ends it.
    #[serde(rename = "asked")]
    Requested,
    /// The job had already ended.
    Ended,
    /// No such job.
    Unknown,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    if arguments.all {
        arguments.consent.check("longshore jobs cancel --all")?;
        let client = session.client().await?;
        let (filter, consent) = (&arguments.filter, arguments.consent);
        return cancel_all::run(filter, consent, arguments.format, client.broker(), session).await;
    }
    if !arguments.filter.is_empty() || arguments.consent.dry_run {
        return Err(CommandError::Input(
            "filters and --dry-run require --all instead of ids: `longshore jobs cancel --all …`"
                .to_owned(),
        ));
    }
    let client = session.client().await?;
    refuse_chains(&arguments.ids, "cancel", &client).await?;
    let mut answers = Vec::with_capacity(arguments.ids.len());
    for id in arguments.ids {
        let (result, text) = cancel(&id, &client, session).await?;
        if arguments.format == Format::Text {
            match result {
                CancelResult::Unknown => output::error(&text),
                _ => output::line(format_args!("{id}: {text}")),
            }
        }
        answers.push(Answer { id, result, text });
    }
    if arguments.format == Format::Json {
        output::json(&answers);
    }
    let all_requested = answers
        .iter()
        .all(|answer| answer.result == CancelResult::Requested);
    Ok(Exit::success_if(all_requested))
}

async fn cancel(
    id: &JobId,
    client: &Client,
    session: &Session,
) -> Result<(CancelResult, String), CommandError> {
    Ok(match client.cancel(id).await? {
        Cancellation::Requested(location) => (
            CancelResult::Requested,
            describe_request(&location).to_owned(),
        ),
        Cancellation::AlreadyEnded(Some(state)) => {
            (CancelResult::Ended, format!("already ended: {state}"))
        }
        Cancellation::AlreadyEnded(None) => (CancelResult::Ended, "already ended".to_owned()),
        Cancellation::DeadLetter => (
            CancelResult::Ended,
            "already ended: it is a dead letter".to_owned(),
        ),
        Cancellation::NotFound => match session.recorded_job(id).await {
            Ok(Some(history)) => (
                CancelResult::Ended,
                format!("already ended: {}", history.row.job.state),
            ),
            Ok(None) => (CancelResult::Unknown, unknown_job(id, true, None)),
            Err(error) => (
                CancelResult::Unknown,
                unknown_job(id, true, Some(&error.first_line())),
            ),
        },
    })
}

fn describe_request(location: &Location) -> &'static str {
    match location {
        Location::Running { .. } => "cancellation requested: its worker stops it now",
        Location::Nowhere { .. } => {
            "cancellation requested: not found among the first jobs of the queues; if it is further back, it ends when a worker reads it"
        }
        _ => "cancellation requested: the next worker that reads it ends it without running it",
    }
}
