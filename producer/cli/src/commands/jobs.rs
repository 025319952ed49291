//! `longshore jobs`: lists, explains, cancels, releases, bumps and waits for jobs.

mod bump;
mod by_id;
mod cancel;
mod cancel_all;
mod details;
mod list;
mod log;
mod matching;
mod run_now;
mod run_now_all;
mod show;
mod tail;
mod wait;
mod why;

use clap::Subcommand;
use longshore_client::{ChainId, Client, JobId};

pub(super) use self::{
    cancel_all::{Jobs, confirm_and_cancel},
    details::{JobDetails, enqueued_at},
    log::{LogDocument, job_section},
    matching::{describe_dry_run, for_each_in_stream, for_each_parked},
    show::{find_details, show},
};

#[cfg(test)]
pub(super) use self::log::tests::example_job;

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
    /// Write the log of a job: every attempt, decision, wait and cost, in order of time
    Log(log::Arguments),
    /// Explain why a job waits
    Why(why::Arguments),
    /// Cancel jobs
    Cancel(cancel::Arguments),
    /// Run jobs now that wait for their start time or their next attempt
    RunNow(run_now::Arguments),
    /// Move jobs to the head of their queues
    Bump(bump::Arguments),
    /// Wait for jobs to end
    Wait(wait::Arguments),
    /// Print ends, failures and retries as they happen
    Tail(tail::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => Box::pin(show::run(arguments, session)).await,
        Action::Log(arguments) => Box::pin(log::run(arguments, session)).await,
        Action::Why(arguments) => why::run(arguments, session).await,
        Action::Cancel(arguments) => cancel::run(arguments, session).await,
        Action::RunNow(arguments) => run_now::run(arguments, session).await,
        Action::Bump(arguments) => bump::run(arguments, session).await,
        Action::Wait(arguments) => wait::run(arguments, session).await,
        Action::Tail(arguments) => Box::pin(tail::run(arguments, session)).await,
    }
}

/// Fails if one of the ids is that of a chain or a batch, for which `verb` is the command.
async fn refuse_chains(ids: &[JobId], verb: &str, client: &Client) -> Result<(), CommandError> {
    for id in ids {
        // Some ids of jobs cannot be those of chains.
        let Ok(chain) = ChainId::parse(id.as_str()) else {
            continue;
        };
        if let Some(kind) = client.broker().chains().kind(&chain).await? {
            return Err(CommandError::Input(format!(
                "`{id}` is a {kind}, not a job; try `longshore {kind} {verb} {id}`"
            )));
        }
    }
    Ok(())
}

/// The error for an unknown job. `complete`: whether every queue was searched to its end; `ledger_error`: why
/// the query to Postgres failed.
fn unknown_job(id: &JobId, complete: bool, ledger_error: Option<&str>) -> String {
    let mut message =
        format!("no job `{id}`: searched the results, queues, lanes and dead letters in Redis");
    if !complete {
        message.push_str(" (of long queues, only the first jobs)");
    }
    match ledger_error {
        None => message.push_str(", and the jobs in Postgres"),
        Some(error) => {
            message.push_str("; Postgres query failed: ");
            message.push_str(error);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_unknown_job_lists_what_was_searched() {
        let id = JobId::parse("inv-42").unwrap();
        assert_eq!(
            unknown_job(&id, true, None),
            "no job `inv-42`: searched the results, queues, lanes and dead letters in Redis, and the jobs in Postgres"
        );
        assert_eq!(
            unknown_job(&id, false, Some("Postgres at h:1/d: refused")),
            "no job `inv-42`: searched the results, queues, lanes and dead letters in Redis (of long queues, only \
             the first jobs); Postgres query failed: Postgres at h:1/d: refused"
        );
    }
}
