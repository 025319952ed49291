//! Which dead letters `replay` and `purge` take, and whether the user agrees.

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{
    dead_letter::{DeadOrder, DeadQuery, Standing},
    event::DeadRecord,
    id::JobId,
};

use super::{filter::Filter, unknown_dead_letter};
use crate::{
    confirm::{self, Consent},
    error::CommandError,
    output,
    render::{
        progress::Progress,
        text::{counted, grouped},
    },
};

/// Dead letters that a dry run shows.
const SHOWN: usize = 10;

/// Records that are counted at once.
const PAGE: usize = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Ids of dead letters
    #[arg(value_name = "ID", value_parser = JobId::parse)]
    ids: Vec<JobId>,
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
    /// The named ones that exist, and whether all do.
    Named(Vec<Standing>, bool),
    /// All that fit the filters, the oldest first.
    Fitting(Box<DeadQuery>),
}

impl Selection {
    /// Whether a filter was given.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Finds the dead letters, and prints an error for each unknown id. Fails before anything is read if the
    /// user would have to be asked and cannot.
    pub(super) async fn find(&self, verb: &str, broker: &Broker) -> Result<Selected, CommandError> {
        if !self.all {
            if self.is_filtered() {
                return Err(CommandError::Input(format!(
                    "filters go with --all, not with ids: `longshore dlq {verb} --all …`"
                )));
            }
            return Ok(find_named(broker, &self.ids).await?);
        }
        self.consent.check(&format!("longshore dlq {verb} --all"))?;
        let now_ms = broker.server().time_ms().await?;
        let query = self.filter.clone().query(DeadOrder::OldestFirst, now_ms);
        Ok(Selected::Fitting(Box::new(query)))
    }

    /// Whether to go on: ids were named, `--yes` was given, or the user agrees.
    pub(super) async fn confirmed(
        &self,
        verb: &str,
        chosen: &Selected,
        broker: &Broker,
    ) -> Result<bool, CommandError> {
        let Selected::Fitting(query) = chosen else {
            return Ok(true);
        };
        if self.consent.yes {
            return Ok(true);
        }
        let (letters, _) = count_fitting(broker, DeadQuery::clone(query)).await?;
        if letters == 0 {
            return Ok(true);
        }
        confirm::ask(&question(verb, letters))
    }
}

/// The number of dead letters that fit, and the first of them.
async fn count_fitting(
    broker: &Broker,
    mut query: DeadQuery,
) -> Result<(usize, Vec<DeadRecord>), BrokerError> {
    let spinner = Progress::spinner("{spinner} {msg}", "looking through the dead letters");
    let (mut letters, mut first) = (0, Vec::new());
    loop {
        let slice = broker.dead_letters().record_page(&query, PAGE).await?;
        letters += slice.found.len();
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
            return Ok((letters, first));
        }
    }
}

fn question(verb: &str, letters: usize) -> String {
    let mut verb = verb.to_owned();
    if let Some(first) = verb.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{verb} {}?", counted(letters, "dead letter"))
}

async fn find_named(broker: &Broker, ids: &[JobId]) -> Result<Selected, BrokerError> {
    let mut letters: Vec<Standing> = Vec::new();
    let mut all = true;
    for id in ids {
        if letters.iter().any(|(_, known, _)| known.record.id == *id) {
            continue;
        }
        if let Some(letter) = broker.dead_letters().get(id.as_str()).await? {
            letters.push(letter);
        } else {
            all = false;
            output::error(&unknown_dead_letter(id));
        }
    }
    Ok(Selected::Named(letters, all))
}

/// Prints what a run would take.
pub(super) async fn print_dry_run(
    done: &str,
    chosen: Selected,
    broker: &Broker,
) -> Result<(), BrokerError> {
    let (letters, first) = match chosen {
        Selected::Named(letters, _) => {
            let records = letters.iter().map(|(_, letter, _)| letter.record.clone());
            (letters.len(), records.take(SHOWN).collect())
        }
        Selected::Fitting(query) => count_fitting(broker, *query).await?,
    };
    output::line(describe_dry_run(done, letters, &first));
    Ok(())
}

fn describe_dry_run(done: &str, letters: usize, first: &[DeadRecord]) -> String {
    let mut lines = vec![format!(
        "{} would be {done}{}",
        counted(letters, "dead letter"),
        if letters == 0 { "" } else { ":" }
    )];
    lines.extend(first.iter().map(|record| {
        let task_type = record.task_type.as_deref().unwrap_or("-");
        format!("  {}  {}  {task_type}", record.id, record.reason)
    }));
    if letters > first.len() {
        let more = grouped((letters - first.len()) as u64);
        lines.push(format!("  … and {more} more"));
    }
    lines.join("\n")
}

/// A bar over so many dead letters.
pub(super) fn progress_bar(letters: u64) -> Progress {
    Progress::count("{bar:40} {human_pos}/{human_len} {per_sec} {eta}", letters)
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_letter, *};

    #[test]
    fn a_dry_run_shows_the_first() {
        let first = [
            example_letter("inv-42", &[]).record,
            example_letter("bulk:9-0", &[]).record,
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
    fn the_question_names_what_and_how_many() {
        assert_eq!(question("replay", 1234), "Replay 1,234 dead letters?");
        assert_eq!(question("purge", 1), "Purge 1 dead letter?");
    }
}
