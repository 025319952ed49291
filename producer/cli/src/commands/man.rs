//! `longshore man`: writes the manual pages of all commands.

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::{
    error::{CommandError, Exit},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  longshore man ~/.local/share/man/man1 && man longshore-jobs-why")]
pub(crate) struct Arguments {
    /// The directory for the pages; it is created if it does not exist
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, CommandError> {
    let directory = &arguments.directory;
    let failed = |error| {
        CommandError::Input(format!(
            "cannot write manual pages to {}: {error}",
            directory.display()
        ))
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(crate::Arguments::command(), directory).map_err(failed)?;
    output::line(format_args!(
        "Manual pages written to {}.",
        directory.display()
    ));
    Ok(Exit::Success)
}
