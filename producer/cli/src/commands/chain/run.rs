//! `longshore chain run`: enqueues a chain and waits for it to end.

use std::path::PathBuf;

use longshore_client::{ChainId, ChainReceipt, Client};
use longshore_protocol::id::DEFAULT_QUEUE;
use serde_json::json;

use super::{
    input::{self, Written},
    reader::ChainReader,
    wait::print_end,
    watch::watch_chain,
};
use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, Format},
    result_file::OutputFile,
    session::Session,
    waiting::warn_if_unread,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Chain document, JSON or YAML; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Id of the chain; starting the same chain twice with one id runs it once, and the second
    /// command waits for it
    #[arg(long, value_parser = ChainId::parse)]
    id: Option<ChainId>,
    /// Queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Do not wait for the chain to end
    #[arg(long)]
    detach: bool,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    // Check the whole document before enqueuing it.
    let queue = options::queue(&arguments.queue)?;
    let chain =
        input::read_document(&arguments.file)?.check(arguments.id.as_ref(), &session.config)?;
    let file = arguments
        .output
        .as_deref()
        .map(OutputFile::open)
        .transpose()?;

    let client = session.client().await?.queue(queue);
    if arguments.detach {
        warn_if_unread(client.broker(), client.queue_name()).await;
    }
    let receipt = client.enqueue_chain(&chain).await?;
    if receipt.entry_id.is_none() {
        output::note("This chain was started before; showing its current state.");
    }
    if arguments.detach {
        print_detached(&receipt.id, arguments.format);
        return Ok(Exit::Success);
    }
    wait_and_print(receipt, client, session, file, arguments.format).await
}

/// Enqueues a document built by another command and waits for the chain to end.
pub(in crate::commands) async fn enqueue_and_wait(
    json: String,
    client: Client,
    session: &Session,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Exit, CommandError> {
    let chain = Written::from_json(json).check(None, &session.config)?;
    let receipt = client.enqueue_chain(&chain).await?;
    wait_and_print(receipt, client, session, file, format).await
}

async fn wait_and_print(
    receipt: ChainReceipt,
    client: Client,
    session: &Session,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Exit, CommandError> {
    output::note(format_args!("Chain: {}", receipt.id));
    let mut reader = ChainReader::new(client, session, receipt.id.clone()).await;
    let waited = Box::pin(watch_chain(&mut reader, Some(receipt), None)).await?;
    print_end(waited, &reader, file, format).await
}

fn print_detached(id: &ChainId, format: Format) {
    format.print_with(&json!({"id": id, "chain_id": id}), || {
        format!(
            "Chain: {id}\n\nThe chain runs in the background. Check it with `longshore chain show {id}`, wait for it with \
             `longshore chain wait {id}`"
        )
    });
}
