//! Waits for a batch and writes what came of it; `longshore batch wait`.

use std::path::PathBuf;

use longshore_shared::{broker::Broker, chain::ChainId};

use super::{
    collect::{Collector, known},
    place,
    report::{Report, tasks},
};
use crate::{
    commands::submit::{money::dollars, save::OutputFile},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The batch
    #[arg(value_name = "ID", value_parser = ChainId::parse)]
    id: ChainId,
    /// Write the results as JSON to this file, or to a new file in this folder
    #[arg(long, short, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let file = opened(arguments.output)?;
    let broker = session.broker().await?;
    known(&broker, &arguments.id).await?;
    wait(&arguments.id, file, arguments.format, session, &broker).await
}

/// The file of `--output`, before any money is spent.
pub(super) fn opened(path: Option<PathBuf>) -> Result<Option<OutputFile>, CommandError> {
    path.map(|path| OutputFile::open(&place::resolved(path)))
        .transpose()
}

/// Waits until all tasks have ended, and tells how.
pub(super) async fn wait(
    id: &ChainId,
    file: Option<OutputFile>,
    format: Format,
    session: &Session,
    broker: &Broker,
) -> Result<Done, CommandError> {
    let mut collector = Collector::new(session, broker, id)?;
    let took = tokio::select! {
        done = collector.run() => done.map(Some),
        // If it cannot be heard, the program simply ends with it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(None),
    };
    collector.clear();
    let Some(took) = took? else {
        let tally = collector.tally();
        output::note(format_args!(
            "Stopped waiting: {} of {} done, {} spent. The rest goes on without you: `longshore batch wait {id}`; the \
             cost of all: `longshore costs --chain-id {id}`",
            tally.done,
            tasks(tally.total),
            dollars(tally.cost),
        ));
        return Ok(Done::Interrupted);
    };
    finish(&collector.into_report(took)?, file, format)
}

fn finish(report: &Report, file: Option<OutputFile>, format: Format) -> Result<Done, CommandError> {
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(report)?;
    }
    match format {
        Format::Text => output::line(report.text(saved.as_deref())),
        Format::Json => {
            output::json(report);
            if let Some(saved) = saved {
                output::note(format_args!("Results saved to: {}", saved.display()));
            }
        }
    }
    Ok(if report.failed() == 0 {
        Done::Success
    } else {
        Done::Failure
    })
}
