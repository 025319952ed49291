//! `longshore chain show`: shows the steps of a chain as a tree, with states, times and costs.

use longshore_client::ChainId;
use longshore_protocol::clock::local_time;

use super::{
    read_chain,
    reader::ChainReader,
    report::{Report, read_outcome},
    tree::chain_tree,
};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Chain id
    #[arg(value_name = "ID", value_parser = ChainId::parse_any)]
    id: ChainId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    show(arguments.id, arguments.format, session).await
}

/// Shows a chain; exit code 1 if there is none of this id.
pub(in crate::commands) async fn show(
    id: ChainId,
    format: Format,
    session: &Session,
) -> Result<Exit, CommandError> {
    let mut reader = ChainReader::new(session.client().await?, session, id).await;
    let Some(chain) = read_chain(&mut reader).await? else {
        return Ok(Exit::Failure);
    };
    if let Some(error) = reader.ledger_error() {
        output::warning(format_args!(
            "times and costs of steps are unknown; Postgres query failed: {error}"
        ));
    }
    let now = local_time();
    let outcome = read_outcome(&chain, reader.client(), now).await?;
    format.print_with(&Report::new(&chain, &outcome), || chain_tree(&chain, now));
    Ok(Exit::Success)
}
