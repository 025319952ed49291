//! `longshore chain run`: one command into the queue, then the chain goes on whatever becomes of its producer.

use std::path::PathBuf;

use longshore_client::QueueName;
use longshore_shared::{
    broker::Broker,
    chain::{self, ChainId},
    config::Config,
    envelope::RawMessage,
};
use serde_json::json;

use super::{
    input::{self, Prepared},
    look::Looker,
    show,
    watch::{Message, wait},
};
use crate::{
    commands::submit::{queue, save::OutputFile},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The chain's document, JSON or YAML; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An id of your own: the same chain begun twice with it runs once, and the second command waits for the first
    #[arg(long, value_parser = ChainId::parse)]
    id: Option<ChainId>,
    /// The queue
    #[arg(long, value_name = "NAME", default_value = longshore_shared::id::DEFAULT_QUEUE)]
    queue: String,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Begins and waits.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    // Nothing is put in before all of it is known to be right.
    let queue = queue(&arguments.queue)?;
    let text = input::read(&arguments.file)?;
    let prepared = input::prepare(text, arguments.id.as_ref(), &session.config)
        .map_err(|faults| CommandError::Input(told(&arguments.file, &faults)))?;
    let file = arguments
        .output
        .as_deref()
        .map(OutputFile::open)
        .transpose()?;

    let broker = session.broker().await?;
    let known = attaches(&prepared, &broker, &session.config).await?;
    let (id, message) = if let Some(id) = prepared.document.id.clone().filter(|_| known) {
        output::note("This chain was begun before; this is how it stands.");
        (id, None)
    } else {
        let (id, message) = put_in(prepared, &queue, &broker).await?;
        (id, Some(message))
    };
    if arguments.detach {
        tell(&id, arguments.format);
        return Ok(Done::Success);
    }
    follow(id, message, broker, session, file, arguments.format).await
}

/// Begins a chain that another command has made, and waits for its end.
pub(in crate::commands) async fn put_in_and_wait(
    text: String,
    queue: &QueueName,
    broker: Broker,
    session: &Session,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Done, CommandError> {
    let prepared = input::prepare(text, None, &session.config).map_err(CommandError::Input)?;
    let (id, message) = put_in(prepared, queue, &broker).await?;
    follow(id, Some(message), broker, session, file, format).await
}

async fn put_in(
    prepared: Prepared,
    queue: &QueueName,
    broker: &Broker,
) -> Result<(ChainId, Message), CommandError> {
    let fields = vec![(b"chain".to_vec(), prepared.text.into_bytes())];
    let place = broker.enqueue(queue, &RawMessage { fields }).await?;
    let id = prepared
        .document
        .id
        .unwrap_or_else(|| ChainId::of_place(&place));
    let queue = queue.clone();
    Ok((id, Message { place, queue }))
}

async fn follow(
    id: ChainId,
    message: Option<Message>,
    broker: Broker,
    session: &Session,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Done, CommandError> {
    output::note(format_args!("Chain: {id}"));
    let mut looker = Looker::new(broker, session, id).await;
    let waited = Box::pin(wait(&mut looker, message, None)).await?;
    show::ended(waited, &looker, file, format).await
}

/// Each fault with the file that it is in.
fn told(file: &std::path::Path, faults: &str) -> String {
    let name = if file.as_os_str() == "-" {
        "stdin".into()
    } else {
        file.display().to_string()
    };
    let lines: Vec<String> = faults
        .lines()
        .map(|fault| format!("{name}: {fault}"))
        .collect();
    lines.join("\n")
}

/// Whether the same chain was begun before under the id.
async fn attaches(
    prepared: &Prepared,
    broker: &Broker,
    config: &Config,
) -> Result<bool, CommandError> {
    let Some(id) = &prepared.document.id else {
        return Ok(false);
    };
    if broker.chain_state(id).await?.is_none() {
        return Ok(false);
    }
    let document = broker.chain_doc(id).await?;
    let before = document.and_then(|text| chain::parse(&text, &config.limits).ok());
    if before.is_some_and(|before| before.hash() == prepared.document.hash()) {
        Ok(true)
    } else {
        Err(CommandError::Input(format!(
            "id `{id}` belongs to another chain, which has other content; use another id, or none. Look at it with \
             `longshore chain show {id}`"
        )))
    }
}

fn tell(id: &ChainId, format: Format) {
    match format {
        Format::Text => output::line(format_args!(
            "Chain: {id}\n\nIt runs without you. Look at it with `longshore chain show {id}`, wait for it with \
             `longshore chain wait {id}`"
        )),
        Format::Json => output::json(&json!({ "chain_id": id })),
    }
}
