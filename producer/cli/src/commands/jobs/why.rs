//! `longshore jobs why`: explains why a job waits.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, JobSnapshot, Location, QueueName};
use longshore_policy::pause::Target;
use longshore_protocol::{clock::local_time, envelope::Envelope};
use serde::Serialize;

use super::{ahead::count_ahead, parked::explain_parked, refuse_chains, unknown_job};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        pause::{pause_sentence, resume_command},
        text::counted,
        time::{age, timestamp},
    },
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

/// Why a job waits, or why it does not.
pub(super) async fn explain(
    broker: &Broker,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
) -> Result<String, BrokerError> {
    let now = local_time();
    let mut why = match &found.location {
        Location::Ended => {
            let state = found
                .outcome
                .as_ref()
                .map_or("ended", |outcome| outcome.state.as_str());
            return Ok(match &found.dead_letter {
                Some(_) => format!("not waiting: {state}, dead letter (see `longshore dlq show`)"),
                None => format!("not waiting: {state}"),
            });
        }
        Location::Dead => {
            let reason = found
                .dead_letter
                .as_ref()
                .map_or("", |(_, dead_letter)| dead_letter.record.reason.as_str());
            return Ok(format!(
                "dead letter ({reason}): replay or purge it (see `longshore dlq show`)"
            ));
        }
        Location::Nowhere { .. } => return Ok("not in Redis".to_owned()),
        Location::Waiting {
            queue,
            lane,
            due_at,
        } => {
            let why = explain_parked(broker, (queue, lane), *due_at, found, envelope, now).await?;
            let paused = queue_pause(broker, queue, now).await?;
            let paused = paused.map_or_else(String::new, |paused| format!("; also, {paused}"));
            format!("{why}{paused}{}", describe_workers(broker, queue).await?)
        }
        Location::Available {
            queue,
            entry_id,
            handed_back,
        } => {
            let (ahead, complete) = count_ahead(broker, entry_id, *handed_back).await?;
            let ahead = describe_position(ahead, complete, *handed_back, queue);
            match queue_pause(broker, queue, now).await? {
                Some(paused) => {
                    let command = resume_command(&Target::queue(queue));
                    format!("available, but {paused}; to end it: {command}; {ahead}")
                }
                None => format!(
                    "available: {ahead}{}",
                    describe_workers(broker, queue).await?
                ),
            }
        }
        Location::Running { worker, since, .. } => {
            let alive = broker
                .workers()
                .list()
                .await?
                .iter()
                .any(|beat| beat.worker == *worker);
            let running = format!(
                "not waiting: in flight on worker {worker} for {}",
                age(*since, now)
            );
            if alive {
                running
            } else {
                format!(
                    "{running}, but that worker sends no heartbeat: a scheduler or another worker will recover the job"
                )
            }
        }
    };
    if found.cancel_requested {
        why.push_str("; cancellation requested");
    }
    Ok(why)
}

/// The pause of the queue, if it is paused.
async fn queue_pause(
    broker: &Broker,
    queue: &QueueName,
    now: DateTime<Utc>,
) -> Result<Option<String>, BrokerError> {
    let target = Target::queue(queue);
    let pauses = broker.pauses().list().await?;
    let pause = pauses.get(&target, now.timestamp_millis());
    Ok(pause.map(|pause| pause_sentence(&target, pause, now)))
}

fn describe_position(ahead: usize, complete: bool, handed_back: bool, queue: &QueueName) -> String {
    let back = if handed_back {
        ", handed back by a worker"
    } else {
        ""
    };
    match (ahead, complete) {
        (0, true) => format!("next in queue {queue}{back}"),
        (_, true) => format!("{} ahead in queue {queue}{back}", counted(ahead, "job")),
        (_, false) => format!(
            "at least {} ahead in queue {queue}{back}",
            counted(ahead, "job")
        ),
    }
}

/// The workers that pull from the queue.
async fn describe_workers(broker: &Broker, queue: &QueueName) -> Result<String, BrokerError> {
    let workers = broker.workers().list().await?;
    let pulls = workers
        .iter()
        .filter(|beat| beat.queues.contains(queue))
        .count();
    Ok(if workers.is_empty() {
        "; no worker is running".to_owned()
    } else if pulls == 0 {
        format!(
            "; {} running, but none pulls from queue {queue}",
            counted(workers.len(), "worker")
        )
    } else {
        let busy = workers
            .iter()
            .filter(|beat| beat.queues.contains(queue))
            .all(|beat| beat.in_flight >= beat.concurrency);
        let busy = if busy { ", all at capacity" } else { "" };
        format!("; served by {}{busy}", counted(pulls, "worker"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_the_jobs_ahead() {
        let queue = QueueName::default();
        assert_eq!(
            describe_position(0, true, false, &queue),
            "next in queue default"
        );
        assert_eq!(
            describe_position(1, true, false, &queue),
            "1 job ahead in queue default"
        );
        assert_eq!(
            describe_position(1234, true, false, &queue),
            "1,234 jobs ahead in queue default"
        );
        assert_eq!(
            describe_position(5000, false, true, &queue),
            "at least 5,000 jobs ahead in queue default, handed back by a worker"
        );
    }
}
