//! `longshore queues move`: moves the available jobs of a queue to another queue.

use longshore_broker::MovedJob;
use longshore_client::QueueName;
use longshore_protocol::id::EntryId;
use serde::Serialize;

use super::available::{check_queue, find_available};
use crate::{
    audit,
    commands::jobs::describe_dry_run,
    confirm::Consent,
    error::{CommandError, Exit},
    output::{self, Format},
    render::text::{counted, grouped},
    session::Session,
    waiting::missing_worker,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The queue that the jobs leave
    #[arg(value_parser = QueueName::parse)]
    from: QueueName,
    /// The queue that they go to
    #[arg(value_parser = QueueName::parse)]
    to: QueueName,
    #[command(flatten)]
    consent: Consent,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Answer {
    found: usize,
    moved: usize,
    dry_run: bool,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments {
        from,
        to,
        consent,
        format,
    } = arguments;
    if from == to {
        return Err(CommandError::Input(format!(
            "the jobs are in queue `{to}` already; name another queue as the second argument"
        )));
    }
    consent.check("longshore queues move")?;
    let broker = session.broker().await?;
    check_queue(&broker, &from).await?;
    let jobs = find_available(&broker, &from, &session.config.limits).await?;
    let mut answer = Answer {
        found: jobs.len(),
        moved: 0,
        dry_run: consent.dry_run,
    };
    if let Some(missing) = missing_worker(&broker, &to).await? {
        output::warning(format_args!(
            "{missing}; the jobs wait there until one does"
        ));
    }
    if consent.dry_run {
        let would = format!("would move to queue `{to}`");
        format.print_with(&answer, || {
            describe_dry_run(jobs.iter().map(|job| &job.id), &would)
        });
        return Ok(Exit::Success);
    }
    let question = |count| format!("Move {} from `{from}` to `{to}`?", counted(count, "job"));
    if !consent.given(jobs.len(), question)? {
        return Ok(Exit::Refused);
    }
    let entry_ids: Vec<EntryId> = jobs.into_iter().map(|job| job.entry_id).collect();
    let moved = broker.queues().move_jobs(&entry_ids, &to).await?;
    answer.moved = moved
        .iter()
        .filter(|moved| **moved == MovedJob::Yes)
        .count();
    audit::add_affected(answer.moved);
    format.print_with(&answer, || describe_answer(&answer, &to));
    Ok(Exit::Success)
}

fn describe_answer(answer: &Answer, to: &QueueName) -> String {
    let moved = format!("moved {} to queue `{to}`", counted(answer.moved, "job"));
    match answer.found - answer.moved {
        0 => moved,
        left => format!(
            "{moved}; {} stayed, because a worker has or had them",
            grouped(left)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_counts() {
        let to = QueueName::parse("bulk").unwrap();
        let answer = |moved| Answer {
            found: 3,
            moved,
            dry_run: false,
        };
        assert_eq!(
            describe_answer(&answer(3), &to),
            "moved 3 jobs to queue `bulk`"
        );
        assert_eq!(
            describe_answer(&answer(1), &to),
            "moved 1 job to queue `bulk`; 2 stayed, because a worker has or had them"
        );
    }
}
