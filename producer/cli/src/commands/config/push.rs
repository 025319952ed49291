//! `longshore config push`: pushes a file to every running service.

use std::path::{Path, PathBuf};

use longshore_broker::PushedConfig;

use super::{
    Fleet,
    changes::{change_table, config_changes},
};
use crate::{
    audit, confirm,
    error::{CommandError, Exit},
    input::{file_label, read_text_or_stdin},
    output,
    render::table::Width,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File to push; every key in it must be the name of a variable, as in ${NAME}; `-` reads stdin
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    file: Option<PathBuf>,
    /// Remove the pushed configuration; each service uses its own file again
    #[arg(long)]
    clear: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(arguments: Arguments, session: Session) -> Result<Exit, CommandError> {
    match &arguments.file {
        Some(path) => push(path, arguments.yes, session).await,
        None => clear(arguments.yes, &Fleet::read(session).await?).await,
    }
}

async fn push(path: &Path, yes_option: bool, session: Session) -> Result<Exit, CommandError> {
    let (text, label) = (read_text_or_stdin(path)?, file_label(path));
    // The file is checked before Redis is called.
    let checked = Path::new(&label);
    let new = session
        .config
        .to_push(&session.environment, checked, &text)?;
    if text.trim().is_empty() {
        return Err(CommandError::Input(format!(
            "{label} is empty; to remove the pushed configuration, run `longshore config push --clear`"
        )));
    }
    output::warnings(&new.warnings);
    let fleet = Fleet::read(session).await?;
    if let Some(PushedConfig { version, .. }) = fleet.pushed.as_ref().filter(|old| old.text == text)
    {
        output::line(format_args!("Already pushed, as version {version}."));
        return Ok(Exit::Success);
    }
    let changes = config_changes(&fleet.current(), &new);
    if changes.is_empty() {
        output::note(
            "No changes on this machine. On other machines, the pushed file replaces the local one.",
        );
    } else {
        output::note(change_table(&changes, Width::of_terminal()));
    }
    if !confirm_push(yes_option, "Push this to every running service?")? {
        return Ok(Exit::Refused);
    }
    let version = fleet.broker.fleet_config().push(&text).await?;
    audit::add_affected(1);
    output::line(format_args!(
        "Pushed as version {version}; every running service applies it within 2 s."
    ));
    Ok(Exit::Success)
}

async fn clear(yes_option: bool, fleet: &Fleet) -> Result<Exit, CommandError> {
    let Some(pushed) = &fleet.pushed else {
        output::line("No configuration is pushed.");
        return Ok(Exit::Success);
    };
    let question = format!(
        "Remove version {}, so that each service uses its own file?",
        pushed.version
    );
    if !confirm_push(yes_option, &question)? {
        return Ok(Exit::Refused);
    }
    fleet.broker.fleet_config().remove().await?;
    audit::add_affected(1);
    output::line(format_args!(
        "Removed version {}; every running service uses its own file within 2 s.",
        pushed.version
    ));
    Ok(Exit::Success)
}

fn confirm_push(yes_option: bool, question: &str) -> Result<bool, CommandError> {
    if yes_option {
        return Ok(true);
    }
    if !confirm::can_ask() {
        return Err(CommandError::Input(
            "`longshore config push` needs confirmation, but there is no terminal to ask; add --yes \
             (`longshore config diff` shows the changes)"
                .to_owned(),
        ));
    }
    let yes = confirm::ask(question)?;
    if !yes {
        output::note("Nothing was pushed.");
    }
    Ok(yes)
}
