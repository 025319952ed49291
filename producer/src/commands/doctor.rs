//! Not written yet.

use crate::error::{CommandError, Done};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_arguments: Arguments) -> Result<Done, CommandError> {
    Ok(Done::Success)
}
