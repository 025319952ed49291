//! Selects the dead letters for `replay` and `purge`, and asks for confirmation.

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{
    dead_letter::{DeadLetterOrder, DeadLetterQuery, StoredDeadLetter},
    event::DeadLetterRecord,
};

use super::{filter::Filter, find_dead_letter, parse_id, unknown_dead_letter};
use crate::{
    confirm::Consent,
    error::CommandError,
    output,
    render::{
        progress::Progress,
        text::{counted, grouped},
    },
};

/// Dead letters shown by a dry run.
const SHOWN: usize = 10;

/// Records counted by one call.
const PAGE: usize = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Job ids or entry ids of dead letters
    #[arg(value_name = "ID", value_parser = parse_id)]
    ids: Vec<String>,
    /// All dead letters that match the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub(super) consent: Consent,
}

/// The selected dead letters.
#[derive(Debug)]
pub(super) enum Selected {
    /// Those of the given ids that exist, and whether all ids exist.
    Named(Vec<StoredDeadLetter>, bool),
    /// All that match the filters, the oldest first.
    Matching(Box<DeadLetterQuery>),
}

impl Selection {
    /// Whether a filter was given.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Fails if filters are given with ids, or if a confirmation is required but there is no terminal.
    pub(super) fn check(&self, verb: &str) -> Result<(), CommandError> {
        if self.all {
            return self.consent.check(&format!("longshore dlq {verb} --all"));
        }
        if self.is_filtered() {
            return Err(CommandError::Input(format!(
                "filters require --all instead of ids: `longshore dlq {verb} --all …`"
            )));
        }
        Ok(())
    }

    /// Finds the dead letters and prints an error for each unknown id.
    pub(super) async fn find(&self, broker: &Broker) -> Result<Selected, CommandError> {
        if !self.all {
            return find_named(broker, &self.ids).await;
        }
        let now_ms = broker.server().time_ms().await?;
        self.filter.note_encrypted(broker.keyring());
        let query = self
            .filter
            .clone()
            .query(DeadLetterOrder::OldestFirst, now_ms);
        Ok(Selected::Matching(Box::new(query)))
    }

    /// Whether to proceed: ids or `--yes` were given, or the user confirms.
    pub(super) async fn confirmed(
        &self,
        verb: &str,
        selected: &Selected,
        broker: &Broker,
    ) -> Result<bool, CommandError> {
        let Selected::Matching(query) = selected else {
            return Ok(true);
        };
        if self.consent.yes {
            return Ok(true);
        }
        let (count, _) = count_matching(broker, DeadLetterQuery::clone(query)).await?;
        self.consent.given(count, |count| question(verb, count))
    }
}

/// The number of matching dead letters, and the first of them.
async fn count_matching(
    broker: &Broker,
    mut query: DeadLetterQuery,
) -> Result<(usize, Vec<DeadLetterRecord>), BrokerError> {
    let spinner = Progress::spinner("{spinner} {msg}", "searching the dead letters");
    let (mut count, mut first) = (0, Vec::new());
    loop {
        let slice = broker.dead_letters().record_page(&query, PAGE).await?;
        count += slice.found.len();
        let missing = SHOWN - first.len();
        first.extend(
            slice
                .found
                .into_iter()
                .map(|(_, record)| record)
                .take(missing),
        );
        query.after = slice.next;
        if query.after.is_none() {
            spinner.clear();
            return Ok((count, first));
        }
    }
}

fn question(verb: &str, count: usize) -> String {
    let mut verb = verb.to_owned();
    if let Some(first) = verb.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{verb} {}?", counted(count, "dead letter"))
}

async fn find_named(broker: &Broker, ids: &[String]) -> Result<Selected, CommandError> {
    let mut dead_letters: Vec<StoredDeadLetter> = Vec::new();
    let mut all = true;
    for id in ids {
        let Some(dead_letter) = find_dead_letter(broker, id).await? else {
            all = false;
            output::error(&unknown_dead_letter(id));
            continue;
        };
        let entry_id = &dead_letter.1.record.entry_id;
        if !dead_letters
            .iter()
            .any(|(_, known, _)| known.record.entry_id == *entry_id)
        {
            dead_letters.push(dead_letter);
        }
    }
    Ok(Selected::Named(dead_letters, all))
}

/// Prints what the command would change.
pub(super) async fn print_dry_run(
    done: &str,
    selected: Selected,
    broker: &Broker,
) -> Result<(), BrokerError> {
    let (count, first) = match selected {
        Selected::Named(dead_letters, _) => {
            let records = dead_letters
                .iter()
                .map(|(_, dead_letter, _)| dead_letter.record.clone());
            (dead_letters.len(), records.take(SHOWN).collect())
        }
        Selected::Matching(query) => count_matching(broker, *query).await?,
    };
    output::line(describe_dry_run(done, count, &first));
    Ok(())
}

fn describe_dry_run(done: &str, count: usize, first: &[DeadLetterRecord]) -> String {
    let mut lines = vec![format!(
        "{} would be {done}{}",
        counted(count, "dead letter"),
        if count == 0 { "" } else { ":" }
    )];
    lines.extend(first.iter().map(|record| {
        let task_type = record.task_type.as_deref().unwrap_or("-");
        format!("  {}  {}  {task_type}", record.id, record.reason)
    }));
    if count > first.len() {
        let more = grouped((count - first.len()) as u64);
        lines.push(format!("  … and {more} more"));
    }
    lines.join("\n")
}

/// A progress bar for this number of dead letters.
pub(super) fn progress_bar(count: u64) -> Progress {
    Progress::count("{bar:40} {human_pos}/{human_len} {per_sec} {eta}", count)
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_dead_letter, *};

    #[test]
    fn a_dry_run_shows_the_first_dead_letters() {
        let first = [
            example_dead_letter("inv-42", &[]).record,
            example_dead_letter("bulk:9-0", &[]).record,
        ];
        insta::assert_snapshot!(describe_dry_run("replayed", 1236, &first), @r"
        1,236 dead letters would be replayed:
          inv-42  exhausted  research
          bulk:9-0  exhausted  research
          … and 1,234 more
        ");
        assert_eq!(
            describe_dry_run("purged", 0, &[]),
            "0 dead letters would be purged"
        );
    }

    #[test]
    fn the_question_has_the_verb_and_the_count() {
        assert_eq!(question("replay", 1234), "Replay 1,234 dead letters?");
        assert_eq!(question("purge", 1), "Purge 1 dead letter?");
    }
}
