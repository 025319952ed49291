//! `longshore jobs`: one job's story, or many jobs in a table.

mod ahead;
mod cancel;
mod cancel_all;
mod lane_why;
mod list;
mod show;
mod story;
mod wait;
mod why;

use clap::Subcommand;
use longshore_client::JobId;

use crate::{
    error::{CommandError, Exit},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List jobs, newest first
    List(list::Arguments),
    /// Show the full history of a job
    Show(show::Arguments),
    /// Explain why a job waits
    Why(why::Arguments),
    /// Cancel jobs
    Cancel(cancel::Arguments),
    /// Wait for jobs to end
    Wait(wait::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => Box::pin(show::run(arguments, session)).await,
        Action::Why(arguments) => why::run(arguments, session).await,
        Action::Cancel(arguments) => cancel::run(arguments, session).await,
        Action::Wait(arguments) => wait::run(arguments, session).await,
    }
}

/// The error for an unknown job. `complete`: every queue was searched to its end; `ledger_error`: Postgres
/// could not be asked.
fn unknown_job(id: &JobId, complete: bool, ledger_error: Option<&str>) -> String {
    let mut text =
        format!("no job `{id}`: looked at the results, queues, lanes and dead letters in Redis");
    if !complete {
        text.push_str(" (the queues hold too many jobs to look at each)");
    }
    match ledger_error {
        None => text.push_str(", and at the record in Postgres"),
        Some(error) => {
            text.push_str("; the record could not be asked: ");
            text.push_str(error);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_tells_where_was_looked() {
        let id = JobId::parse("inv-42").unwrap();
        assert_eq!(
            unknown_job(&id, true, None),
            "no job `inv-42`: looked at the results, queues, lanes and dead letters in Redis, and at the record in \
             Postgres"
        );
        assert_eq!(
            unknown_job(&id, false, Some("Postgres at h:1/d: refused")),
            "no job `inv-42`: looked at the results, queues, lanes and dead letters in Redis (the queues hold too \
             many jobs to look at each); the record could not be asked: Postgres at h:1/d: refused"
        );
    }
}
