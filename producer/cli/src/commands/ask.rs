//! Asking before what cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::CommandError;

/// Whether there is somebody to ask.
pub(crate) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal; nothing but a yes is one.
pub(crate) fn yes(question: &str) -> Result<bool, CommandError> {
    let unread = |source| CommandError::Io {
        what: "the answer cannot be read".to_owned(),
        source,
    };
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(unread)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unread)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
