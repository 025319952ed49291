//! `longshore jobs show`: shows everything known about a job.

use longshore_client::{Client, JobId, JobSnapshot, Location};
use longshore_ledger::JobHistory;
use longshore_protocol::{clock::local_time, event::DropRecord, id::EntryId};

use super::{
    details::{JobDetails, describe_job},
    refuse_chains, unknown_job,
};
use crate::{
    error::{CommandError, Exit},
    output::{self, TableOutput},
    session::Session,
    why::explain,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job id
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    #[command(flatten)]
    output: TableOutput,
}

/// What is known of a job.
struct Seen {
    id: JobId,
    found: JobSnapshot,
    record: Option<JobHistory>,
    /// Why Postgres gave no answer.
    record_error: Option<String>,
}

impl Seen {
    fn is_unknown(&self) -> bool {
        matches!(self.found.location, Location::Nowhere { .. }) && self.record.is_none()
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    refuse_chains(std::slice::from_ref(&arguments.id), "show", &client).await?;
    show(arguments.id, arguments.output, &client, session).await
}

/// Shows a job; exit code 1 if there is none of this id.
pub(in crate::commands) async fn show(
    id: JobId,
    output: TableOutput,
    client: &Client,
    session: &Session,
) -> Result<Exit, CommandError> {
    let Some(details) = read_details(id, client, session).await? else {
        return Ok(Exit::Failure);
    };
    output.print_with(&details.document(), |width| {
        describe_job(&details, local_time(), width)
    });
    Ok(Exit::Success)
}

/// Everything known about a job. Prints an error if there is none of this id.
pub(super) async fn read_details(
    id: JobId,
    client: &Client,
    session: &Session,
) -> Result<Option<JobDetails>, CommandError> {
    let mut seen = Box::pin(look_up(id, client, session)).await?;
    if seen.is_unknown()
        && let Some(dropped) = dropped_message(&seen.id, session).await
    {
        output::note(format_args!(
            "Message {} was dropped as a duplicate of job {}.",
            dropped.entry_id, dropped.job_id
        ));
        seen = Box::pin(look_up(dropped.job_id, client, session)).await?;
    }
    if let (Location::Nowhere { complete }, None) = (&seen.found.location, &seen.record) {
        let error = seen.record_error.as_deref();
        output::error(&unknown_job(&seen.id, *complete, error));
        return Ok(None);
    }
    details(seen, client, session).await.map(Some)
}

/// Everything known about a job, which may be nothing.
pub(in crate::commands) async fn find_details(
    id: JobId,
    client: &Client,
    session: &Session,
) -> Result<JobDetails, CommandError> {
    let seen = Box::pin(look_up(id, client, session)).await?;
    details(seen, client, session).await
}

async fn details(
    seen: Seen,
    client: &Client,
    session: &Session,
) -> Result<JobDetails, CommandError> {
    let Seen {
        id,
        found,
        record,
        record_error,
    } = seen;
    let envelope = found.envelope(&session.config.limits);
    Ok(JobDetails {
        why: explain(client.broker(), &found, envelope.as_ref()).await?,
        id,
        now: found.location.clone(),
        outcome: found.outcome.clone(),
        record,
        record_error,
        envelope,
        found: Some(found),
    })
}

async fn look_up(id: JobId, client: &Client, session: &Session) -> Result<Seen, CommandError> {
    let (found, record) = tokio::join!(client.locate(&id), session.recorded_job(&id));
    let (record, record_error) = match record {
        Ok(record) => (record, None),
        Err(error) => (None, Some(error.first_line())),
    };
    Ok(Seen {
        id,
        found: found?,
        record,
        record_error,
    })
}

/// The dropped message of a receipt. Without Postgres it is not known, which the lookup of the job reports.
async fn dropped_message(receipt: &JobId, session: &Session) -> Option<DropRecord> {
    let entry_id = EntryId::parse(receipt.as_str()).ok()?;
    let ledger = session.ledger().await.ok()?;
    ledger.dropped_message(&entry_id).await.ok()?
}
