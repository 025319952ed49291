//! `longshore chain retry` and `longshore batch retry`: run what failed in a chain or a batch again.

use chrono::{DateTime, Utc};
use longshore_client::{ChainId, ChainRetried, JobId};
use longshore_protocol::{chain::ChainKind, event::DeadLetterResolution};
use serde_json::json;

use super::{reader::ChainReader, unknown_chain};
use crate::{
    audit,
    error::{CommandError, Exit},
    output::{self, Format},
    render::text::counted,
    session::Session,
};

/// Dead letters per query.
const CHUNK: usize = 500;

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
    let retry = client.retry_chain(&id).await?;
    let (result, again, text) = match retry.result {
        ChainRetried::Again(again) => {
            record_replays(&retry.replayed, session).await;
            let failed = match kind {
                ChainKind::Chain => {
                    counted(again, "failed step or item").replace("step or items", "steps or items")
                }
                ChainKind::Batch => counted(again, "failed task"),
            };
            let text =
                format!("{id}: retrying {failed}. Wait for it with `longshore {kind} wait {id}`");
            ("again", again, text)
        }
        ChainRetried::Running => (
            "running",
            0,
            format!("{id}: still running; only a {kind} that has ended can be retried"),
        ),
        ChainRetried::Nothing => (
            "nothing",
            0,
            format!("{id}: nothing failed, so there is nothing to retry"),
        ),
        ChainRetried::Unknown => {
            let mut reader = ChainReader::new(client, session, id.clone()).await;
            let text = match reader.read().await? {
                Some(chain) => format!(
                    "{id}: {}, but no longer in Redis; start it again",
                    chain.state()
                ),
                None => unknown_chain(kind, &id, reader.ledger_error()),
            };
            ("unknown", 0, text)
        }
    };
    match arguments.format {
        Format::Text if result == "unknown" => output::error(&text),
        Format::Text => output::line(&text),
        Format::Json => {
            output::json(
                &json!({"id": id, "chain_id": id, "result": result, "again": again, "text": text}),
            );
        }
    }
    audit::add_affected(usize::try_from(again).unwrap_or(usize::MAX));
    Ok(Exit::success_if(result == "again"))
}

/// Records in Postgres that the dead letters were replayed. A failure is only a warning, because the chain
/// itself needs only Redis.
async fn record_replays(replayed: &[(JobId, DateTime<Utc>)], session: &Session) {
    let recording = async {
        let ledger = session.ledger().await?;
        for chunk in replayed.chunks(CHUNK) {
            ledger
                .resolve_dead_letters(chunk, DeadLetterResolution::Replayed)
                .await?;
        }
        Ok::<_, CommandError>(())
    };
    if replayed.is_empty() {
        return;
    }
    if let Err(error) = recording.await {
        output::warning(format_args!(
            "{} replayed, but not recorded in Postgres: {}",
            counted(replayed.len(), "dead letter"),
            error.first_line()
        ));
    }
}
