//! `longshore chain retry`: goes on with a chain that ended, from the steps that failed.

use longshore_broker::{Broker, ChainRetried};
use longshore_protocol::{
    chain::ChainId, dead_letter::Replaying, envelope::Limits, event::DeadResolution, id::JobId,
};
use serde_json::json;

use super::{look::Looker, nowhere};
use crate::{
    commands::{jobs::first_line, words::many},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Letters that are read at once.
const CHUNK: usize = 500;

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
    let failed = broker.chain_failed(&id).await?;
    let (letters, replaying) = letters(&failed, &session.config.limits, &broker).await?;
    let (result, again, text) = match broker.retry_chain(&id, &replaying).await? {
        ChainRetried::Again(again) => {
            record(&letters, session).await;
            let steps = many(again, "step or item");
            let text = format!(
                "{id}: goes on; {} again. Wait for it with `longshore chain wait {id}`",
                steps.replace("step or items", "steps or items")
            );
            ("again", again, text)
        }
        ChainRetried::Running => (
            "running",
            0,
            format!("{id}: has not ended; there is nothing to go on with yet"),
        ),
        ChainRetried::Nothing => ("nothing", 0, format!("{id}: nothing of it failed")),
        ChainRetried::Unknown => {
            let mut looker = Looker::new(broker, session, id.clone()).await;
            let text = match looker.look().await? {
                Some(chain) => format!(
                    "{id}: {}, and kept no longer: begin it anew with `longshore chain run`",
                    chain.state()
                ),
                None => nowhere(&id, looker.no_record()),
            };
            ("unknown", 0, text)
        }
    };
    match arguments.format {
        Format::Text if result == "unknown" => output::complain(&text),
        Format::Text => output::line(&text),
        Format::Json => {
            output::json(&json!({"chain_id": id, "result": result, "again": again, "text": text}));
        }
    }
    Ok(if result == "again" {
        Done::Success
    } else {
        Done::Failure
    })
}

/// A dead letter in the record: its id, and when it died.
type Key = (JobId, chrono::DateTime<chrono::Utc>);

/// The dead letters of what failed. They leave Redis when it runs again.
async fn letters(
    failed: &[JobId],
    limits: &Limits,
    broker: &Broker,
) -> Result<(Vec<Key>, Vec<Replaying>), CommandError> {
    let (mut keys, mut replaying) = (Vec::new(), Vec::new());
    for id in failed {
        if let Some(standing) = broker.dead_letter(id.as_str()).await? {
            replaying.extend(Replaying::new(&standing, limits, chrono::Utc::now()));
            keys.push((standing.1.record.id, standing.1.record.at));
        }
    }
    Ok((keys, replaying))
}

/// Tells the record what became of them, as well as it can be told: the chain itself needs only Redis.
async fn record(letters: &[Key], session: &Session) {
    let told = async {
        let ledger = session.ledger().await?;
        for chunk in letters.chunks(CHUNK) {
            ledger.resolve_dead_letters(chunk, DeadResolution::Replayed).await?;
        }
        Ok::<_, CommandError>(())
    };
    if letters.is_empty() {
        return;
    }
    if let Err(error) = told.await {
        output::note(format_args!(
            "Warning: the record does not know that {} went back: {}",
            many(letters.len(), "dead letter"),
            first_line(&error)
        ));
    }
}
