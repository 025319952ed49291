//! Why a job waits, for the commands that say it and for those that wait.

mod ahead;
mod parked;
mod status;
mod waits;
mod watch;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobSnapshot, Location, QueueName};
use longshore_policy::pause::Target;
use longshore_protocol::{clock::local_time, envelope::Envelope};

use self::{ahead::count_ahead, parked::explain_parked};
pub(crate) use self::{
    parked::describe_hold,
    waits::{Sampled, Waits, idle_queue},
    watch::JobWatch,
};
use crate::render::{
    pause::{pause_sentence, resume_command},
    text::counted,
    time::age,
};

/// Why a job waits, or why it does not.
pub(crate) async fn explain(
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
            why + &describe_obstacles(broker, queue).await?
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
            if let Some((retry, error)) = status::retry_in_place(found, now) {
                let error = error.map_or_else(String::new, |error| format!("; {error}"));
                return Ok(format!("{retry} (on worker {worker}){error}"));
            }
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

/// What keeps every job of a queue waiting, as the rest of a sentence.
pub(crate) async fn describe_obstacles(
    broker: &Broker,
    queue: &QueueName,
) -> Result<String, BrokerError> {
    let paused = queue_pause(broker, queue, local_time()).await?;
    let paused = paused.map_or_else(String::new, |paused| format!("; also, {paused}"));
    Ok(paused + &describe_workers(broker, queue).await?)
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
