//! What `replay` and `purge` share: which letters, and whether the person means it.

use longshore_shared::{
    broker::{Broker, BrokerError},
    id::JobId,
};

use super::filter::{Filter, collect};
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

/// Which letters, and how sure.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// These dead letters
    #[arg(value_name = "ID", value_parser = JobId::parse, required_unless_present = "all", conflicts_with = "all")]
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

/// Letters by id and time of death (ms), and the ids that are no letter's.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) keys: Vec<(JobId, i64)>,
    pub(super) absent: Vec<JobId>,
}

impl Choice {
    /// Finds the letters. What could not be confirmed later is refused before anything is read.
    pub(super) async fn find(&self, verb: &str, broker: &Broker) -> Result<Chosen, CommandError> {
        if !self.all {
            if !self.filter.is_empty() {
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
        Ok(Chosen {
            keys: collect(broker, &self.filter).await?,
            absent: Vec::new(),
        })
    }

    /// Whether to go on: ids were named one by one, `--yes` was said, or the person says yes now.
    pub(super) fn confirmed(&self, verb: &str, letters: usize) -> Result<bool, CommandError> {
        if !self.all || self.yes || letters == 0 {
            return Ok(true);
        }
        ask::yes(&question(verb, letters))
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
    let mut chosen = Chosen {
        keys: Vec::new(),
        absent: Vec::new(),
    };
    for id in ids {
        match broker.dead_letter(id.as_str()).await? {
            Some((died, _, _)) if !chosen.keys.iter().any(|(known, _)| known == id) => {
                chosen.keys.push((id.clone(), died));
            }
            Some(_) => {}
            None => chosen.absent.push(id.clone()),
        }
    }
    Ok(chosen)
}

/// Says what a dry run would have taken.
pub(super) async fn dry_run(
    done: &str,
    chosen: &Chosen,
    broker: &Broker,
) -> Result<(), BrokerError> {
    let first = chosen.keys.get(..SHOWN).unwrap_or(&chosen.keys);
    output::line(format_args!(
        "{} would be {done}{}",
        many(chosen.keys.len(), "dead letter"),
        if chosen.keys.is_empty() { "" } else { ":" }
    ));
    for (_, letter, _) in broker.dead_letters(first).await? {
        let record = letter.record;
        output::line(format_args!(
            "  {}  {}  {}",
            record.id,
            record.reason,
            record.task_type.as_deref().unwrap_or("-")
        ));
    }
    if chosen.keys.len() > first.len() {
        output::line(format_args!(
            "  … and {} more",
            count((chosen.keys.len() - first.len()) as u64)
        ));
    }
    Ok(())
}

/// A bar on stderr, if that is a terminal.
pub(super) fn bar(letters: usize) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(letters as u64);
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_what_and_how_many() {
        assert_eq!(question("replay", 1234), "Replay 1,234 dead letters?");
        assert_eq!(question("purge", 1), "Purge 1 dead letter?");
    }
}
