//! `longshore config push`: gives a file to every running service.

use std::path::{Path, PathBuf};

use longshore_broker::Pushed;
use longshore_config::refuse_secrets;

use super::{
    Fleet,
    changes::{self, changes},
    text_of,
};
use crate::{
    commands::ask,
    error::{CommandError, Done},
    output,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to push; every key in it must be the name of a variable, as in ${NAME}
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    file: Option<PathBuf>,
    /// Take what is pushed away: each service goes by its own file again
    #[arg(long)]
    clear: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Checks, asks, pushes.
pub(super) async fn run(arguments: Arguments, fleet: &Fleet) -> Result<Done, CommandError> {
    match &arguments.file {
        Some(path) => push(path, arguments.yes, fleet).await,
        None => clear(arguments.yes, fleet).await,
    }
}

async fn push(path: &Path, sure: bool, fleet: &Fleet) -> Result<Done, CommandError> {
    let text = text_of(path)?;
    refuse_secrets(path, &text)?;
    let new = fleet.own.with_fleet_file(&fleet.env, path, &text)?;
    if text.trim().is_empty() {
        return Err(CommandError::Input(format!(
            "{} is empty; to take away what is pushed: `longshore config push --clear`",
            path.display()
        )));
    }
    for warning in &new.warnings {
        output::note(format_args!("Warning: {warning}"));
    }
    if let Some(Pushed { version, .. }) = fleet.pushed.as_ref().filter(|old| old.text == text) {
        output::line(format_args!(
            "The fleet has it already, as version {version}."
        ));
        return Ok(Done::Success);
    }
    let changes = changes(&fleet.now(), &new);
    if changes.is_empty() {
        output::note("Nothing would change here; elsewhere it stands in the place of each file.");
    } else {
        output::note(changes::text(&changes));
    }
    if !confirmed(sure, "Push this to every running service?")? {
        return Ok(Done::Failure);
    }
    let version = fleet.broker.push_config(&text).await?;
    output::line(format_args!(
        "Pushed as version {version}; every running service takes it within 2 s."
    ));
    Ok(Done::Success)
}

async fn clear(sure: bool, fleet: &Fleet) -> Result<Done, CommandError> {
    let Some(pushed) = &fleet.pushed else {
        output::line("Nothing is pushed.");
        return Ok(Done::Success);
    };
    let question = format!(
        "Take version {} away, so that each service goes by its own file?",
        pushed.version
    );
    if !confirmed(sure, &question)? {
        return Ok(Done::Failure);
    }
    fleet.broker.clear_config().await?;
    output::line(format_args!(
        "Version {} is taken away; every running service goes by its own file within 2 s.",
        pushed.version
    ));
    Ok(Done::Success)
}

fn confirmed(sure: bool, question: &str) -> Result<bool, CommandError> {
    if sure {
        return Ok(true);
    }
    if !ask::possible() {
        return Err(CommandError::Input(
            "`longshore config push` asks before it pushes, and there is no terminal to ask at: add \
             --yes (`longshore config diff` shows what would change)"
                .to_owned(),
        ));
    }
    let yes = ask::yes(question)?;
    if !yes {
        output::note("Nothing was pushed.");
    }
    Ok(yes)
}
