//! Not written yet.

use crate::{error::{CommandError, Done}, session::Session};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_arguments: Arguments, _session: &Session) -> Result<Done, CommandError> {
    Ok(Done::Success)
}
