//! `longshore show`: shows a job, a step, a chain or a batch.

use longshore_client::{ChainId, Client, JobId};
use longshore_protocol::chain::ChainKind;

use super::{batch, chain, jobs};
use crate::{
    error::{CommandError, Exit},
    output::TableOutput,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Id of a job, step, chain or batch
    id: String,
    #[command(flatten)]
    output: TableOutput,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments { id, output } = arguments;
    let client = session.client().await?;
    if let Ok(chain_id) = ChainId::parse_any(&id) {
        match kind(&chain_id, &client, session).await? {
            Some(ChainKind::Chain) => return chain::show(chain_id, output.format, session).await,
            Some(ChainKind::Batch) => return batch::show(chain_id, output.format, session).await,
            None => {}
        }
    }
    let id = JobId::parse(&id).map_err(|error| CommandError::Input(error.to_string()))?;
    jobs::show(id, output, &client, session).await
}

/// Whether the id is that of a chain or of a batch, in Redis or in Postgres.
async fn kind(
    id: &ChainId,
    client: &Client,
    session: &Session,
) -> Result<Option<ChainKind>, CommandError> {
    let found = client.broker().chains().kind(id).await?;
    if found.is_some() {
        return Ok(found);
    }
    // Without Postgres, the id counts as that of a job, whose command reports the error.
    let Ok(ledger) = session.ledger().await else {
        return Ok(None);
    };
    let recorded = ledger.chain(id).await.ok().flatten();
    Ok(recorded.map(|row| row.chain.kind))
}
