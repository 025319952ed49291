//! `longshore workers`: the workers, and their jobs in flight.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use longshore_broker::{Broker, Heartbeat, JobInFlight, SilentWorker};
use longshore_protocol::id::{QueueName, WorkerId};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    output::{self, ListOutput, TableOutput},
    render::{
        table::{Cell, Table, Width, cut, hide, whole},
        text::{grouped, one_line, or_dash},
        time::{age, from_unix_ms, span, timestamp},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a worker and its jobs in flight
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// Worker id, or the start of it
    id: String,
    /// Maximum number of jobs
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: TableOutput,
}

/// The JSON of a worker, and a row of the table.
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
    /// Seconds since its last heartbeat.
    heard_ago: i64,
}

impl Row {
    fn from_heartbeat(beat: Heartbeat, now: DateTime<Utc>) -> Self {
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
            started_at: Some(from_unix_ms(beat.started_at_ms)),
            // Older workers do not send the time of their heartbeat.
            heard_ago: (now - from_unix_ms(beat.said_at_ms.max(beat.started_at_ms)))
                .num_seconds()
                .max(0),
        }
    }

    fn from_unheard(worker: SilentWorker) -> Self {
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

/// The JSON of a worker with its jobs in flight.
#[derive(Debug, Serialize)]
struct WorkerDocument {
    #[serde(flatten)]
    row: Row,
    jobs: Vec<ListedJob>,
}

#[derive(Debug, Serialize)]
struct ListedJob {
    #[serde(flatten)]
    job: JobInFlight,
    since: DateTime<Utc>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let now = from_unix_ms(broker.server().time_ms().await?);
    let rows = rows(&broker, now).await?;
    match arguments.action {
        None => {
            arguments
                .output
                .print_rows(&rows, |width| worker_table(&rows, now, width));
            Ok(Exit::Success)
        }
        Some(Action::Show(options)) => show(&broker, rows, &options, now).await,
    }
}

async fn rows(broker: &Broker, now: DateTime<Utc>) -> Result<Vec<Row>, CommandError> {
    let alive = broker.workers().list().await?;
    let alive = alive.into_iter().map(|beat| Row::from_heartbeat(beat, now));
    let unheard = broker
        .workers()
        .without_heartbeat()
        .await?
        .into_iter()
        .map(Row::from_unheard);
    Ok(alive.chain(unheard).collect())
}

async fn show(
    broker: &Broker,
    rows: Vec<Row>,
    options: &ShowArguments,
    now: DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let mut named = rows
        .into_iter()
        .filter(|row| row.id.as_str().starts_with(&options.id));
    let Some(mut row) = named.next() else {
        output::error(&format_args!(
            "no worker `{}`; `longshore workers` lists them",
            one_line(&options.id, 80)
        ));
        return Ok(Exit::Failure);
    };
    if named.next().is_some() && row.id.as_str() != options.id {
        return Err(CommandError::Input(format!(
            "more than one worker id begins with `{}`",
            one_line(&options.id, 80)
        )));
    }
    if row.queues.is_empty() {
        row.queues = broker.queues().list().await?;
    }
    let most = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let jobs = broker
        .deliveries()
        .in_flight(&row.id, &row.queues, most)
        .await?;
    let jobs = jobs.into_iter().map(|job| ListedJob {
        since: job
            .attempt_id
            .and_then(|attempt| attempt.made_at())
            .unwrap_or_else(|| now - TimeDelta::from_std(job.held_for).unwrap_or_default()),
        job,
    });
    let document = WorkerDocument {
        jobs: jobs.collect(),
        row,
    };
    options
        .output
        .print_with(&document, |width| describe_worker(&document, now, width));
    Ok(Exit::Success)
}

fn worker_table(rows: &[Row], now: DateTime<Utc>, width: Width) -> String {
    if rows.is_empty() {
        return "No worker is alive: start one with `longshore-worker`.".to_owned();
    }
    let mut table = Table::new([
        whole("WORKER"),
        whole("STATE"),
        hide(2, "VERSION"),
        hide(1, "HOST"),
        whole("IN FLIGHT").right(),
        hide(4, "SLOTS").right(),
        hide(3, "UPTIME"),
        cut("QUEUES"),
    ]);
    for row in rows {
        let number =
            |number: Option<usize>| Cell::new(number.map_or_else(|| "-".to_owned(), grouped));
        let queues: Vec<&str> = row.queues.iter().map(QueueName::as_str).collect();
        let queues = queues.join(", ");
        table.add_row([
            Cell::new(&row.id),
            Cell::new(worker_state(row)),
            Cell::new(or_dash(row.version.as_deref())),
            Cell::new(or_dash(row.host.as_deref())),
            number(Some(row.in_flight)),
            number(row.concurrency),
            Cell::new(
                row.started_at
                    .map_or_else(|| "-".to_owned(), |at| age(at, now)),
            ),
            Cell::new(or_dash(
                Some(&queues)
                    .filter(|text| !text.is_empty())
                    .map(String::as_str),
            )),
        ]);
    }
    table.fitted(width)
}

/// The state, and the age of the last heartbeat if it is overdue.
fn worker_state(row: &Row) -> String {
    let since = span(TimeDelta::try_seconds(row.heard_ago).unwrap_or_default());
    if row.concurrency.is_none() {
        format!("dead, last heartbeat {since} ago")
    } else if row.heard_ago > 5 {
        format!("{}, last heartbeat {since} ago", row.state)
    } else {
        row.state.clone()
    }
}

fn describe_worker(document: &WorkerDocument, now: DateTime<Utc>, width: Width) -> String {
    let row = &document.row;
    let slots = row
        .concurrency
        .map_or_else(String::new, |slots| format!(" of {}", grouped(slots)));
    let mut parts = vec![format!(
        "{}: {}\nVersion {} on {}, process {}, since {}\n{}{slots} in flight",
        row.id,
        worker_state(row),
        or_dash(row.version.as_deref()),
        or_dash(row.host.as_deref()),
        row.pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        row.started_at.map_or_else(|| "-".to_owned(), timestamp),
        grouped(row.in_flight),
    )];
    if !document.jobs.is_empty() {
        let mut table = Table::new([
            whole("JOB"),
            hide(1, "TYPE"),
            hide(3, "PLATFORM"),
            hide(2, "MODEL"),
            whole("SINCE").right(),
        ]);
        for held in &document.jobs {
            table.add_row([
                held.job.job_id.to_string(),
                or_dash(held.job.task_type.as_deref()),
                or_dash(held.job.platform.as_deref()),
                or_dash(held.job.model.as_deref()),
                age(held.since, now),
            ]);
        }
        parts.push(table.fitted(width));
        if row.in_flight > document.jobs.len() {
            let more = row.in_flight - document.jobs.len();
            parts.push(format!("… and {} more (use --limit)", grouped(more)));
        }
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_broker::WorkerState;
    use longshore_protocol::id::{EntryId, JobId};

    use super::*;

    fn beat(heard_ms: i64, state: WorkerState) -> Heartbeat {
        Heartbeat {
            worker: WorkerId::from_stored("box-7-abc"),
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
    fn workers_are_listed_with_their_jobs() {
        let now = from_unix_ms(1_795_000_600_000);
        let rows = [
            Row::from_heartbeat(beat(1_795_000_599_000, WorkerState::Running), now),
            Row::from_heartbeat(beat(1_795_000_591_000, WorkerState::Draining), now),
            Row::from_unheard(SilentWorker {
                worker: WorkerId::from_stored("box-9-def"),
                holds: 12,
                idle: Duration::from_secs(14),
            }),
        ];
        insta::assert_snapshot!(worker_table(&rows, now, Width::of(80)), @"
        WORKER     STATE                            IN FLIGHT  SLOTS  QUEUES
        box-7-abc  running                                  2  1,000  default, bulk
        box-7-abc  draining, last heartbeat 9s ago          2  1,000  default, bulk
        box-9-def  dead, last heartbeat 14s ago            12      -  -
        (--wide also shows VERSION, HOST, UPTIME)
        ");
        insta::assert_snapshot!(worker_table(&rows, now, Width::of(140)), @r"
        WORKER     STATE                            VERSION  HOST  IN FLIGHT  SLOTS  UPTIME  QUEUES
        box-7-abc  running                          0.1.0    box           2  1,000  10m     default, bulk
        box-7-abc  draining, last heartbeat 9s ago  0.1.0    box           2  1,000  10m     default, bulk
        box-9-def  dead, last heartbeat 14s ago     -        -            12      -  -       -
        ");
        assert_eq!(
            worker_table(&[], now, Width::UNLIMITED),
            "No worker is alive: start one with `longshore-worker`."
        );
        let [row, ..] = rows;
        let document = WorkerDocument {
            row,
            jobs: vec![ListedJob {
                since: from_unix_ms(1_795_000_597_000),
                job: JobInFlight {
                    job_id: JobId::parse("inv-42").unwrap(),
                    entry_id: EntryId::from_stored("1-0"),
                    task_type: Some("research".to_owned()),
                    platform: Some("gemini".to_owned()),
                    model: Some("gemini-2.5-flash".to_owned()),
                    attempt_id: None,
                    held_for: Duration::from_secs(3),
                },
            }],
        };
        insta::assert_snapshot!(describe_worker(&document, now, Width::of(80)), @"
        box-7-abc: running
        Version 0.1.0 on box, process 7, since 2026-11-18T11:06:40Z
        2 of 1,000 in flight

        JOB     TYPE      PLATFORM  MODEL             SINCE
        inv-42  research  gemini    gemini-2.5-flash     3s

        … and 1 more (use --limit)
        ");
        insta::assert_snapshot!(describe_worker(&document, now, Width::of(140)), @"
        box-7-abc: running
        Version 0.1.0 on box, process 7, since 2026-11-18T11:06:40Z
        2 of 1,000 in flight

        JOB     TYPE      PLATFORM  MODEL             SINCE
        inv-42  research  gemini    gemini-2.5-flash     3s

        … and 1 more (use --limit)
        ");
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(json["state"], "running");
        assert_eq!(json["jobs"][0]["job_id"], "inv-42");
        assert_eq!(json["jobs"][0]["since"], "2026-11-18T11:16:37Z");
    }
}
