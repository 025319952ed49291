//! What `replay` and `purge` share: which letters, and whether the person means it.

use longshore_shared::{
    archive::Standing,
    broker::{Broker, BrokerError},
    event::DeadRecord,
    id::JobId,
    letter::{DeadOrder, DeadQuery},
};

use super::{absent, filter::Filter};
use crate::{
    commands::{
        ask,
        words::{count, many},
    },
    error::CommandError,
    output,
};

/// Letters that a dry run shows.
const SHOWN: usize = 10;

/// Records that are counted at once.
const PAGE: usize = 1000;

/// Which letters, and how sure.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// These dead letters
    #[arg(value_name = "ID", value_parser = JobId::parse)]
    ids: Vec<JobId>,
    /// All dead letters that fit the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Only say which they are
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// The letters that are meant.
#[derive(Debug)]
pub(super) enum Chosen {
    /// Those that were named and are there, and whether all were.
    Named(Vec<Standing>, bool),
    /// Those that fit, the oldest first.
    Fitting(Box<DeadQuery>),
}

impl Choice {
    /// Whether a filter was given.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Finds what is meant; tells of ids that are no letter's. What could not be confirmed later is
    /// refused before anything is read.
    pub(super) async fn find(&self, verb: &str, broker: &Broker) -> Result<Chosen, CommandError> {
        if !self.all {
            if self.is_filtered() {
                return Err(CommandError::Input(format!(
                    "filters go with --all, not with ids: `longshore dlq {verb} --all …`"
                )));
            }
            return Ok(named(broker, &self.ids).await?);
        }
        if !self.yes && !self.dry_run && !ask::possible() {
            return Err(CommandError::Input(format!(
                "`longshore dlq {verb} --all` asks before it starts, and there is no terminal to ask at: add --yes \
                 (--dry-run shows what it would take)"
            )));
        }
        let now_ms = broker.server_time_ms().await?;
        let query = self.filter.clone().query(DeadOrder::OldestFirst, now_ms);
        Ok(Chosen::Fitting(Box::new(query)))
    }

    /// Whether to go on: ids were named one by one, `--yes` was said, or the person says yes now.
    pub(super) async fn confirmed(
        &self,
        verb: &str,
        chosen: &Chosen,
        broker: &Broker,
    ) -> Result<bool, CommandError> {
        let Chosen::Fitting(query) = chosen else {
            return Ok(true);
        };
        if self.yes {
            return Ok(true);
        }
        let (letters, _) = counted(broker, DeadQuery::clone(query)).await?;
        if letters == 0 {
            return Ok(true);
        }
        ask::yes(&question(verb, letters))
    }
}

/// How many fit, and the first of them.
async fn counted(
    broker: &Broker,
    mut query: DeadQuery,
) -> Result<(usize, Vec<DeadRecord>), BrokerError> {
    let bar =
        indicatif::ProgressBar::new_spinner().with_message("looking through the dead letters");
    let (mut letters, mut first) = (0, Vec::new());
    loop {
        let slice = broker.dead_records(&query, PAGE).await?;
        bar.tick();
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
            bar.finish_and_clear();
            return Ok((letters, first));
        }
    }
}

fn question(verb: &str, letters: usize) -> String {
    let mut verb = verb.to_owned();
    if let Some(first) = verb.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{verb} {}?", many(letters, "dead letter"))
}

async fn named(broker: &Broker, ids: &[JobId]) -> Result<Chosen, BrokerError> {
    let mut letters: Vec<Standing> = Vec::new();
    let mut all = true;
    for id in ids {
        if letters.iter().any(|(_, known, _)| known.record.id == *id) {
            continue;
        }
        if let Some(letter) = broker.dead_letter(id.as_str()).await? {
            letters.push(letter);
        } else {
            all = false;
            output::complain(&absent(id));
        }
    }
    Ok(Chosen::Named(letters, all))
}

/// Says what a dry run would have taken.
pub(super) async fn dry_run(
    done: &str,
    chosen: Chosen,
    broker: &Broker,
) -> Result<(), BrokerError> {
    let (letters, first) = match chosen {
        Chosen::Named(letters, _) => {
            let records = letters.iter().map(|(_, letter, _)| letter.record.clone());
            (letters.len(), records.take(SHOWN).collect())
        }
        Chosen::Fitting(query) => counted(broker, *query).await?,
    };
    output::line(would_be(done, letters, &first));
    Ok(())
}

fn would_be(done: &str, letters: usize, first: &[DeadRecord]) -> String {
    let mut lines = vec![format!(
        "{} would be {done}{}",
        many(letters, "dead letter"),
        if letters == 0 { "" } else { ":" }
    )];
    lines.extend(first.iter().map(|record| {
        let task_type = record.task_type.as_deref().unwrap_or("-");
        format!("  {}  {}  {task_type}", record.id, record.reason)
    }));
    if letters > first.len() {
        let more = count((letters - first.len()) as u64);
        lines.push(format!("  … and {more} more"));
    }
    lines.join("\n")
}

/// A bar on stderr, if that is a terminal.
pub(super) fn bar(letters: u64) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(letters);
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::letter, *};

    #[test]
    fn a_dry_run_shows_the_first() {
        let first = [letter("inv-42", &[]).record, letter("bulk:9-0", &[]).record];
        insta::assert_snapshot!(would_be("replayed", 1236, &first), @r"
        1,236 dead letters would be replayed:
          inv-42  exhausted  research
          bulk:9-0  exhausted  research
          … and 1,234 more
        ");
        assert_eq!(would_be("purged", 0, &[]), "0 dead letters would be purged");
    }

    #[test]
    fn the_question_names_what_and_how_many() {
        assert_eq!(question("replay", 1234), "Replay 1,234 dead letters?");
        assert_eq!(question("purge", 1), "Purge 1 dead letter?");
    }
}
