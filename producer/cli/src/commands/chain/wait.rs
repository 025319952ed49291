//! `longshore chain wait`: waits until a chain has ended.

use std::time::Duration;

use longshore_shared::chain::ChainId;

use super::{look::Looker, show, watch::wait};
use crate::{
    error::{CommandError, Done},
    output::Format,
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The chain
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Waits, and tells how it ended.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let mut looker = Looker::new(session.broker().await?, session, arguments.id).await;
    let timeout = arguments.timeout.map(Duration::from_secs);
    let waited = Box::pin(wait(&mut looker, None, timeout)).await?;
    show::ended(waited, &looker, None, arguments.format).await
}
