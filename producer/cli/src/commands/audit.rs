//! `longshore audit`: who changed what, and how it ended.

use chrono::{DateTime, Utc};
use longshore_ledger::AuditFilter;
use longshore_protocol::event::{ActOutcome, AuditRecord};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, ListOutput},
    render::{
        table::{Cell, Table, Width, hide, number, state_cell, whole, wrap},
        text::{counted, one_line},
        time::timestamp,
    },
    session::{Session, explain_ledger_error},
};

/// Characters of what a command was given that the table shows.
const WHAT: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Start of the period: 30m, 2h or 7d ago, a date, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = options::since, default_value = "24h")]
    since: DateTime<Utc>,
    /// Only what this actor did: `USER@HOST`, or the value of `LONGSHORE_ACTOR`
    #[arg(long)]
    actor: Option<String>,
    /// Only this command, such as "jobs cancel", or all that begin with this word, such as dlq
    #[arg(long)]
    command: Option<String>,
    /// Maximum number of entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: ListOutput,
}

/// An act as JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: String,
    at: DateTime<Utc>,
    actor: &'a str,
    command: &'a str,
    what: &'a str,
    affected: Option<u64>,
    outcome: ActOutcome,
    error: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(act: &'a AuditRecord) -> Self {
        Self {
            id: act.act_id.to_string(),
            at: act.at,
            actor: &act.actor,
            command: &act.command,
            what: &act.what,
            affected: act.affected,
            outcome: act.outcome,
            error: act.error.as_deref(),
        }
    }
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let filter = AuditFilter {
        since: arguments.since,
        actor: arguments.actor,
        command: arguments.command,
        limit: arguments.limit,
    };
    let ledger = session.ledger().await?;
    let acts = match ledger.acts(&filter).await {
        Ok(acts) => acts,
        Err(error) => return Err(explain_ledger_error(&ledger, error).await),
    };
    let rows: Vec<Row<'_>> = acts.iter().map(Row::new).collect();
    arguments.output.print_rows(&rows, |width| {
        if acts.is_empty() {
            "Nothing was changed in this period.".to_owned()
        } else {
            act_table(&acts, width)
        }
    });
    if acts.len() == usize::try_from(filter.limit).unwrap_or(usize::MAX) {
        output::note(format_args!(
            "{} shown; there may be more (raise --limit).",
            counted(acts.len(), "act")
        ));
    }
    note_unrecorded(session).await;
    Ok(Exit::Success)
}

/// Acts wait in Redis until Postgres has them.
async fn note_unrecorded(session: &Session) {
    let Ok(broker) = session.broker().await else {
        return;
    };
    if let Ok(events @ 1..) = broker.events().unrecorded_count().await {
        output::note(format_args!(
            "Note: {} not yet recorded in Postgres; the newest acts may be missing.",
            counted(events, "event")
        ));
    }
}

fn act_table(acts: &[AuditRecord], width: Width) -> String {
    let mut table = Table::new([
        whole("TIME"),
        whole("ACTOR"),
        whole("COMMAND"),
        wrap("WHAT"),
        hide(1, "AFFECTED").right(),
        whole("OUTCOME"),
        wrap("ERROR"),
    ]);
    for act in acts {
        table.add_row([
            Cell::new(timestamp(act.at)),
            Cell::new(one_line(&act.actor, 60)),
            Cell::new(one_line(&act.command, 60)),
            Cell::new(one_line(&act.what, WHAT)),
            act.affected.map_or_else(|| Cell::new("-"), number),
            state_cell(act.outcome.as_str(), act.outcome),
            Cell::new(one_line(act.error.as_deref().unwrap_or_default(), WHAT)),
        ]);
    }
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use longshore_protocol::id::ActId;

    use super::*;

    #[test]
    fn acts_are_a_table() {
        let act = |command: &str, what: &str, affected, outcome, error: Option<&str>| AuditRecord {
            act_id: ActId::fresh(),
            at: DateTime::from_timestamp_millis(1_795_232_878_059).unwrap(),
            actor: "ann@desk".to_owned(),
            command: command.to_owned(),
            what: what.to_owned(),
            affected,
            outcome,
            error: error.map(str::to_owned),
        };
        let acts = [
            act(
                "jobs cancel",
                "--all --tenant a\u{1b}[2J",
                Some(1234),
                ActOutcome::Done,
                None,
            ),
            act("dlq replay", "--all", None, ActOutcome::Begun, None),
            act("dlq purge", "--all", Some(0), ActOutcome::Refused, None),
            act(
                "queues move",
                "a b",
                Some(0),
                ActOutcome::Failed,
                Some("no queue `a`"),
            ),
        ];
        insta::assert_snapshot!(act_table(&acts, Width::of(140)));
    }
}
