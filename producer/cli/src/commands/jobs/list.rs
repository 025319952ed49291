//! `longshore jobs list`: lists jobs in a table.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, SecondsFormat, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, JobState, Lane, QueueName, without_marks};
use longshore_ledger::{JobFilter, JobRow};
use longshore_protocol::{
    checkpoint::Checkpoint,
    clock::local_time,
    envelope::{MessageLimits, RawMessage, parse},
    event::JobRecord,
    id::EntryId,
};
use serde_json::Value;

use crate::{
    documents::JobDocument,
    error::{CommandError, Exit},
    options::{self, LabelFilter},
    output::{self, ListOutput},
    render::{
        lane::{parked_state, wait_reason},
        table::{Cell, Table, Width, cut, hide, state_cell, whole},
        text::{counted, one_line, or_dash},
        time::{age, from_unix_ms},
    },
    session::Session,
};

/// Entries of a queue that are searched for matching jobs.
const SEARCHED: usize = 1000;

/// Characters of a prompt shown in the table.
const PROMPT_HEAD: usize = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only jobs in this state
    #[arg(long, value_parser = state)]
    state: Option<JobState>,
    #[command(flatten)]
    labels: LabelFilter,
    /// Only jobs whose last attempt called this platform
    #[arg(long)]
    platform: Option<String>,
    /// Only jobs whose last attempt called this model; requires --since
    #[arg(long, requires = "since")]
    model: Option<String>,
    /// Only jobs that failed with this error class, such as timeout or overloaded (see `longshore failures`)
    #[arg(long, value_name = "CLASS")]
    error_class: Option<String>,
    /// Only jobs whose error contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Only jobs whose metadata has this member, such as customer=acme or priority=3; repeat for several; requires --since
    #[arg(long, value_name = "KEY=VALUE", value_parser = member, requires = "since")]
    metadata: Vec<(String, Value)>,
    /// Only jobs received since then: 30m, 2h or 7d ago, a date, or a time in RFC 3339
    #[arg(long, value_parser = options::since)]
    since: Option<DateTime<Utc>>,
    /// Start after this cursor, which the previous page prints: time and id of a job, TIME/ID
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Maximum number of entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: ListOutput,
}

/// The position of a job in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    enqueued_at: DateTime<Utc>,
    job_id: JobId,
}

impl Cursor {
    fn at(job: &JobRecord) -> Self {
        Self {
            enqueued_at: job.enqueued_at,
            job_id: job.labels.job_id.clone(),
        }
    }

    fn key(&self) -> (DateTime<Utc>, &JobId) {
        (self.enqueued_at, &self.job_id)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(time, id)| {
            Some(Self {
                enqueued_at: DateTime::parse_from_rfc3339(time).ok()?.to_utc(),
                job_id: JobId::parse(id).ok()?,
            })
        });
        parsed.ok_or_else(|| {
            format!("expected TIME/ID, such as 2026-12-01T12:00:00.5Z/inv-42, but got `{text}`")
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self
            .enqueued_at
            .to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{time}/{}", self.job_id)
    }
}

fn state(word: &str) -> Result<JobState, String> {
    options::word(JobState::ALL, JobState::as_str, word)
}

/// A member of an object: a number, `true`, `false` or `null` as in JSON, or a text, with or without quotes.
fn member(text: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err("expected KEY=VALUE, such as customer=acme".to_owned());
    };
    let value = match serde_json::from_str(value) {
        Ok(Value::Array(_) | Value::Object(_)) => {
            return Err("expected a text, a number, true, false or null as the value".to_owned());
        }
        Ok(value) => value,
        Err(_) => Value::from(value),
    };
    Ok((key.to_owned(), value))
}

impl Arguments {
    fn filter(&self) -> JobFilter {
        JobFilter {
            state: self.state,
            task_type: self.labels.task_type.clone(),
            queue: self.labels.queue.clone(),
            tenant: self.labels.tenant.clone(),
            chain_id: self.labels.chain_id.clone(),
            platform: self.platform.clone(),
            model: self.model.clone(),
            error_class: self.error_class.clone(),
            error: self.error.clone(),
            metadata: (!self.metadata.is_empty()).then(|| self.metadata.iter().cloned().collect()),
            since: self.since,
            before: self.after.clone().map(
                |Cursor {
                     enqueued_at,
                     job_id,
                 }| (enqueued_at, job_id),
            ),
            limit: Some(self.limit),
        }
    }

    /// Whether jobs that have not ended may match.
    fn includes_open(&self) -> bool {
        self.state.is_none_or(|state| !state.is_final())
    }

    fn fits(&self, job: &JobRecord) -> bool {
        let labels = &job.labels;
        let (tenant, chain_id) = (labels.tenant.as_deref(), labels.chain_id.as_deref());
        let queue = self.labels.queue.as_ref();
        self.state.is_none_or(|state| state == job.state)
            && self.labels.fits(&labels.task_type, tenant, chain_id)
            && queue.is_none_or(|queue| *queue == labels.queue)
            && (self.platform.is_none() || self.platform == job.platform)
            && self.fits_contents(job)
            && self.since.is_none_or(|since| job.enqueued_at >= since)
            && self
                .after
                .as_ref()
                .is_none_or(|after| Cursor::at(job).key() < after.key())
    }
}

impl Arguments {
    /// Whether the job's model, error and metadata match.
    fn fits_contents(&self, job: &JobRecord) -> bool {
        let says = |text: &String| {
            let error = job.error.as_deref().unwrap_or_default().to_lowercase();
            error.contains(&text.to_lowercase())
        };
        let has = |(key, value): &(String, Value)| {
            let metadata = job.metadata.as_ref();
            metadata.and_then(|metadata| metadata.get(key)) == Some(value)
        };
        (self.model.is_none() || self.model == job.model)
            && (self.error_class.is_none() || self.error_class == job.error_class)
            && self.error.as_ref().is_none_or(says)
            && self.metadata.iter().all(has)
    }
}

/// A job, and what it waits for if its state does not show it.
#[derive(Debug)]
struct Row {
    row: JobRow,
    waits_for: Option<String>,
}

impl Row {
    fn document(&self) -> JobDocument<'_> {
        JobDocument::new(&self.row, self.waits_for.as_deref())
    }
}

impl From<JobRow> for Row {
    fn from(row: JobRow) -> Self {
        Self {
            row,
            waits_for: None,
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let keyring = &session.config.keyring;
    if arguments.error.is_some() {
        options::note_encrypted_search("--error", keyring);
    }
    if !arguments.metadata.is_empty() {
        options::note_encrypted_search("--metadata", keyring);
    }
    let recorded = match session.ledger().await {
        Ok(ledger) => ledger
            .jobs(&arguments.filter())
            .await
            .map_err(CommandError::from),
        Err(error) => Err(error),
    };
    // Ended jobs are only in Postgres. Open jobs are in Redis too, with newer data.
    let mut rows: Vec<Row> = match recorded {
        Ok(rows) => rows.into_iter().map(Row::from).collect(),
        Err(error) if arguments.includes_open() => {
            output::warning(format_args!(
                "only jobs in Redis are listed; Postgres query failed: {}",
                error.first_line()
            ));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if arguments.includes_open() {
        let broker = session.broker().await?;
        let open = open_jobs(&broker, &arguments, &session.config.limits).await?;
        let id = |row: &Row| row.row.job.labels.job_id.clone();
        let fresher: HashSet<JobId> = open.iter().map(id).collect();
        rows.retain(|row| !fresher.contains(&row.row.job.labels.job_id));
        rows.extend(open.into_iter().filter(|row| arguments.fits(&row.row.job)));
    }
    rows.sort_by_cached_key(|row| {
        let Cursor {
            enqueued_at,
            job_id,
        } = Cursor::at(&row.row.job);
        std::cmp::Reverse((enqueued_at, job_id))
    });
    rows.truncate(usize::try_from(arguments.limit).unwrap_or(usize::MAX));
    let documents: Vec<JobDocument<'_>> = rows.iter().map(Row::document).collect();
    let output = arguments.output;
    output.print_rows(&documents, |width| job_table(&rows, local_time(), width));
    let full = rows.len() == usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    if let Some(last) = rows.last().filter(|_| full) {
        output::note(format_args!(
            "{} shown; next page: --after {}",
            counted(rows.len(), "job"),
            Cursor::at(&last.row.job)
        ));
    }
    Ok(Exit::Success)
}

fn job_table(rows: &[Row], now: DateTime<Utc>, width: Width) -> String {
    if rows.is_empty() {
        return "No jobs found.".to_owned();
    }
    let any_waits = rows.iter().any(|row| row.waits_for.is_some());
    let mut columns = vec![
        whole("ID"),
        whole("STATE"),
        hide(4, "TYPE"),
        hide(1, "QUEUE"),
        hide(3, "PLATFORM"),
        hide(2, "ATTEMPTS").right(),
        hide(5, "COST"),
        whole("AGE").right(),
        cut("PROMPT"),
    ];
    if any_waits {
        columns.insert(2, cut("WAITS FOR"));
    }
    let mut table = Table::new(columns);
    for Row { row, waits_for } in rows {
        let job = &row.job;
        let mut cells = vec![
            Cell::new(&job.labels.job_id),
            state_cell(job.state.as_str(), job.state),
            Cell::new(one_line(&job.labels.task_type, 40)),
            Cell::new(&job.labels.queue),
            Cell::new(or_dash(job.platform.as_deref())),
            Cell::new(job.attempts),
            Cell::new(format_args!("${}", row.cost_usd)),
            Cell::new(age(job.enqueued_at, now)),
            Cell::new(one_line(&job.prompt_head, PROMPT_HEAD)),
        ];
        if any_waits {
            cells.insert(2, Cell::new(or_dash(waits_for.as_deref())));
        }
        table.add_row(cells);
    }
    table.fitted(width)
}

/// Jobs in Redis that have not ended: the newest of each queue and the first of each lane.
async fn open_jobs(
    broker: &Broker,
    arguments: &Arguments,
    limits: &MessageLimits,
) -> Result<Vec<Row>, BrokerError> {
    let queues = match &arguments.labels.queue {
        Some(queue) => vec![queue.ready(), queue.clone()],
        None => broker.queues().streams().await?,
    };
    let mut rows = Vec::new();
    for queue in queues {
        let rows_of_queue = queue_rows(broker, &queue, arguments, limits).await?;
        rows.extend(rows_of_queue.into_iter().map(Row::from));
    }
    let lanes = usize::try_from(arguments.limit)
        .unwrap_or(SEARCHED)
        .min(SEARCHED);
    for entry_id in broker.lanes().first_entry_ids(lanes).await? {
        let Some(parked) = broker.lanes().parked_entry(&entry_id).await? else {
            continue;
        };
        let lane = Lane::parse(&parked.lane);
        let state = parked_state(&lane, parked.checkpoint.attempts);
        let waits_for = wait_reason(&lane, &parked.queue);
        let mut row = open_job_row(
            &parked.message,
            parked.queue,
            state,
            &parked.checkpoint,
            limits,
        );
        row.job.due_at = parked.due_ms.map(from_unix_ms);
        rows.push(Row { row, waits_for });
    }
    Ok(rows)
}

/// The newest jobs of a queue. For running jobs, the newest delivered ones.
async fn queue_rows(
    broker: &Broker,
    queue: &QueueName,
    arguments: &Arguments,
    limits: &MessageLimits,
) -> Result<Vec<JobRow>, BrokerError> {
    const PAGE: usize = 200;
    let wanted = usize::try_from(arguments.limit).unwrap_or(SEARCHED);
    let mut rows = Vec::new();
    let running_only = arguments.state == Some(JobState::Running);
    // No running job is newer than the newest delivered entry.
    let mut to = if running_only {
        broker.queues().last_delivered(queue).await?
    } else {
        "+".to_owned()
    };
    let (mut seen, mut fitting) = (0, 0);
    while seen < SEARCHED && fitting < wanted {
        let page = broker
            .queues()
            .entries(queue, "-", &to, PAGE.min(SEARCHED), true)
            .await?;
        let (Some((newest, _)), Some((oldest, _))) = (page.first(), page.last()) else {
            break;
        };
        seen += page.len();
        let delivered: HashMap<String, bool> = broker
            .queues()
            .pending_entries(queue, oldest, newest, page.len())
            .await?
            .into_iter()
            .map(|pending| (pending.entry, pending.worker.is_some()))
            .collect();
        to = format!("({oldest}");
        let last = page.len() < PAGE;
        let entry_ids: Vec<EntryId> = page
            .iter()
            .map(|(entry, _)| EntryId::new(queue, entry))
            .collect();
        let checkpoints = broker.jobs().checkpoints(&entry_ids).await?;
        for (((entry, message), entry_id), checkpoint) in
            page.into_iter().zip(entry_ids).zip(checkpoints)
        {
            let state = if delivered.get(&entry) == Some(&true) {
                JobState::Running
            } else {
                JobState::Available
            };
            let checkpoint = checkpoint.unwrap_or_else(|| {
                Checkpoint::fresh(
                    JobId::from_entry(&entry_id),
                    entry_id.received_at().unwrap_or_default(),
                )
            });
            let row = open_job_row(
                &without_marks(message),
                queue.base(),
                state,
                &checkpoint,
                limits,
            );
            fitting += usize::from(arguments.fits(&row.job));
            rows.push(row);
        }
        if last {
            break;
        }
    }
    Ok(rows)
}

/// A job that has not ended, in the form of a Postgres row.
fn open_job_row(
    message: &RawMessage,
    queue: QueueName,
    state: JobState,
    checkpoint: &Checkpoint,
    limits: &MessageLimits,
) -> JobRow {
    let envelope = parse(message, limits).ok().map(|parsed| parsed.envelope);
    JobRow {
        job: JobRecord::unended(envelope.as_ref(), queue, state, checkpoint),
        cost_usd: checkpoint.cost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_texts_and_what_json_has_besides() {
        let read = |text: &str| member(text).map(|(key, value)| format!("{key} {value}"));
        assert_eq!(read("customer=acme"), Ok("customer \"acme\"".to_owned()));
        assert_eq!(read("a=\"3\""), Ok("a \"3\"".to_owned()));
        assert_eq!(read("a=3"), Ok("a 3".to_owned()));
        assert_eq!(read("a=b=c"), Ok("a \"b=c\"".to_owned()));
        for text in ["", "a", "=3", "a=[1]", "a={}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_printed() {
        for text in [
            "2026-12-01T12:00:00.059Z/bulk:1-0",
            "2026-12-01T12:00:00Z/a/b",
        ] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026-12-01T12:00:00Z",
            "today/a",
            "2026-12-01T12:00:00Z/",
        ] {
            let error = text.parse::<Cursor>().unwrap_err();
            assert!(error.starts_with("expected TIME/ID"), "{error}");
        }
    }

    #[test]
    fn a_job_in_redis_is_a_row_like_a_recorded_one() {
        let message = RawMessage {
            fields: vec![(
                b"job".to_vec(),
                br#"{"id":"inv-42","type":"research","prompt":"Name three\ncolours","tenant":"acme"}"#.to_vec(),
            )],
        };
        let now: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let checkpoint = Checkpoint::fresh(JobId::parse("1-0").unwrap(), now);
        let row = open_job_row(
            &message,
            QueueName::default(),
            JobState::Available,
            &checkpoint,
            &MessageLimits::default(),
        );
        assert_eq!(row.job.labels.tenant.as_deref(), Some("acme"));
        let waits = Row {
            row: row.clone(),
            waits_for: Some("xai's requests a minute".to_owned()),
        };
        let json = serde_json::to_value(waits.document()).unwrap();
        assert_eq!(
            (&json["id"], &json["job_id"]),
            (&"inv-42".into(), &"inv-42".into())
        );
        assert_eq!(json["waits_for"], "xai's requests a minute");
        let rows = [waits, row.into()];
        let now = now + chrono::TimeDelta::minutes(5);
        insta::assert_snapshot!(job_table(&rows, now, Width::of(140)), @"
        ID      STATE      WAITS FOR                TYPE      QUEUE    PLATFORM  ATTEMPTS  COST  AGE  PROMPT
        inv-42  available  xai's requests a minute  research  default  -                0  $0     5m  Name three colours
        inv-42  available  -                        research  default  -                0  $0     5m  Name three colours
        ");
        insta::assert_snapshot!(job_table(&rows, now, Width::of(80)), @"
        ID      STATE      WAITS FOR             TYPE      COST  AGE  PROMPT
        inv-42  available  xai's requests a mi…  research  $0     5m  Name three colours
        inv-42  available  -                     research  $0     5m  Name three colours
        (--wide also shows QUEUE, PLATFORM, ATTEMPTS)
        ");
        insta::assert_snapshot!(job_table(&rows[1..], now, Width::of(80)), @"
        ID      STATE      TYPE      PLATFORM  ATTEMPTS  COST  AGE  PROMPT
        inv-42  available  research  -                0  $0     5m  Name three colours
        (--wide also shows QUEUE)
        ");
    }
}
