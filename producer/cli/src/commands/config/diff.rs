//! `longshore config diff`: what a file would change.

use std::path::PathBuf;

use longshore_shared::config::Config;
use serde::Serialize;

use super::{
    Fleet,
    changes::{self, Change, changes},
    text_of,
};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to compare with what is pushed, or with the local file where nothing is [default: the
    /// local file]
    file: Option<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What would change.
#[derive(Debug, Serialize)]
struct Comparison {
    now: String,
    then: String,
    changes: Vec<Change>,
}

/// Compares and prints.
pub(super) fn run(arguments: &Arguments, fleet: &Fleet) -> Result<Done, CommandError> {
    let (then, new) = match &arguments.file {
        Some(path) => {
            let new = fleet
                .own
                .with_fleet_file(&fleet.env, path, &text_of(path)?)?;
            (path.display().to_string(), new)
        }
        None => (own(&fleet.own), fleet.own.clone()),
    };
    for warning in &new.warnings {
        output::note(format_args!("Warning: {warning}"));
    }
    let comparison = Comparison {
        now: fleet.source(),
        changes: changes(&fleet.now(), &new),
        then,
    };
    match arguments.format {
        Format::Json => output::json(&comparison),
        Format::Text => output::line(text(&comparison)),
    }
    Ok(if comparison.changes.is_empty() {
        Done::Success
    } else {
        Done::Failure
    })
}

fn own(config: &Config) -> String {
    match &config.source {
        Some(path) => path.display().to_string(),
        None => "the defaults and the environment".to_owned(),
    }
}

fn text(comparison: &Comparison) -> String {
    let Comparison { now, then, changes } = comparison;
    if changes.is_empty() {
        return format!("Nothing would change from {now} to {then}.");
    }
    format!("From {now} to {then}:\n\n{}", changes::text(changes))
}
