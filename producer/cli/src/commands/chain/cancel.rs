//! `longshore chain cancel`: cancels a chain.

use longshore_client::{ChainCancelled, ChainId};
use serde_json::json;

use super::{reader::ChainReader, unknown_chain};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Chain id
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let id = arguments.id;
    let (result, text) = match client.cancel_chain(&id).await? {
        ChainCancelled::Asked => (
            "asked",
            format!("{id}: cancellation requested; running steps stop now and no more steps start"),
        ),
        ChainCancelled::Ended | ChainCancelled::Unknown => {
            let mut reader = ChainReader::new(client, session, id.clone()).await;
            match reader.read().await? {
                Some(chain) => ("ended", format!("{id}: already ended: {}", chain.state())),
                None => ("unknown", unknown_chain(&id, reader.ledger_error())),
            }
        }
    };
    match arguments.format {
        Format::Text if result == "unknown" => output::error(&text),
        Format::Text => output::line(&text),
        Format::Json => output::json(&json!({"chain_id": id, "result": result, "text": text})),
    }
    Ok(Exit::success_if(result == "asked"))
}
