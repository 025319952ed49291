//! `longshore jobs log`: the whole history of a job in order of time, as a document to keep or to send.

mod events;
mod markdown;
#[cfg(test)]
pub(in crate::commands) mod tests;

use longshore_client::JobId;
use longshore_protocol::clock::local_time;
use serde::Serialize;

use self::events::{LogEvent, log_events};
pub(in crate::commands) use self::markdown::job_section;
use super::{
    details::{DetailsDocument, JobDetails},
    refuse_chains,
    show::read_details,
};
use crate::{
    error::{CommandError, Exit},
    output::LogFormat,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job id
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: LogFormat,
}

/// A job as `jobs show` has it, with what happened to it.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct LogDocument<'a> {
    #[serde(flatten)]
    details: DetailsDocument<'a>,
    /// In order of time.
    events: Vec<LogEvent<'a>>,
}

impl<'a> LogDocument<'a> {
    pub(in crate::commands) fn new(details: &'a JobDetails) -> Self {
        Self {
            details: details.document(),
            events: log_events(details),
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    refuse_chains(std::slice::from_ref(&arguments.id), "log", &client).await?;
    let Some(details) = read_details(arguments.id, &client, session).await? else {
        return Ok(Exit::Failure);
    };
    arguments
        .format
        .print_with(&LogDocument::new(&details), || {
            job_section(&details, 1, local_time())
        });
    Ok(Exit::Success)
}
