//! `longshore config diff`: what a file would change.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    Fleet,
    changes::{Change, change_table, config_changes},
    own_source,
};
use crate::{
    error::{CommandError, Exit},
    input::{file_label, read_text_or_stdin},
    output::{self, Format},
    render::table::Width,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File to compare with the pushed configuration, or with the local file if none is pushed; `-` reads stdin
    /// [default: the local file]
    file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Comparison {
    now: String,
    then: String,
    changes: Vec<Change>,
}

pub(super) async fn run(arguments: &Arguments, session: Session) -> Result<Exit, CommandError> {
    let own = &session.config;
    // The file is checked before Redis is called.
    let (then, new) = match &arguments.file {
        Some(path) => {
            let (text, label) = (read_text_or_stdin(path)?, file_label(path));
            let new = own.with_fleet_file(&session.environment, Path::new(&label), &text)?;
            (label, new)
        }
        None => (own_source(own), own.clone()),
    };
    let fleet = Fleet::read(session).await?;
    output::warnings(&new.warnings);
    let comparison = Comparison {
        now: fleet.source(),
        changes: config_changes(&fleet.current(), &new),
        then,
    };
    arguments
        .format
        .print_with(&comparison, || describe_comparison(&comparison));
    Ok(Exit::success_if(comparison.changes.is_empty()))
}

fn describe_comparison(comparison: &Comparison) -> String {
    let Comparison { now, then, changes } = comparison;
    if changes.is_empty() {
        return format!("No differences between {now} and {then}.");
    }
    format!(
        "From {now} to {then}:\n\n{}",
        change_table(changes, Width::of_terminal())
    )
}
