//! `longshore batch wait`: waits for a batch and writes its results.

use std::time::Duration;

use longshore_client::{ChainId, Client};

use super::{
    collect::{Collected, Collector},
    destination::{self, Destination},
    known_batch, task_count,
};
use crate::{
    error::{CommandError, Exit},
    output,
    render::money::dollars,
    session::Session,
    waiting::until_interrupted,
};

/// How long a reader may take for the results that were collected before the user stopped waiting.
const LAST_WRITES: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Batch id
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    #[command(flatten)]
    output: destination::Options,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let destination = arguments.output.open()?;
    let client = session.client().await?;
    known_batch(&client, &arguments.id).await?;
    wait(&arguments.id, destination, session, &client).await
}

/// Waits until all tasks have ended, and writes their results.
pub(super) async fn wait(
    id: &ChainId,
    destination: Destination,
    session: &Session,
    client: &Client,
) -> Result<Exit, CommandError> {
    let mut collector = Collector::new(session, client, id, destination)?;
    let collected = until_interrupted(Box::pin(collector.run()))
        .await
        .transpose();
    collector.clear();
    let Some(Collected::All(state, took)) = collected? else {
        return stop_waiting(id, collector).await;
    };
    let Some(reported) = until_interrupted(collector.report(state, took)).await else {
        // A reader of stdout does not read.
        return Ok(Exit::Interrupted);
    };
    let (report, writer) = reported?;
    writer.print(&report)?;
    Ok(Exit::success_if(report.failed() == 0))
}

async fn stop_waiting(id: &ChainId, collector: Collector<'_>) -> Result<Exit, CommandError> {
    let tally = collector.tally();
    if let Ok(written) = tokio::time::timeout(LAST_WRITES, collector.write_rest()).await {
        written?;
    }
    output::note(format_args!(
        "Stopped waiting: {} of {} done, {} spent. The rest keeps running: wait with `longshore batch wait {id}`, see \
         the total cost with `longshore costs --chain-id {id}`",
        tally.done,
        task_count(tally.total),
        dollars(tally.cost),
    ));
    Ok(Exit::Interrupted)
}
