//! `longshore workers`: who works, and on what.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use comfy_table::{Cell, CellAlignment};
use longshore_shared::{
    broker::{Broker, Heartbeat, Holding, Unheard},
    id::{QueueName, WorkerId},
};
use serde::Serialize;

use super::words::{ago, count, drawn, head, many, of_ms, or_dash, span, table, time};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Which workers, and how to answer.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a worker and the jobs that it has
    Show(Showing),
}

/// Which worker.
#[derive(Debug, clap::Args)]
struct Showing {
    /// The worker; the head of its id is enough
    id: String,
    /// At most so many jobs
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A worker, as it is told.
#[derive(Debug, Clone, Serialize)]
struct Row {
    id: WorkerId,
    state: String,
    host: Option<String>,
    version: Option<String>,
    pid: Option<u32>,
    queues: Vec<QueueName>,
    in_flight: usize,
    concurrency: Option<usize>,
    started_at: Option<DateTime<Utc>>,
    /// Seconds since it was last heard.
    heard_ago: i64,
}

impl Row {
    fn alive(beat: Heartbeat, now: DateTime<Utc>) -> Self {
        let text = |text: String| (!text.is_empty()).then_some(text);
        Self {
            id: beat.worker,
            state: beat.state.to_string(),
            host: text(beat.host),
            version: text(beat.version),
            pid: Some(beat.pid),
            queues: beat.queues,
            in_flight: beat.in_flight,
            concurrency: Some(beat.concurrency),
            started_at: Some(of_ms(beat.started_at_ms)),
            // Older workers do not say when they spoke.
            heard_ago: (now - of_ms(beat.said_at_ms.max(beat.started_at_ms)))
                .num_seconds()
                .max(0),
        }
    }

    fn unheard(worker: Unheard) -> Self {
        Self {
            id: worker.worker,
            state: "dead".to_owned(),
            host: None,
            version: None,
            pid: None,
            queues: Vec::new(),
            in_flight: worker.holds,
            concurrency: None,
            started_at: None,
            heard_ago: i64::try_from(worker.idle.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// A worker with the jobs that it has.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    row: Row,
    jobs: Vec<Held>,
}

#[derive(Debug, Serialize)]
struct Held {
    #[serde(flatten)]
    job: Holding,
    since: DateTime<Utc>,
}

/// Lists them, or shows one.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let now = of_ms(broker.server_time_ms().await?);
    let rows = rows(&broker, now).await?;
    match arguments.action {
        None => {
            match arguments.format {
                Format::Json => output::json(&rows),
                Format::Text => output::line(text(&rows, now)),
            }
            Ok(Done::Success)
        }
        Some(Action::Show(showing)) => show(&broker, rows, &showing, now).await,
    }
}

async fn rows(broker: &Broker, now: DateTime<Utc>) -> Result<Vec<Row>, CommandError> {
    let alive = broker.workers().await?;
    let alive = alive.into_iter().map(|beat| Row::alive(beat, now));
    let unheard = broker.unheard().await?.into_iter().map(Row::unheard);
    Ok(alive.chain(unheard).collect())
}

async fn show(
    broker: &Broker,
    rows: Vec<Row>,
    showing: &Showing,
    now: DateTime<Utc>,
) -> Result<Done, CommandError> {
    let mut named = rows
        .into_iter()
        .filter(|row| row.id.as_str().starts_with(&showing.id));
    let Some(mut row) = named.next() else {
        output::complain(&format_args!(
            "no worker `{}` is alive, and none of that name holds a job; `longshore workers` lists them",
            head(&showing.id, 80)
        ));
        return Ok(Done::Failure);
    };
    if named.next().is_some() && row.id.as_str() != showing.id {
        return Err(CommandError::Input(format!(
            "more than one worker's id begins with `{}`",
            head(&showing.id, 80)
        )));
    }
    if row.queues.is_empty() {
        row.queues = broker.queues().await?;
    }
    let most = usize::try_from(showing.limit).unwrap_or(usize::MAX);
    let jobs = broker.holdings(&row.id, &row.queues, most).await?;
    let jobs = jobs.into_iter().map(|job| Held {
        since: job
            .attempt_id
            .and_then(|attempt| attempt.made_at())
            .unwrap_or_else(|| now - TimeDelta::from_std(job.held_for).unwrap_or_default()),
        job,
    });
    let whole = Whole {
        jobs: jobs.collect(),
        row,
    };
    match showing.format {
        Format::Json => output::json(&whole),
        Format::Text => output::line(whole_text(&whole, now)),
    }
    Ok(Done::Success)
}

fn text(rows: &[Row], now: DateTime<Utc>) -> String {
    if rows.is_empty() {
        return "No worker is alive: start one with `longshore-worker`.".to_owned();
    }
    let mut lines = table([
        "WORKER",
        "STATE",
        "VERSION",
        "HOST",
        "IN FLIGHT",
        "PLACES",
        "UP FOR",
        "QUEUES",
    ]);
    for row in rows {
        let number = |number: Option<usize>| {
            let text = number.map_or_else(|| "-".to_owned(), count);
            Cell::new(text).set_alignment(CellAlignment::Right)
        };
        let queues: Vec<&str> = row.queues.iter().map(QueueName::as_str).collect();
        let queues = queues.join(", ");
        lines.add_row([
            Cell::new(&row.id),
            Cell::new(state(row)),
            Cell::new(or_dash(row.version.as_deref())),
            Cell::new(or_dash(row.host.as_deref())),
            number(Some(row.in_flight)),
            number(row.concurrency),
            Cell::new(
                row.started_at
                    .map_or_else(|| "-".to_owned(), |at| ago(at, now)),
            ),
            Cell::new(or_dash(
                Some(&queues)
                    .filter(|text| !text.is_empty())
                    .map(String::as_str),
            )),
        ]);
    }
    drawn(&lines)
}

/// Its state; of one that is silent for longer than a heartbeat takes, since when.
fn state(row: &Row) -> String {
    let silent = span(TimeDelta::try_seconds(row.heard_ago).unwrap_or_default());
    if row.concurrency.is_none() {
        format!("dead, not heard for {silent}")
    } else if row.heard_ago > 5 {
        format!("{}, not heard for {silent}", row.state)
    } else {
        row.state.clone()
    }
}

fn whole_text(whole: &Whole, now: DateTime<Utc>) -> String {
    let row = &whole.row;
    let places = row
        .concurrency
        .map_or_else(String::new, |places| format!(" of {}", count(places)));
    let mut parts = vec![format!(
        "{}: {}\nVersion {} on {}, process {}, since {}\n{}{places} in flight",
        row.id,
        state(row),
        or_dash(row.version.as_deref()),
        or_dash(row.host.as_deref()),
        row.pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        row.started_at.map_or_else(|| "-".to_owned(), time),
        count(row.in_flight),
    )];
    if !whole.jobs.is_empty() {
        let mut lines = table(["JOB", "TYPE", "PLATFORM", "MODEL", "SINCE"]);
        for held in &whole.jobs {
            lines.add_row([
                held.job.job_id.to_string(),
                or_dash(held.job.task_type.as_deref()),
                or_dash(held.job.platform.as_deref()),
                or_dash(held.job.model.as_deref()),
                ago(held.since, now),
            ]);
        }
        parts.push(drawn(&lines));
        if row.in_flight > whole.jobs.len() {
            let more = row.in_flight - whole.jobs.len();
            parts.push(format!(
                "and {} more (--limit shows them)",
                many(more, "job")
            ));
        }
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_shared::{
        broker::WorkerState,
        id::{JobId, Place},
    };

    use super::*;

    fn beat(heard_ms: i64, state: WorkerState) -> Heartbeat {
        Heartbeat {
            worker: WorkerId::from_record("box-7-abc"),
            version: "0.1.0".to_owned(),
            pid: 7,
            started_at_ms: 1_795_000_000_000,
            queues: vec![QueueName::default(), QueueName::parse("bulk").unwrap()],
            host: "box".to_owned(),
            state,
            said_at_ms: heard_ms,
            in_flight: 2,
            concurrency: 1000,
        }
    }

    #[test]
    fn workers_are_told_with_what_they_do() {
        let now = of_ms(1_795_000_600_000);
        let rows = [
            Row::alive(beat(1_795_000_599_000, WorkerState::Running), now),
            Row::alive(beat(1_795_000_591_000, WorkerState::Draining), now),
            Row::unheard(Unheard {
                worker: WorkerId::from_record("box-9-def"),
                holds: 12,
                idle: Duration::from_secs(14),
            }),
        ];
        insta::assert_snapshot!(text(&rows, now), @r"
        WORKER     STATE                       VERSION  HOST  IN FLIGHT  PLACES  UP FOR  QUEUES
        box-7-abc  running                     0.1.0    box           2   1,000  10m     default, bulk
        box-7-abc  draining, not heard for 9s  0.1.0    box           2   1,000  10m     default, bulk
        box-9-def  dead, not heard for 14s     -        -            12       -  -       -
        ");
        assert_eq!(
            text(&[], now),
            "No worker is alive: start one with `longshore-worker`."
        );
        let [row, ..] = rows;
        let whole = Whole {
            row,
            jobs: vec![Held {
                since: of_ms(1_795_000_597_000),
                job: Holding {
                    job_id: JobId::parse("inv-42").unwrap(),
                    place: Place::from_record("1-0"),
                    task_type: Some("research".to_owned()),
                    platform: Some("gemini".to_owned()),
                    model: Some("gemini-2.5-flash".to_owned()),
                    attempt_id: None,
                    held_for: Duration::from_secs(3),
                },
            }],
        };
        insta::assert_snapshot!(whole_text(&whole, now), @r"
        box-7-abc: running
        Version 0.1.0 on box, process 7, since 2026-11-18T11:06:40Z
        2 of 1,000 in flight

        JOB     TYPE      PLATFORM  MODEL             SINCE
        inv-42  research  gemini    gemini-2.5-flash  3s

        and 1 job more (--limit shows them)
        ");
        let json = serde_json::to_value(&whole).unwrap();
        assert_eq!(json["state"], "running");
        assert_eq!(json["jobs"][0]["job_id"], "inv-42");
        assert_eq!(json["jobs"][0]["since"], "2026-11-18T11:16:37Z");
    }
}
