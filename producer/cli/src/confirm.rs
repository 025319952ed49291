//! Confirmation before actions that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::CommandError;

/// Options of commands that ask for confirmation.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Consent {
    /// Show what the command would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Consent {
    /// Fails if `command` needs confirmation and there is no terminal to ask.
    pub(crate) fn check(self, command: &str) -> Result<(), CommandError> {
        if self.yes || self.dry_run || can_ask() {
            return Ok(());
        }
        Err(CommandError::Input(format!(
            "`{command}` needs confirmation, but there is no terminal to ask; add --yes (--dry-run shows what it would \
             affect)"
        )))
    }

    /// Whether to proceed: with `--yes`, if nothing was found, or if the user confirms.
    pub(crate) fn given(
        self,
        found: usize,
        question: impl FnOnce(usize) -> String,
    ) -> Result<bool, CommandError> {
        Ok(self.yes || found == 0 || ask(&question(found))?)
    }
}

/// Whether there is a terminal to ask.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal; any answer except yes is no.
pub(crate) fn ask(question: &str) -> Result<bool, CommandError> {
    let mut stderr = io::stderr();
    let mut answer = String::new();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(CommandError::io("the answer cannot be read"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
