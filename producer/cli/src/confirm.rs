//! Questions before what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::CommandError;

/// Whether a command may do what it found.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Consent {
    /// Only show which ones
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Consent {
    /// Fails if `command` would have to ask and cannot, before anything is read.
    pub(crate) fn check(self, command: &str) -> Result<(), CommandError> {
        if self.yes || self.dry_run || can_ask() {
            return Ok(());
        }
        Err(CommandError::Input(format!(
            "`{command}` asks before it starts, and there is no terminal to ask at: add --yes (--dry-run shows what it \
             would take)"
        )))
    }
}

/// Whether there is a terminal to ask at.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal; every answer but yes is no.
pub(crate) fn ask(question: &str) -> Result<bool, CommandError> {
    let mut stderr = io::stderr();
    let mut answer = String::new();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(CommandError::io("the answer cannot be read"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
