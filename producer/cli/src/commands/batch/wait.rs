//! `longshore batch wait`: waits for a batch and writes its results.

use std::path::PathBuf;

use longshore_client::{ChainId, Client};

use super::{collect::Collector, known_batch, report::Report, task_count};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::money::dollars,
    result_file::OutputFile,
    session::Session,
    waiting::until_interrupted,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Batch id
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// Write the results as JSON to this file, or to a new file in this directory
    #[arg(long, short, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let file = open_output(arguments.output)?;
    let client = session.client().await?;
    known_batch(&client, &arguments.id).await?;
    wait(&arguments.id, file, arguments.format, session, &client).await
}

/// The file of `--output`, opened before any call costs money.
pub(super) fn open_output(path: Option<PathBuf>) -> Result<Option<OutputFile>, CommandError> {
    path.map(OutputFile::open_in).transpose()
}

/// Waits until all tasks have ended, and prints their results.
pub(super) async fn wait(
    id: &ChainId,
    file: Option<OutputFile>,
    format: Format,
    session: &Session,
    client: &Client,
) -> Result<Exit, CommandError> {
    let mut collector = Collector::new(session, client, id)?;
    let took = until_interrupted(Box::pin(collector.run()))
        .await
        .transpose();
    collector.clear();
    let Some(took) = took? else {
        let tally = collector.tally();
        output::note(format_args!(
            "Stopped waiting: {} of {} done, {} spent. The rest keeps running: wait with `longshore batch wait {id}`, see \
             the total cost with `longshore costs --chain-id {id}`",
            tally.done,
            task_count(tally.total),
            dollars(tally.cost),
        ));
        return Ok(Exit::Interrupted);
    };
    print_report(&collector.into_report(took)?, file, format)
}

fn print_report(
    report: &Report,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Exit, CommandError> {
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(report)?;
    }
    match format {
        Format::Text => output::line(report.to_text(saved.as_deref())),
        Format::Json => {
            output::json(report);
            if let Some(saved) = saved {
                output::note(format_args!("Results saved to: {}", saved.display()));
            }
        }
    }
    Ok(Exit::success_if(report.failed() == 0))
}
