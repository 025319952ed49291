//! `longshore chain cancel`: stops a chain.

use longshore_shared::{broker::ChainCancelled, chain::ChainId};
use serde_json::json;

use super::{look::Looker, nowhere};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The chain
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Asks, and says what became of it.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let id = arguments.id;
    let (result, text) = match broker.cancel_chain(&id).await? {
        ChainCancelled::Asked => (
            "asked",
            format!("{id}: asked; what runs is dropped now, and nothing more is started"),
        ),
        ChainCancelled::Ended | ChainCancelled::Unknown => {
            let mut looker = Looker::new(broker, session, id.clone()).await;
            match looker.look().await? {
                Some(chain) => (
                    "ended",
                    format!("{id}: has ended already: {}", chain.state()),
                ),
                None => ("unknown", nowhere(&id, looker.no_record())),
            }
        }
    };
    match arguments.format {
        Format::Text if result == "unknown" => output::complain(&text),
        Format::Text => output::line(&text),
        Format::Json => output::json(&json!({"chain_id": id, "result": result, "text": text})),
    }
    Ok(if result == "asked" {
        Done::Success
    } else {
        Done::Failure
    })
}
