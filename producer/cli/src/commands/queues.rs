//! `longshore queues`: the length of queues and lanes, moving and purging jobs.

mod available;
mod move_jobs;
mod purge;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use longshore_broker::QueueDepth;
use longshore_protocol::clock::local_time;
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    output::TableOutput,
    render::{
        lane::waiting_for,
        pause::{ShownPause, pause_table},
        table::{Cell, Table, Width, alarm, attention, number, whole, wrap},
        text::{counted, or_dash},
        time::{age, from_unix_ms},
    },
    session::{Session, queue_depths},
};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    output: TableOutput,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Move the available jobs of a queue to another queue
    Move(move_jobs::Arguments),
    /// Cancel the available jobs of a queue
    Purge(purge::Arguments),
}

#[derive(Debug, Serialize)]
struct QueueStatus {
    /// By the clock of Redis.
    #[serde(skip)]
    now: DateTime<Utc>,
    queues: Vec<QueueDepth>,
    lanes: Vec<Lane>,
    paused: Vec<ShownPause>,
    dead_letters: u64,
    unrecorded_events: u64,
    workers_alive: usize,
}

/// The jobs of a lane.
#[derive(Debug, Serialize)]
struct Lane {
    name: String,
    /// What they wait for.
    waiting_for: String,
    waiting: u64,
}

impl Lane {
    fn new(name: String, waiting: u64) -> Self {
        Self {
            waiting_for: waiting_for(&name),
            name,
            waiting,
        }
    }
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Some(Action::Move(arguments)) => return move_jobs::run(arguments, session).await,
        Some(Action::Purge(arguments)) => return purge::run(arguments, session).await,
        None => {}
    }
    let broker = session.broker().await?;
    let queues = queue_depths(&broker).await?;
    let lanes = broker.lanes().sizes().await?;
    let status = QueueStatus {
        now: from_unix_ms(broker.server().time_ms().await?),
        queues,
        lanes: lanes
            .into_iter()
            .map(|(name, waiting)| Lane::new(name, waiting))
            .collect(),
        paused: ShownPause::all(&broker.pauses().list().await?, local_time()),
        dead_letters: broker.dead_letters().count().await?,
        unrecorded_events: broker.events().unrecorded_count().await?,
        workers_alive: broker.workers().list().await?.len(),
    };
    arguments
        .output
        .print_with(&status, |width| describe_queues(&status, width));
    Ok(Exit::Success)
}

fn describe_queues(status: &QueueStatus, width: Width) -> String {
    let mut parts = Vec::new();
    if status.queues.is_empty() {
        parts.push("No queues yet; the first job creates one.".to_owned());
    } else {
        let mut queues = Table::new([
            whole("QUEUE"),
            whole("AVAILABLE").right(),
            whole("RUNNING").right(),
            whole("OLDEST").right(),
        ]);
        for depth in &status.queues {
            let oldest = depth.oldest_at.map(|oldest| age(oldest, status.now));
            queues.add_row([
                Cell::new(&depth.queue),
                number(depth.available),
                number(depth.running),
                Cell::new(or_dash(oldest.as_deref())),
            ]);
        }
        parts.push(queues.fitted(width));
    }
    if !status.lanes.is_empty() {
        let mut lanes = Table::new([wrap("WAITING FOR"), whole("JOBS").right()]);
        for lane in &status.lanes {
            lanes.add_row([Cell::new(&lane.waiting_for), number(lane.waiting)]);
        }
        parts.push(lanes.fitted(width));
    }
    if !status.paused.is_empty() {
        parts.push(pause_table(&status.paused, width));
    }
    parts.push(figures(status).fitted(width));
    let waiting: u64 = status.queues.iter().map(|depth| depth.available).sum();
    if status.workers_alive == 0 && waiting > 0 {
        let waiting = counted(waiting, "job");
        parts.push(format!(
            "No worker is running for the {waiting}: start one."
        ));
    }
    parts.join("\n\n")
}

fn figures(status: &QueueStatus) -> Table {
    let mut figures = Table::without_header();
    let dead = number(status.dead_letters);
    let workers = number(status.workers_alive as u64);
    figures.add_row([
        Cell::new("Dead letters"),
        if status.dead_letters > 0 {
            attention(dead)
        } else {
            dead
        },
    ]);
    figures.add_row([
        Cell::new("Unrecorded events"),
        number(status.unrecorded_events),
    ]);
    figures.add_row([
        Cell::new("Workers alive"),
        if status.workers_alive == 0 {
            alarm(workers)
        } else {
            workers
        },
    ]);
    figures
}

#[cfg(test)]
mod tests {
    use longshore_protocol::id::QueueName;

    use super::*;
    use crate::render::pause::example_pause;

    #[test]
    fn all_sections_are_shown() {
        let now = from_unix_ms(1_800_000_000_000);
        let status = QueueStatus {
            now,
            queues: vec![
                QueueDepth {
                    queue: QueueName::parse("bulk").unwrap(),
                    available: 12_345,
                    running: 7,
                    oldest_at: Some(now - chrono::TimeDelta::minutes(12)),
                },
                QueueDepth {
                    queue: QueueName::default(),
                    available: 0,
                    running: 0,
                    oldest_at: None,
                },
            ],
            lanes: vec![
                Lane::new("key:acme".to_owned(), 3),
                Lane::new("quota:rpm:openai".to_owned(), 312),
                Lane::new("tenant:bulk:acme".to_owned(), 200_000),
            ],
            paused: vec![example_pause()],
            dead_letters: 2,
            unrecorded_events: 0,
            workers_alive: 1,
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(
            json["lanes"][1],
            serde_json::json!({
                "name": "quota:rpm:openai",
                "waiting_for": "openai's requests a minute",
                "waiting": 312
            })
        );
        insta::assert_snapshot!(describe_queues(&status, Width::of(80)), @"
        QUEUE    AVAILABLE  RUNNING  OLDEST
        bulk        12,345        7     12m
        default          0        0       -

        WAITING FOR                               JOBS
        concurrency key acme                         3
        openai's requests a minute                 312
        the turn of tenant acme in queue bulk  200,000

        PAUSED         SINCE  UNTIL                 REASON
        type research     5m  2026-12-01T13:00:00Z  prices under review

        Dead letters       2
        Unrecorded events  0
        Workers alive      1
        ");
        insta::assert_snapshot!(describe_queues(&status, Width::of(140)), @"
        QUEUE    AVAILABLE  RUNNING  OLDEST
        bulk        12,345        7     12m
        default          0        0       -

        WAITING FOR                               JOBS
        concurrency key acme                         3
        openai's requests a minute                 312
        the turn of tenant acme in queue bulk  200,000

        PAUSED         SINCE  UNTIL                 REASON
        type research     5m  2026-12-01T13:00:00Z  prices under review

        Dead letters       2
        Unrecorded events  0
        Workers alive      1
        ");
    }
}
