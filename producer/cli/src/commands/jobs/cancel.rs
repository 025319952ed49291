//! `longshore jobs cancel`: requests the cancellation of jobs.

use longshore_client::{Cancellation, Client, JobId, Location};
use serde::Serialize;

use super::{
    by_id::{Effect, JobResult, answer_each, recorded_end, refuse_options_of_all},
    cancel_all, refuse_chains,
};
use crate::{
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::Format,
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

impl JobResult for CancelResult {
    const ENDED: Self = Self::Ended;
    const UNKNOWN: Self = Self::Unknown;

    fn effect(self) -> Effect {
        match self {
            Self::Requested => Effect::Done,
            Self::Ended => Effect::Refused,
            Self::Unknown => Effect::Unknown,
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    if arguments.all {
        arguments.consent.check("longshore jobs cancel --all")?;
        let client = session.client().await?;
        let (filter, consent) = (&arguments.filter, arguments.consent);
        return cancel_all::run(filter, consent, arguments.format, client.broker(), session).await;
    }
    refuse_options_of_all(&arguments.filter, arguments.consent, "cancel")?;
    let client = session.client().await?;
    refuse_chains(&arguments.ids, "cancel", &client).await?;
    let Arguments { ids, format, .. } = arguments;
    answer_each(ids, format, async |id| cancel(id, &client, session).await).await
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
        Cancellation::NotFound => match recorded_end(id, true, session).await {
            Ok(text) => (CancelResult::Ended, text),
            Err(text) => (CancelResult::Unknown, text),
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
