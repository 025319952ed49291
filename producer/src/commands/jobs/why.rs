//! `longshore jobs why`: why a job waits.

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, BrokerError},
    envelope::{Envelope, PROTOCOL_VERSION},
    id::{JobId, QueueName},
    limits::MeterName,
};
use serde::Serialize;

use super::{
    find::{self, Found, Lane, Location},
    nowhere,
};
use crate::{
    commands::words::{ago, count, many, time},
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

#[derive(Debug, Serialize)]
struct Answer<'a> {
    id: &'a JobId,
    now: &'a Location,
    why: String,
}

/// Finds out and says so.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let id = &arguments.id;
    let found = find::find(&broker, id).await?;
    let why = match &found.location {
        Location::Nowhere { complete } => match recorded(session, id).await {
            Ok(Some(why)) => why,
            other => {
                let unasked = other.err().map(|error| first_line(&error));
                output::complain(&nowhere(id, *complete, unasked.as_deref()));
                return Ok(Done::Failure);
            }
        },
        _ => {
            why(
                &broker,
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
    Ok(Done::Success)
}

/// What an error says before it gives advice.
pub(super) fn first_line(error: &CommandError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

async fn recorded(session: &Session, id: &JobId) -> Result<Option<String>, CommandError> {
    let record = session.ledger().await?.job(id).await?;
    Ok(record.map(|history| {
        let job = history.row.job;
        match job.finished_at {
            Some(at) => format!("it does not wait: it is {} since {}", job.state, time(at)),
            None => format!(
                "the record says {}, but it is no longer in Redis; was Redis emptied?",
                job.state
            ),
        }
    }))
}

/// Why it waits, in words.
pub(super) async fn why(
    broker: &Broker,
    found: &Found,
    envelope: Option<&Envelope>,
) -> Result<String, BrokerError> {
    let now = Utc::now();
    let mut why = match &found.location {
        Location::Ended => {
            let state = found
                .outcome
                .as_ref()
                .map_or("ended", |outcome| outcome.state.as_str());
            return Ok(match &found.letter {
                Some(_) => format!(
                    "it does not wait: it is {state}, and a dead letter (`longshore dlq show`)"
                ),
                None => format!("it does not wait: it is {state}"),
            });
        }
        Location::Dead => {
            let reason = found
                .letter
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
            let why = lane_why(broker, lane, *due_at, found, envelope, now).await?;
            format!("{why}{}", nobody(broker, queue).await?)
        }
        Location::Available {
            queue,
            place,
            given_back,
        } => {
            let (ahead, complete) = find::before(broker, place, *given_back).await?;
            let ahead = standing(ahead, complete, *given_back, queue);
            format!("it is available: {ahead}{}", nobody(broker, queue).await?)
        }
        Location::Running { worker, since, .. } => {
            let alive = broker
                .workers()
                .await?
                .iter()
                .any(|beat| beat.worker == *worker);
            let running = format!(
                "it does not wait: worker {worker} has it since {}",
                ago(*since, now)
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
    if found.cancel_asked {
        why.push_str("; somebody asked for it to be cancelled");
    }
    Ok(why)
}

async fn lane_why(
    broker: &Broker,
    lane: &Lane,
    due_at: Option<DateTime<Utc>>,
    found: &Found,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    Ok(match lane {
        Lane::Time => {
            let retries = found
                .resume
                .as_ref()
                .is_some_and(|resume| resume.attempts > 0);
            let what = if retries {
                "its next attempt"
            } else {
                "its time"
            };
            match due_at {
                Some(due) => format!("it waits for {what}, {}", due_words(due, now)),
                None => format!("it waits for {what}"),
            }
        }
        Lane::Version => format!(
            "it waits for a worker of a newer protocol than version {PROTOCOL_VERSION}; after 24 h it becomes a dead \
             letter"
        ),
        Lane::Key => match envelope.and_then(|envelope| envelope.concurrency.as_ref()) {
            Some(limit) => {
                let lane = format!("key:{}", limit.key);
                let waiting = broker
                    .lanes()
                    .await?
                    .into_iter()
                    .find(|(name, _)| *name == lane);
                let waiting =
                    waiting.map_or(1, |(_, jobs)| usize::try_from(jobs).unwrap_or(usize::MAX));
                let jobs = if limit.limit.get() == 1 {
                    "one job with it runs".to_owned()
                } else {
                    format!("{} jobs with it run", limit.limit)
                };
                format!(
                    "its concurrency_key `{}` is taken: {jobs} at once, and {} for a place",
                    limit.key,
                    if waiting == 1 {
                        "1 job waits".to_owned()
                    } else {
                        format!("{} jobs wait", count(waiting as u64))
                    }
                )
            }
            None => "its concurrency_key is taken".to_owned(),
        },
        Lane::Quota(meter) => quota_why(broker, meter, found, now).await?,
    })
}

/// The limit that it waits for, its place among those who do, and when its turn comes.
async fn quota_why(
    broker: &Broker,
    meter: &str,
    found: &Found,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    let what = format!("it waits for room under {}", MeterName::parse(meter));
    let Some(resume) = &found.resume else {
        return Ok(what);
    };
    let turn = broker.turn(meter, &resume.id).await?;
    let place = match turn.ahead {
        Some(0) => ", as the next".to_owned(),
        Some(ahead) => format!(
            ", behind {}",
            many(usize::try_from(ahead).unwrap_or(usize::MAX), "job")
        ),
        None => String::new(),
    };
    let when = match turn.at_ms.map(crate::commands::words::of_ms) {
        Some(at) if at > now => format!("; expected in {} ({})", ago(now, at), time(at)),
        Some(_) => "; expected at once".to_owned(),
        None => String::new(),
    };
    Ok(format!("{what}{place}{when}"))
}

fn due_words(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if due > now {
        format!("due in {} ({})", ago(now, due), time(due))
    } else {
        format!(
            "due since {}: a scheduler or a worker lets it go, so one must be running",
            ago(due, now)
        )
    }
}

/// Its place in the queue.
fn standing(ahead: usize, complete: bool, given_back: bool, queue: &QueueName) -> String {
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
            many(ahead, "job")
        ),
        (_, false) => format!(
            "at least {} stand before it in queue {queue}{back}",
            many(ahead, "job")
        ),
    }
}

/// Said when no worker would take it.
async fn nobody(broker: &Broker, queue: &QueueName) -> Result<String, BrokerError> {
    let workers = broker.workers().await?;
    let pulls = workers
        .iter()
        .filter(|beat| beat.queues.contains(queue))
        .count();
    Ok(if workers.is_empty() {
        "; no worker is alive".to_owned()
    } else if pulls == 0 {
        format!(
            "; of {} alive none pulls from queue {queue}",
            many(workers.len(), "worker")
        )
    } else {
        let busy = workers
            .iter()
            .filter(|beat| beat.queues.contains(queue))
            .all(|beat| beat.in_flight >= beat.concurrency);
        let busy = if busy { ", all of them full" } else { "" };
        format!("; {} for it{busy}", many(pulls, "worker"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_queue_is_told_in_words() {
        let queue = QueueName::default();
        assert_eq!(
            standing(0, true, false, &queue),
            "it is the next in queue default"
        );
        assert_eq!(
            standing(1, true, false, &queue),
            "1 job stands before it in queue default"
        );
        assert_eq!(
            standing(1234, true, false, &queue),
            "1,234 jobs stand before it in queue default"
        );
        assert_eq!(
            standing(5000, false, true, &queue),
            "at least 5,000 jobs stand before it in queue default, given back by a worker"
        );
    }

    #[test]
    fn a_due_time_is_told_in_words() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        assert_eq!(
            due_words("2026-12-01T12:05:00Z".parse().unwrap(), now),
            "due in 5m (2026-12-01T12:05:00Z)"
        );
        assert!(
            due_words("2026-12-01T11:59:00Z".parse().unwrap(), now)
                .starts_with("due since 60s: a scheduler")
        );
    }
}
