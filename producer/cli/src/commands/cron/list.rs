//! `longshore cron list`.

use chrono::{DateTime, Utc};
use longshore_broker::{BrokerError, CronStatus};
use longshore_policy::cron::{CronDefinitionText, Source};
use longshore_protocol::id::CronName;
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    output::ListOutput,
    render::{
        table::{Cell, Table, Width, hide, number, whole},
        time::timestamp,
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: CronName,
    source: Source,
    paused: bool,
    #[serde(flatten)]
    written: CronDefinitionText,
    next: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    ran: u64,
    skipped: u64,
    #[serde(skip)]
    timing: String,
}

impl Listed {
    fn new(standing: CronStatus) -> Result<Self, BrokerError> {
        let entry = standing.record.entry()?;
        Ok(Self {
            name: standing.record.name,
            source: entry.source,
            paused: entry.paused,
            timing: entry.definition.timing.to_string(),
            written: entry.definition.written(),
            next: standing.next,
            last: standing.last,
            ran: standing.ran,
            skipped: standing.skipped,
        })
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let standing = broker.cron().list().await?.into_iter();
    let jobs: Vec<Listed> = standing.map(Listed::new).collect::<Result<_, _>>()?;
    arguments
        .output
        .print_rows(&jobs, |width| cron_table(&jobs, width));
    Ok(Exit::Success)
}

fn cron_table(jobs: &[Listed], width: Width) -> String {
    if jobs.is_empty() {
        return "No recurring jobs. Add one with `longshore cron add`, or under `cron:` in longshore.yaml."
            .to_owned();
    }
    let mut table = Table::new([
        whole("NAME"),
        whole("WHEN"),
        hide(2, "QUEUE"),
        whole("NEXT"),
        hide(3, "LAST"),
        hide(5, "RAN").right(),
        hide(4, "SKIPPED").right(),
        hide(1, "FROM"),
    ]);
    let tick = |tick: Option<DateTime<Utc>>| tick.map_or_else(|| "-".to_owned(), timestamp);
    for job in jobs {
        let next = if job.paused {
            "paused".to_owned()
        } else {
            tick(job.next)
        };
        table.add_row([
            Cell::new(&job.name),
            Cell::new(&job.timing),
            Cell::new(job.written.queue.as_deref().unwrap_or_default()),
            Cell::new(next),
            Cell::new(tick(job.last)),
            number(job.ran),
            number(job.skipped),
            Cell::new(job.source),
        ]);
    }
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use longshore_broker::CronRecord;
    use serde_json::json;

    use longshore_protocol::serialized::Serialized;

    use super::*;

    #[test]
    fn recurring_jobs_are_listed() {
        let standing = |name: &str, entry: serde_json::Value, next: Option<i64>| {
            let standing = CronStatus {
                record: CronRecord {
                    name: CronName::parse(name).unwrap(),
                    json: Serialized::from_stored(entry.to_string()),
                },
                next: next.and_then(|at| DateTime::from_timestamp(at, 0)),
                last: next.and_then(|at| DateTime::from_timestamp(at - 30, 0)),
                ran: 1234,
                skipped: 7,
            };
            Listed::new(standing).unwrap()
        };
        let jobs = [
            standing(
                "nightly-report",
                json!({"source": "config", "paused": true, "schedule": "0 3 * * *", "timezone": "Europe/Berlin", "job": {"prompt": "x"}}),
                None,
            ),
            standing(
                "poll",
                json!({"source": "command", "paused": false, "every": "30s", "queue": "bulk", "job": {"prompt": "x"}}),
                Some(1_800_000_000),
            ),
        ];
        insta::assert_snapshot!(cron_table(&jobs, Width::of(80)), @"
        NAME            WHEN                       NEXT                    RAN  SKIPPED
        nightly-report  0 3 * * * (Europe/Berlin)  paused                1,234        7
        poll            every 30s                  2027-01-15T08:00:00Z  1,234        7
        (--wide also shows QUEUE, LAST, FROM)
        ");
        insta::assert_snapshot!(cron_table(&jobs, Width::of(140)), @"
        NAME            WHEN                       QUEUE    NEXT                  LAST                    RAN  SKIPPED  FROM
        nightly-report  0 3 * * * (Europe/Berlin)  default  paused                -                     1,234        7  config
        poll            every 30s                  bulk     2027-01-15T08:00:00Z  2027-01-15T07:59:30Z  1,234        7  command
        ");
        insta::assert_snapshot!(serde_json::to_string(&jobs[1]).unwrap(), @r#"{"name":"poll","source":"command","paused":false,"every":"30s","missed":"once","queue":"bulk","job":{"prompt":"x"},"next":"2027-01-15T08:00:00Z","last":"2027-01-15T07:59:30Z","ran":1234,"skipped":7}"#);
        insta::assert_snapshot!(cron_table(&[], Width::UNLIMITED), @"No recurring jobs. Add one with `longshore cron add`, or under `cron:` in longshore.yaml.");
    }
}
