//! `longshore jobs list`: many jobs in a table.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, BrokerError},
    envelope::{Limits, RawMessage, parse},
    event::JobRecord,
    id::{JobId, Place, QueueName},
    ledger::{JobFilter, JobRow},
    resume::Resume,
    state::JobState,
};
use serde::Serialize;

use super::{find::unmarked, lane::Lane, story::with_wait, why::first_line};
use crate::{
    commands::{
        record,
        words::{self, ago, drawn, head, many, or_dash, table},
    },
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Entries of a queue that are looked through for those that fit.
const LOOKED_THROUGH: usize = 1000;

/// Characters of a prompt that the table shows.
const PROMPT_HEAD: usize = 40;

/// Which jobs, and how to answer.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// In this state
    #[arg(long, value_parser = state)]
    state: Option<JobState>,
    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Of this queue
    #[arg(long, value_parser = QueueName::parse)]
    queue: Option<QueueName>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Of this chain
    #[arg(long)]
    chain_id: Option<String>,
    /// That this platform answered, or was asked for last
    #[arg(long)]
    platform: Option<String>,
    /// Received since then: 30m, 2h, 7d, a date, or RFC 3339
    #[arg(long, value_parser = words::since)]
    since: Option<DateTime<Utc>>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn state(word: &str) -> Result<JobState, String> {
    JobState::from_word(word).ok_or_else(|| {
        let all: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
        format!("expected one of {}", all.join(", "))
    })
}

impl Arguments {
    fn filter(&self) -> JobFilter {
        JobFilter {
            state: self.state,
            task_type: self.task_type.clone(),
            queue: self.queue.clone(),
            tenant: self.tenant.clone(),
            chain_id: self.chain_id.clone(),
            platform: self.platform.clone(),
            since: self.since,
            limit: Some(self.limit),
        }
    }

    /// Whether jobs that have not ended could fit.
    fn wants_open(&self) -> bool {
        self.state.is_none_or(|state| !state.is_final())
    }

    fn fits(&self, job: &JobRecord) -> bool {
        let same = |wanted: &Option<String>, given: Option<&String>| {
            wanted.is_none() || wanted.as_ref() == given
        };
        self.state.is_none_or(|state| state == job.state)
            && same(&self.task_type, Some(&job.labels.task_type))
            && self
                .queue
                .as_ref()
                .is_none_or(|queue| *queue == job.labels.queue)
            && same(&self.tenant, job.labels.tenant.as_ref())
            && same(&self.chain_id, job.labels.chain_id.as_ref())
            && same(&self.platform, job.platform.as_ref())
            && self.since.is_none_or(|since| job.enqueued_at >= since)
    }
}

/// A job, and what it waits for where its state does not tell.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    row: JobRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
}

impl From<JobRow> for Row {
    fn from(row: JobRow) -> Self {
        Self {
            row,
            waits_for: None,
        }
    }
}

/// Gathers from the record and from Redis, and prints.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let recorded = match session.ledger().await {
        Ok(ledger) => ledger
            .jobs(&arguments.filter())
            .await
            .map_err(CommandError::from),
        Err(error) => Err(error),
    };
    // What has ended is only in the record; what has not is in Redis as well, and fresher there.
    let mut rows: Vec<Row> = match recorded {
        Ok(rows) => rows.into_iter().map(Row::from).collect(),
        Err(error) if arguments.wants_open() => {
            output::note(format_args!(
                "Warning: only jobs that stand in Redis are listed; the record could not be asked: {}",
                first_line(&error)
            ));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if arguments.wants_open() {
        let broker = session.broker().await?;
        let open = open(&broker, &arguments, &session.config.limits).await?;
        let id = |row: &Row| row.row.job.labels.job_id.clone();
        let fresher: HashSet<JobId> = open.iter().map(id).collect();
        rows.retain(|row| !fresher.contains(&row.row.job.labels.job_id));
        rows.extend(open.into_iter().filter(|row| arguments.fits(&row.row.job)));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.row.job.enqueued_at));
    rows.truncate(usize::try_from(arguments.limit).unwrap_or(usize::MAX));
    match arguments.format {
        Format::Json => output::json(&record::flat(&rows)),
        Format::Text if rows.is_empty() => output::line("No jobs fit."),
        Format::Text => {
            output::line(text(&rows, Utc::now()));
            if rows.len() == usize::try_from(arguments.limit).unwrap_or(usize::MAX) {
                output::note(format_args!(
                    "{} shown, there may be more: raise --limit.",
                    many(rows.len(), "job")
                ));
            }
        }
    }
    Ok(Done::Success)
}

fn text(rows: &[Row], now: DateTime<Utc>) -> String {
    let mut lines = table([
        "ID", "STATE", "TYPE", "QUEUE", "PLATFORM", "ATTEMPTS", "COST", "AGE", "PROMPT",
    ]);
    for Row { row, waits_for } in rows {
        let job = &row.job;
        lines.add_row([
            job.labels.job_id.to_string(),
            with_wait(job.state.as_str(), waits_for.as_deref()),
            head(&job.labels.task_type, 40),
            job.labels.queue.to_string(),
            or_dash(job.platform.as_deref()),
            job.attempts.to_string(),
            format!("${}", row.cost_usd),
            ago(job.enqueued_at, now),
            head(&job.prompt_head, PROMPT_HEAD),
        ]);
    }
    drawn(&lines)
}

/// Jobs that have not ended, as they stand in Redis: the newest of each queue, the first of each
/// lane.
async fn open(
    broker: &Broker,
    arguments: &Arguments,
    limits: &Limits,
) -> Result<Vec<Row>, BrokerError> {
    let queues = match &arguments.queue {
        Some(queue) => vec![queue.ready(), queue.clone()],
        None => broker.streams().await?,
    };
    let mut rows = Vec::new();
    for queue in queues {
        let of_queue = of_queue(broker, &queue, arguments, limits).await?;
        rows.extend(of_queue.into_iter().map(Row::from));
    }
    let lanes = usize::try_from(arguments.limit)
        .unwrap_or(LOOKED_THROUGH)
        .min(LOOKED_THROUGH);
    for id in broker.lane_ids(lanes).await? {
        let Some(waiting) = broker.waiting(&id).await? else {
            continue;
        };
        let state = if waiting.resume.attempts > 0 {
            JobState::Retryable
        } else {
            JobState::Scheduled
        };
        let waits_for = Lane::parse(&waiting.lane).waits_for(&waiting.queue);
        let mut row = row(
            &waiting.message,
            waiting.queue,
            state,
            &waiting.resume,
            limits,
        );
        row.job.due_at = waiting.due_ms.map(words::of_ms);
        rows.push(Row { row, waits_for });
    }
    Ok(rows)
}

/// The newest jobs of a queue, and the oldest that run: those in hand are older than those that wait.
async fn of_queue(
    broker: &Broker,
    queue: &QueueName,
    arguments: &Arguments,
    limits: &Limits,
) -> Result<Vec<JobRow>, BrokerError> {
    const PAGE: usize = 200;
    let wanted = usize::try_from(arguments.limit).unwrap_or(LOOKED_THROUGH);
    let mut rows = Vec::new();
    let running_only = arguments.state == Some(JobState::Running);
    // Those that run all stand before the newest delivered one.
    let mut to = if running_only {
        broker.last_delivered(queue).await?
    } else {
        "+".to_owned()
    };
    let (mut seen, mut fitting) = (0, 0);
    while seen < LOOKED_THROUGH && fitting < wanted {
        let page = broker
            .entries(queue, "-", &to, PAGE.min(LOOKED_THROUGH), true)
            .await?;
        let (Some((newest, _)), Some((oldest, _))) = (page.first(), page.last()) else {
            break;
        };
        seen += page.len();
        let delivered: HashMap<String, bool> = broker
            .pending(queue, oldest, newest, page.len())
            .await?
            .into_iter()
            .map(|pending| (pending.entry, pending.worker.is_some()))
            .collect();
        to = format!("({oldest}");
        let last = page.len() < PAGE;
        let places: Vec<Place> = page
            .iter()
            .map(|(entry, _)| Place::new(queue, entry))
            .collect();
        let resumes = broker.resumes(&places).await?;
        for (((entry, message), place), resume) in page.into_iter().zip(places).zip(resumes) {
            let state = if delivered.get(&entry) == Some(&true) {
                JobState::Running
            } else {
                JobState::Available
            };
            let resume = resume.unwrap_or_else(|| {
                Resume::fresh(
                    JobId::of_place(&place),
                    place.received_at().unwrap_or_default(),
                )
            });
            let row = row(&unmarked(message), queue.base(), state, &resume, limits);
            fitting += usize::from(arguments.fits(&row.job));
            rows.push(row);
        }
        if last {
            break;
        }
    }
    Ok(rows)
}

/// A job that has not ended, in the words of the record.
fn row(
    message: &RawMessage,
    queue: QueueName,
    state: JobState,
    resume: &Resume,
    limits: &Limits,
) -> JobRow {
    let envelope = parse(message, limits).ok().map(|parsed| parsed.envelope);
    JobRow {
        job: JobRecord::unended(envelope.as_ref(), queue, state, resume),
        cost_usd: resume.cost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_checked() {
        assert_eq!(state("running"), Ok(JobState::Running));
        assert_eq!(
            state("failed"),
            Err(
                "expected one of scheduled, available, running, retryable, completed, cancelled, discarded".to_owned()
            )
        );
    }

    #[test]
    fn a_standing_job_is_a_row_like_a_recorded_one() {
        let message = RawMessage {
            fields: vec![(
                b"job".to_vec(),
                br#"{"id":"inv-42","type":"research","prompt":"Name three\ncolours","tenant":"acme"}"#.to_vec(),
            )],
        };
        let now: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let resume = Resume::fresh(JobId::parse("1-0").unwrap(), now);
        let row = row(
            &message,
            QueueName::default(),
            JobState::Available,
            &resume,
            &Limits::default(),
        );
        assert_eq!(row.job.labels.tenant.as_deref(), Some("acme"));
        let waits = Row {
            row: row.clone(),
            waits_for: Some("xai's requests a minute".to_owned()),
        };
        let json = record::flat(&waits);
        assert_eq!(json["job_id"], "inv-42");
        assert_eq!(json["waits_for"], "xai's requests a minute");
        let table = text(&[waits], now);
        assert!(
            table.contains("inv-42  available, waits for xai's requests a minute  research"),
            "{table}"
        );
        let table = text(&[row.into()], now + chrono::TimeDelta::minutes(5));
        assert!(table.contains("inv-42  available  research  default  -         0         $0    5m   Name three colours"), "{table}");
    }
}
