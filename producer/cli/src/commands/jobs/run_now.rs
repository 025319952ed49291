//! `longshore jobs run-now`: releases jobs that wait for their start time or for their next attempt.

use longshore_broker::{BrokerError, ReleasedNow};
use longshore_client::{Client, JobId, JobSnapshot, Lane, Location};
use longshore_protocol::{checkpoint::Checkpoint, clock::local_time, id::EntryId};
use serde::Serialize;

use super::{
    by_id::{Effect, JobResult, answer_each_unended, refuse_options_of_all},
    run_now_all,
};
use crate::{
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::Format,
    session::Session,
    why::{self, describe_hold},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job ids
    #[arg(value_name = "ID", value_parser = JobId::parse, required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<JobId>,
    /// All jobs that wait for a time and match the filters
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
enum RunNowResult {
    /// The job is in its queue again.
    Released,
    /// The job waits for something that is not a time, or does not wait.
    NotReleased,
    /// The job had already ended.
    Ended,
    /// No such job.
    Unknown,
}

impl JobResult for RunNowResult {
    const ENDED: Self = Self::Ended;
    const UNKNOWN: Self = Self::Unknown;

    fn effect(self) -> Effect {
        match self {
            Self::Released => Effect::Done,
            Self::NotReleased | Self::Ended => Effect::Refused,
            Self::Unknown => Effect::Unknown,
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    if arguments.all {
        arguments.consent.check("longshore jobs run-now --all")?;
        let client = session.client().await?;
        let (filter, consent) = (&arguments.filter, arguments.consent);
        return run_now_all::run(filter, consent, arguments.format, client.broker(), session).await;
    }
    refuse_options_of_all(&arguments.filter, arguments.consent, "run-now")?;
    let Arguments { ids, format, .. } = arguments;
    answer_each_unended(ids, format, session, async |_, found, client| {
        run_now(found, client, session).await
    })
    .await
}

async fn run_now(
    found: &JobSnapshot,
    client: &Client,
    session: &Session,
) -> Result<(RunNowResult, String), CommandError> {
    if let Location::Waiting {
        lane: Lane::Time, ..
    } = &found.location
    {
        return Ok(release(client, found).await?);
    }
    let why = explain(client, found, session).await?;
    Ok((RunNowResult::NotReleased, format!("not released: {why}")))
}

/// Releases a job that waits for a time, and says what it may still wait for.
async fn release(
    client: &Client,
    found: &JobSnapshot,
) -> Result<(RunNowResult, String), BrokerError> {
    let broker = client.broker();
    let job = found.parked_from.clone().zip(found.checkpoint.clone());
    let jobs: Vec<(EntryId, Checkpoint)> = job.into_iter().collect();
    if broker.lanes().release_now(&jobs).await? != [ReleasedNow::Yes] {
        let text = "not released: it has just left its lane".to_owned();
        return Ok((RunNowResult::NotReleased, text));
    }
    let hold = match &found.location {
        Location::Waiting {
            due_at: Some(due), ..
        } => describe_hold(broker, *due, found.checkpoint.as_ref(), local_time()).await?,
        _ => None,
    };
    let hold = hold.unwrap_or_default();
    let text = format!("released: the next worker with a free slot runs it{hold}");
    Ok((RunNowResult::Released, text))
}

async fn explain(
    client: &Client,
    found: &JobSnapshot,
    session: &Session,
) -> Result<String, BrokerError> {
    let envelope = found.envelope(&session.config.limits);
    why::explain(client.broker(), found, envelope.as_ref()).await
}
