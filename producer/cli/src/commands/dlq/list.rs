//! `longshore dlq list`: lists dead letters in a table.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{
    clock::local_time,
    dead_letter::{DeadLetterCursor, DeadLetterOrder, DeadLetterQuery},
    event::DeadLetterRecord,
};
use serde::Serialize;

use super::{
    filter::Filter,
    groups::{Breakdown, GroupKey},
    note_unreadable,
};
use crate::{
    documents::DeadLetterDocument,
    error::{CommandError, Exit},
    output::{self, ListFormat, ListOutput},
    render::{
        table::{Table, Width, cut, hide, whole},
        text::{counted, grouped, one_line, or_dash},
        time::{age, from_unix_ms},
    },
    session::Session,
};

/// Characters of an error shown in the table.
const ERROR_HEAD: usize = 60;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Maximum number of entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Count them by what they have in common instead, such as reason,platform
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    group_by: Vec<GroupKey>,
    /// Start after this cursor, which the previous page prints
    #[arg(long, value_name = "CURSOR", conflicts_with = "group_by")]
    after: Option<DeadLetterCursor>,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug)]
struct Listed {
    /// The number of all dead letters, whatever the filter.
    total: u64,
    /// The cursor of the next page, if more dead letters match.
    next: Option<String>,
    dead_letters: Vec<DeadLetterRecord>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    total: u64,
    next: Option<&'a str>,
    dead_letters: &'a [DeadLetterDocument<'a>],
    /// The name of `dead_letters` before; kept for one release.
    letters: &'a [DeadLetterDocument<'a>],
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let now_ms = broker.server().time_ms().await?;
    arguments.filter.note_encrypted(broker.keyring());
    let query = DeadLetterQuery {
        after: arguments.after,
        ..arguments.filter.query(DeadLetterOrder::NewestFirst, now_ms)
    };
    if !arguments.group_by.is_empty() {
        let groups = Breakdown::count(&broker, query, arguments.group_by, limit).await?;
        arguments
            .output
            .print_with(&groups, groups.rows(), |width| {
                groups.describe(local_time(), width)
            });
        return Ok(Exit::Success);
    }
    let (dead_letters, next) = page(&broker, query, limit).await?;
    let listed = Listed {
        total: broker.dead_letters().count().await?,
        next: next.map(|next| next.to_string()),
        dead_letters,
    };
    let documents: Vec<_> = listed
        .dead_letters
        .iter()
        .map(DeadLetterDocument::new)
        .collect();
    let document = Document {
        total: listed.total,
        next: listed.next.as_deref(),
        dead_letters: &documents,
        letters: &documents,
    };
    arguments.output.print_with(&document, &documents, |width| {
        dead_letter_table(&listed, local_time(), width)
    });
    if let (ListFormat::Jsonl, Some(next)) = (arguments.output.format, &listed.next) {
        output::note(format_args!("next page: --after {next}"));
    }
    Ok(Exit::Success)
}

/// At most `limit` records, each with its time of death by Redis's clock; and the cursor of the next page,
/// if there is one.
async fn page(
    broker: &Broker,
    mut query: DeadLetterQuery,
    limit: usize,
) -> Result<(Vec<DeadLetterRecord>, Option<DeadLetterCursor>), BrokerError> {
    let mut dead_letters = Vec::new();
    let mut last = None;
    loop {
        let wanted = limit.saturating_sub(dead_letters.len()).saturating_add(1);
        let slice = broker.dead_letters().record_page(&query, wanted).await?;
        note_unreadable(&slice.unreadable);
        for (died_ms, record) in slice.found {
            if dead_letters.len() == limit {
                return Ok((dead_letters, last));
            }
            last = Some(DeadLetterCursor {
                died_ms,
                entry_id: record.entry_id.clone(),
            });
            dead_letters.push(DeadLetterRecord {
                at: from_unix_ms(died_ms),
                ..record
            });
        }
        query.after = slice.next;
        if query.after.is_none() {
            return Ok((dead_letters, None));
        }
    }
}

fn dead_letter_table(listed: &Listed, now: DateTime<Utc>, width: Width) -> String {
    let mut figures = format!(
        "{}, {} shown",
        counted(listed.total, "dead letter"),
        grouped(listed.dead_letters.len() as u64)
    );
    if let Some(next) = &listed.next {
        figures.push_str("; next page: --after ");
        figures.push_str(next);
    }
    if listed.dead_letters.is_empty() {
        return figures;
    }
    let mut table = Table::new([
        whole("ID"),
        whole("AGE").right(),
        hide(4, "REASON"),
        hide(2, "TYPE"),
        hide(3, "PLATFORM"),
        hide(1, "ATTEMPTS").right(),
        cut("ERROR"),
    ]);
    for record in &listed.dead_letters {
        table.add_row([
            record.id.to_string(),
            age(record.at, now),
            one_line(&record.reason, 40),
            or_dash(record.task_type.as_deref()),
            or_dash(record.platform.as_deref()),
            record.attempts.to_string(),
            one_line(&record.error, ERROR_HEAD),
        ]);
    }
    format!("{}\n\n{figures}", table.fitted(width))
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_dead_letter, *};

    #[test]
    fn dead_letters_are_a_table() {
        let now: DateTime<Utc> = "2026-12-01T12:05:00Z".parse().unwrap();
        let mut malformed = example_dead_letter("bulk:9-0", &[]).record;
        malformed.reason = "not_json".to_owned();
        malformed.error =
            "expected `job` to be a JSON object,\nbut it is not JSON: \u{1b}[31m".to_owned();
        malformed.task_type = None;
        malformed.platform = None;
        malformed.attempts = 0;
        let listed = Listed {
            total: 1234,
            next: Some("1790000000000:bulk:9-0".to_owned()),
            dead_letters: vec![example_dead_letter("inv-42", &[]).record, malformed],
        };
        insta::assert_snapshot!(dead_letter_table(&listed, now, Width::of(80)), @"
        ID        AGE  REASON     TYPE      PLATFORM  ATTEMPTS  ERROR
        inv-42     5m  exhausted  research  sim              3  All platforms failed.
        bulk:9-0   5m  not_json   -         -                0  expected `job` to be a …

        1,234 dead letters, 2 shown; next page: --after 1790000000000:bulk:9-0
        ");
        insta::assert_snapshot!(dead_letter_table(&listed, now, Width::of(140)), @"
        ID        AGE  REASON     TYPE      PLATFORM  ATTEMPTS  ERROR
        inv-42     5m  exhausted  research  sim              3  All platforms failed.
        bulk:9-0   5m  not_json   -         -                0  expected `job` to be a JSON object, but it is not JSON:  [31…

        1,234 dead letters, 2 shown; next page: --after 1790000000000:bulk:9-0
        ");
    }
}
