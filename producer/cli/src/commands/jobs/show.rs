//! `longshore jobs show`: shows everything known about a job.

use longshore_client::{JobId, Location};
use longshore_protocol::clock::local_time;

use super::{
    details::{JobDetails, describe_job},
    unknown_job,
    why::explain,
};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job id
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let id = arguments.id;
    let (found, record) = tokio::join!(client.locate(&id), session.recorded_job(&id));
    let found = found?;
    let (record, record_error) = match record {
        Ok(record) => (record, None),
        Err(error) => (None, Some(error.first_line())),
    };
    if let (Location::Nowhere { complete }, None) = (&found.location, &record) {
        output::error(&unknown_job(&id, *complete, record_error.as_deref()));
        return Ok(Exit::Failure);
    }
    let envelope = found.envelope(&session.config.limits);
    let details = JobDetails {
        why: explain(client.broker(), &found, envelope.as_ref()).await?,
        id,
        now: found.location.clone(),
        outcome: found.outcome.clone(),
        record,
        record_error,
        envelope,
        found: Some(found),
    };
    arguments
        .format
        .print_with(&output::with_flat_labels(&details), || {
            describe_job(&details, local_time())
        });
    Ok(Exit::Success)
}
