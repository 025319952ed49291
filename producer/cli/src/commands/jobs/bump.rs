//! `longshore jobs bump`: moves jobs to the head of their queues.

use longshore_broker::Bumped;
use longshore_client::{Client, JobId, JobSnapshot, Lane, Location};
use longshore_protocol::id::{EntryId, QueueName};
use serde::Serialize;

use super::by_id::{Effect, JobResult, answer_each_unended};
use crate::{
    error::{CommandError, Exit},
    output::Format,
    session::Session,
    why,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A bumped job is before every job of its queue that is new or waits for the turn of its tenant, and behind those that were
released from a wait, handed back by a worker or bumped before. The order between queues stays. A job that waits for a time,
a limit, a concurrency key or the end of a pause keeps waiting; `longshore jobs run-now` starts a job before its time.")]
pub(super) struct Arguments {
    /// Job ids
    #[arg(value_name = "ID", value_parser = JobId::parse, required = true)]
    ids: Vec<JobId>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum BumpResult {
    /// The job is at the head of its queue.
    Bumped,
    /// It was there already.
    AlreadyFirst,
    /// The job does not wait in its queue.
    NotBumped,
    /// The job had already ended.
    Ended,
    /// No such job.
    Unknown,
}

impl JobResult for BumpResult {
    const ENDED: Self = Self::Ended;
    const UNKNOWN: Self = Self::Unknown;

    fn effect(self) -> Effect {
        match self {
            Self::Bumped => Effect::Done,
            Self::AlreadyFirst => Effect::NotNeeded,
            Self::NotBumped | Self::Ended => Effect::Refused,
            Self::Unknown => Effect::Unknown,
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments { ids, format } = arguments;
    answer_each_unended(ids, format, session, async |id, found, client| {
        bump(id, found, client, session).await
    })
    .await
}

async fn bump(
    id: &JobId,
    found: &JobSnapshot,
    client: &Client,
    session: &Session,
) -> Result<(BumpResult, String), CommandError> {
    let Some((queue, entry_id)) = waits_in_queue(found) else {
        return not_bumped(client, found, session).await;
    };
    let broker = client.broker();
    let result = match broker.queues().bump(entry_id).await? {
        Bumped::Yes => BumpResult::Bumped,
        Bumped::AlreadyFirst => BumpResult::AlreadyFirst,
        Bumped::Gone => {
            let found = client.locate(id).await?;
            return not_bumped(client, &found, session).await;
        }
    };
    let obstacles = why::describe_obstacles(broker, queue).await?;
    Ok((result, describe(result, queue) + &obstacles))
}

/// The queue of a job that waits for a worker or for the turn of its tenant, and the entry that it has or was parked from.
fn waits_in_queue(found: &JobSnapshot) -> Option<(&QueueName, &EntryId)> {
    match &found.location {
        Location::Available {
            queue, entry_id, ..
        } => Some((queue, entry_id)),
        Location::Waiting {
            queue,
            lane: Lane::Tenant(_),
            ..
        } => Some((queue, found.parked_from.as_ref()?)),
        _ => None,
    }
}

async fn not_bumped(
    client: &Client,
    found: &JobSnapshot,
    session: &Session,
) -> Result<(BumpResult, String), CommandError> {
    let envelope = found.envelope(&session.config.limits);
    let why = why::explain(client.broker(), found, envelope.as_ref()).await?;
    Ok((BumpResult::NotBumped, format!("not bumped: {why}")))
}

fn describe(result: BumpResult, queue: &QueueName) -> String {
    match result {
        BumpResult::AlreadyFirst => format!(
            "already before the new jobs of queue {queue}: it was released, handed back or bumped before"
        ),
        _ => format!("bumped: workers take it before the new jobs of queue {queue}"),
    }
}
