//! `longshore jobs why`: why a job waits.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, JobSnapshot, Location, QueueName};
use longshore_policy::pause::Target;
use longshore_protocol::envelope::Envelope;
use serde::Serialize;

use super::{ahead::count_ahead, lane_why::explain_lane, unknown_job};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        pause::pause_sentence,
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
    let found = client.locate(id).await?;
    let why = match &found.location {
        Location::Nowhere { complete } => match recorded(session, id).await {
            Ok(Some(why)) => why,
            other => {
                let unasked = other.err().map(|error| error.first_line());
                output::error(&unknown_job(id, *complete, unasked.as_deref()));
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
            Some(at) => format!(
                "it does not wait: it is {} since {}",
                job.state,
                timestamp(at)
            ),
            None => format!(
                "the record says {}, but it is no longer in Redis; was Redis emptied?",
                job.state
            ),
        }
    }))
}

/// Why a job waits.
pub(super) async fn explain(
    broker: &Broker,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
) -> Result<String, BrokerError> {
    let now = Utc::now();
    let mut why = match &found.location {
        Location::Ended => {
            let state = found
                .outcome
                .as_ref()
                .map_or("ended", |outcome| outcome.state.as_str());
            return Ok(match &found.dead_letter {
                Some(_) => format!(
                    "it does not wait: it is {state}, and a dead letter (`longshore dlq show`)"
                ),
                None => format!("it does not wait: it is {state}"),
            });
        }
        Location::Dead => {
            let reason = found
                .dead_letter
                .as_ref()
                .map_or("", |(_, letter)| letter.record.reason.as_str());
            return Ok(format!(
                "it is a dead letter ({reason}) and waits for a person: `longshore dlq show` tells more"
            ));
        }
        Location::Nowhere { .. } => return Ok("it is not in Redis".to_owned()),
        Location::Waiting {
            queue,
            lane,
            due_at,
        } => {
            let why = explain_lane(broker, (queue, lane), *due_at, found, envelope, now).await?;
            let paused = queue_pause(broker, queue, now).await?;
            let paused = paused.map_or_else(String::new, |paused| format!("; besides, {paused}"));
            format!("{why}{paused}{}", describe_workers(broker, queue).await?)
        }
        Location::Available {
            queue,
            entry_id,
            given_back,
        } => {
            let (ahead, complete) = count_ahead(broker, entry_id, *given_back).await?;
            let ahead = describe_position(ahead, complete, *given_back, queue);
            match queue_pause(broker, queue, now).await? {
                Some(paused) => format!("it is available, but {paused}; {ahead}"),
                None => format!(
                    "it is available: {ahead}{}",
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
                "it does not wait: worker {worker} has it since {}",
                age(*since, now)
            );
            if alive {
                running
            } else {
                format!(
                    "{running}, but that worker's heartbeat is missing: it goes back to the queue as soon as a scheduler or a worker recovers it"
                )
            }
        }
    };
    if found.cancel_requested {
        why.push_str("; somebody asked for it to be cancelled");
    }
    Ok(why)
}

/// The pause of its queue, if there is one.
async fn queue_pause(
    broker: &Broker,
    queue: &QueueName,
    now: DateTime<Utc>,
) -> Result<Option<String>, BrokerError> {
    let target = Target::queue(queue);
    let pauses = broker.pauses().list().await?;
    let pause = pauses.of(&target, now.timestamp_millis());
    Ok(pause.map(|pause| pause_sentence(&target, pause, now)))
}

fn describe_position(ahead: usize, complete: bool, given_back: bool, queue: &QueueName) -> String {
    let back = if given_back {
        ", given back by a worker"
    } else {
        ""
    };
    match (ahead, complete) {
        (0, true) => format!("it is the next in queue {queue}{back}"),
        (1, true) => format!("1 job stands before it in queue {queue}{back}"),
        (_, true) => format!(
            "{} stand before it in queue {queue}{back}",
            counted(ahead, "job")
        ),
        (_, false) => format!(
            "at least {} stand before it in queue {queue}{back}",
            counted(ahead, "job")
        ),
    }
}

/// The workers that pull from its queue.
async fn describe_workers(broker: &Broker, queue: &QueueName) -> Result<String, BrokerError> {
    let workers = broker.workers().list().await?;
    let pulls = workers
        .iter()
        .filter(|beat| beat.queues.contains(queue))
        .count();
    Ok(if workers.is_empty() {
        "; no worker is alive".to_owned()
    } else if pulls == 0 {
        format!(
            "; of {} alive none pulls from queue {queue}",
            counted(workers.len(), "worker")
        )
    } else {
        let busy = workers
            .iter()
            .filter(|beat| beat.queues.contains(queue))
            .all(|beat| beat.in_flight >= beat.concurrency);
        let busy = if busy { ", all of them full" } else { "" };
        format!("; {} for it{busy}", counted(pulls, "worker"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_queue_is_told_in_words() {
        let queue = QueueName::default();
        assert_eq!(
            describe_position(0, true, false, &queue),
            "it is the next in queue default"
        );
        assert_eq!(
            describe_position(1, true, false, &queue),
            "1 job stands before it in queue default"
        );
        assert_eq!(
            describe_position(1234, true, false, &queue),
            "1,234 jobs stand before it in queue default"
        );
        assert_eq!(
            describe_position(5000, false, true, &queue),
            "at least 5,000 jobs stand before it in queue default, given back by a worker"
        );
    }
}
