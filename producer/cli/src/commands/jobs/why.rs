//! `longshore jobs why`: explains why a job waits.

use longshore_client::{JobId, Location};
use serde::Serialize;

use super::{refuse_chains, unknown_job};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::time::timestamp,
    session::Session,
    why::explain,
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

#[derive(Debug, Serialize)]
struct Answer<'a> {
    id: &'a JobId,
    now: &'a Location,
    why: String,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let id = &arguments.id;
    refuse_chains(std::slice::from_ref(id), "show", &client).await?;
    let found = client.locate(id).await?;
    let why = match &found.location {
        Location::Nowhere { complete } => match recorded(session, id).await {
            Ok(Some(why)) => why,
            other => {
                let ledger_error = other.err().map(|error| error.first_line());
                output::error(&unknown_job(id, *complete, ledger_error.as_deref()));
                return Ok(Exit::Failure);
            }
        },
        _ => {
            explain(
                client.broker(),
                &found,
                found.envelope(&session.config.limits).as_ref(),
            )
            .await?
        }
    };
    match arguments.format {
        Format::Json => output::json(&Answer {
            id,
            now: &found.location,
            why,
        }),
        Format::Text => output::line(format_args!("{id}: {why}")),
    }
    Ok(Exit::Success)
}

async fn recorded(session: &Session, id: &JobId) -> Result<Option<String>, CommandError> {
    let record = session.recorded_job(id).await?;
    Ok(record.map(|history| {
        let job = history.row.job;
        match job.finished_at {
            Some(at) => format!("not waiting: {} at {}", job.state, timestamp(at)),
            None => format!(
                "{} in Postgres, but no longer in Redis; was Redis emptied?",
                job.state
            ),
        }
    }))
}
