//! `longshore chain cancel` and `longshore batch cancel`: cancel a chain or a batch.

use longshore_client::{ChainCancelled, ChainId};
use longshore_protocol::chain::ChainKind;
use serde_json::json;

use super::{reader::ChainReader, unknown_chain};
use crate::{
    audit,
    error::{CommandError, Exit},
    output::{self, Format},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    /// Id of the chain or batch
    #[arg(value_name = "ID", value_parser = ChainId::parse_any)]
    id: ChainId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(in crate::commands) async fn run(
    arguments: Arguments,
    kind: ChainKind,
    session: &Session,
) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let id = arguments.id;
    let (result, text) = match client.cancel_chain(&id).await? {
        ChainCancelled::Asked => (
            "asked",
            match kind {
                ChainKind::Chain => format!(
                    "{id}: cancellation requested; running steps stop now and no more steps start"
                ),
                ChainKind::Batch => format!(
                    "{id}: cancellation requested; running tasks stop now and no more tasks start"
                ),
            },
        ),
        ChainCancelled::Ended | ChainCancelled::Unknown => {
            let mut reader = ChainReader::new(client, session, id.clone()).await;
            match reader.read().await? {
                Some(chain) => ("ended", format!("{id}: already ended: {}", chain.state())),
                None => ("unknown", unknown_chain(kind, &id, reader.ledger_error())),
            }
        }
    };
    match arguments.format {
        Format::Text if result == "unknown" => output::error(&text),
        Format::Text => output::line(&text),
        Format::Json => {
            output::json(&json!({"id": id, "chain_id": id, "result": result, "text": text}));
        }
    }
    audit::add_affected(usize::from(result == "asked"));
    Ok(Exit::success_if(result == "asked"))
}
