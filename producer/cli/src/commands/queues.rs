//! `longshore queues`: how full the queues and lanes are.

use chrono::Utc;
use comfy_table::{Cell, CellAlignment, Color, Table};
use longshore_shared::broker::QueueDepth;
use serde::Serialize;

use super::{
    pause::{Shown, listed},
    words::{count, drawn, lane, many, table},
};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What stands in Redis.
#[derive(Debug, Serialize)]
struct Standing {
    queues: Vec<QueueDepth>,
    lanes: Vec<Lane>,
    paused: Vec<Shown>,
    dead_letters: u64,
    unrecorded_events: u64,
    workers_alive: usize,
}

/// Jobs that wait for one thing.
#[derive(Debug, Serialize)]
struct Lane {
    name: String,
    /// What they wait for, in words.
    waiting_for: String,
    waiting: u64,
}

impl Lane {
    fn new(name: String, waiting: u64) -> Self {
        Self {
            waiting_for: lane(&name),
            name,
            waiting,
        }
    }
}

/// Counts and prints.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let mut queues = Vec::new();
    for queue in broker.queues().await? {
        queues.push(broker.depth(&queue).await?);
    }
    let lanes = broker.lanes().await?;
    let standing = Standing {
        queues,
        lanes: lanes
            .into_iter()
            .map(|(name, waiting)| Lane::new(name, waiting))
            .collect(),
        paused: Shown::all(&broker.pauses().await?, Utc::now()),
        dead_letters: broker.dead_count().await?,
        unrecorded_events: broker.unrecorded().await?,
        workers_alive: broker.workers().await?.len(),
    };
    match arguments.format {
        Format::Json => output::json(&standing),
        Format::Text => output::line(text(&standing)),
    }
    Ok(Done::Success)
}

fn text(standing: &Standing) -> String {
    let mut parts = Vec::new();
    if standing.queues.is_empty() {
        parts.push("No queue exists yet: the first job makes it.".to_owned());
    } else {
        let mut queues = table(["QUEUE", "AVAILABLE", "RUNNING"]);
        for depth in &standing.queues {
            queues.add_row([
                Cell::new(&depth.queue),
                number(depth.available),
                number(depth.running),
            ]);
        }
        parts.push(drawn(&queues));
    }
    if !standing.lanes.is_empty() {
        let mut lanes = table(["WAITING FOR", "JOBS"]);
        for lane in &standing.lanes {
            lanes.add_row([Cell::new(&lane.waiting_for), number(lane.waiting)]);
        }
        parts.push(drawn(&lanes));
    }
    if !standing.paused.is_empty() {
        parts.push(listed(&standing.paused));
    }
    parts.push(drawn(&figures(standing)));
    let waiting: u64 = standing.queues.iter().map(|depth| depth.available).sum();
    if standing.workers_alive == 0 && waiting > 0 {
        let waiting = many(waiting, "job");
        parts.push(format!("Nobody takes the {waiting}: start a worker."));
    }
    parts.join("\n\n")
}

fn figures(standing: &Standing) -> Table {
    let mut figures = Table::new();
    figures.load_style(comfy_table::presets::NOTHING);
    let dead = number(standing.dead_letters);
    let workers = number(standing.workers_alive as u64);
    figures.add_row([
        Cell::new("Dead letters"),
        if standing.dead_letters > 0 {
            dead.fg(Color::Yellow)
        } else {
            dead
        },
    ]);
    figures.add_row([
        Cell::new("Unrecorded events"),
        number(standing.unrecorded_events),
    ]);
    figures.add_row([
        Cell::new("Workers alive"),
        if standing.workers_alive == 0 {
            workers.fg(Color::Red)
        } else {
            workers
        },
    ]);
    if let Some(first) = figures.column_mut(0) {
        first.set_padding((0, 1));
    }
    figures
}

fn number(number: u64) -> Cell {
    Cell::new(count(number)).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use longshore_shared::id::QueueName;

    use super::{super::pause, *};

    #[test]
    fn all_that_stands_is_told() {
        let standing = Standing {
            queues: vec![
                QueueDepth {
                    queue: QueueName::parse("bulk").unwrap(),
                    available: 12_345,
                    running: 7,
                },
                QueueDepth {
                    queue: QueueName::default(),
                    available: 0,
                    running: 0,
                },
            ],
            lanes: vec![
                Lane::new("key:acme".to_owned(), 3),
                Lane::new("quota:rpm:openai".to_owned(), 312),
                Lane::new("tenant:bulk:acme".to_owned(), 200_000),
            ],
            paused: vec![pause::example()],
            dead_letters: 2,
            unrecorded_events: 0,
            workers_alive: 1,
        };
        let json = serde_json::to_value(&standing).unwrap();
        assert_eq!(
            json["lanes"][1],
            serde_json::json!({
                "name": "quota:rpm:openai",
                "waiting_for": "openai's requests a minute",
                "waiting": 312
            })
        );
        insta::assert_snapshot!(text(&standing), @r#"
        QUEUE    AVAILABLE  RUNNING
        bulk        12,345        7
        default          0        0

        WAITING FOR                            JOBS
        concurrency key acme                         3
        openai's requests a minute                 312
        the turn of tenant acme in queue bulk  200,000

        PAUSED         SINCE  UNTIL                 REASON
        type research  5m     2026-12-01T13:00:00Z  prices are looked at

        Dead letters       2
        Unrecorded events  0
        Workers alive      1
        "#);
    }
}
