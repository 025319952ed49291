//! `longshore jobs show`: the whole story of a job.

use chrono::Utc;
use longshore_shared::{envelope::Envelope, id::JobId, ledger::JobHistory, outcome::Outcome};
use serde::Serialize;

use super::{
    find::{self, Found, Location},
    nowhere, story,
    why::{first_line, why},
};
use crate::{
    commands::record,
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The job
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// All that is known of a job.
#[derive(Debug, Serialize)]
pub(super) struct Known {
    /// Its id.
    pub(super) id: JobId,
    /// Where it is.
    pub(super) now: Location,
    /// The same in words.
    pub(super) why: String,
    /// How it ended, while Redis keeps that.
    pub(super) outcome: Option<Outcome>,
    /// What the record knows.
    pub(super) record: Option<JobHistory>,
    /// Why the record could not be asked.
    pub(super) record_error: Option<String>,
    /// What Redis remembers of it between its runs, its message, its dead letter.
    #[serde(skip)]
    pub(super) found: Option<Found>,
    /// What its producer said.
    #[serde(skip)]
    pub(super) envelope: Option<Envelope>,
}

/// Gathers the story and tells it.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let id = arguments.id;
    let (found, record) = tokio::join!(find::find(&broker, &id), recorded(session, &id));
    let found = found?;
    let (record, record_error) = match record {
        Ok(record) => (record, None),
        Err(error) => (None, Some(first_line(&error))),
    };
    if let (Location::Nowhere { complete }, None) = (&found.location, &record) {
        output::complain(&nowhere(&id, *complete, record_error.as_deref()));
        return Ok(Done::Failure);
    }
    let envelope = found.envelope(&session.config.limits);
    let known = Known {
        why: why(&broker, &found, envelope.as_ref()).await?,
        id,
        now: found.location.clone(),
        outcome: found.outcome.clone(),
        record,
        record_error,
        envelope,
        found: Some(found),
    };
    match arguments.format {
        Format::Json => output::json(&record::flat(&known)),
        Format::Text => output::line(story::tell(&known, Utc::now())),
    }
    Ok(Done::Success)
}

async fn recorded(session: &Session, id: &JobId) -> Result<Option<JobHistory>, CommandError> {
    Ok(session.ledger().await?.job(id).await?)
}
