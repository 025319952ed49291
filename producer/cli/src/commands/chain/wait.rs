//! `longshore chain wait`: waits for a chain to end and prints its answers.

use std::{collections::BTreeMap, time::Duration};

use longshore_client::{ChainId, ChainState, StepName, StepOutput};
use longshore_protocol::{chain::ChainKind, clock::local_time};

use super::{
    reader::{ChainReader, ChainStatus},
    report::{Report, read_outcome},
    tree::chain_tree,
    unknown_chain,
    watch::{WaitEnd, watch_chain},
};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::text::{counted, excerpt},
    result_file::OutputFile,
    session::Session,
};

/// Characters shown of an answer.
const ANSWER: usize = 2000;

/// Items shown of a step.
const ITEMS: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Chain id
    #[arg(value_name = "ID", value_parser = ChainId::parse_any)]
    id: ChainId,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let mut reader = ChainReader::new(session.client().await?, session, arguments.id).await;
    let timeout = arguments.timeout.map(Duration::from_secs);
    let waited = Box::pin(watch_chain(&mut reader, None, timeout)).await?;
    print_end(waited, &reader, None, arguments.format).await
}

/// Prints how the wait for a chain ended.
pub(super) async fn print_end(
    waited: WaitEnd,
    reader: &ChainReader,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Exit, CommandError> {
    let id = reader.id();
    match waited {
        WaitEnd::Ended(chain) => print_chain(&chain, reader, file, format).await,
        WaitEnd::Refused(reason) => {
            output::error(&format_args!("the chain did not start: {reason}"));
            Ok(Exit::Failure)
        }
        WaitEnd::Unknown => {
            output::error(&unknown_chain(ChainKind::Chain, id, reader.ledger_error()));
            Ok(Exit::Failure)
        }
        WaitEnd::TimedOut => {
            output::note(format_args!(
                "Chain {id} has not ended and keeps running. Wait again, or check it with `longshore chain show {id}`"
            ));
            Ok(Exit::Failure)
        }
        WaitEnd::Interrupted => {
            output::note(format_args!(
                "Stopped waiting. The chain keeps running: check it with `longshore chain show {id}`, wait with \
                 `longshore chain wait {id}`, cancel it with `longshore chain cancel {id}`"
            ));
            Ok(Exit::Interrupted)
        }
    }
}

async fn print_chain(
    chain: &ChainStatus,
    reader: &ChainReader,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Exit, CommandError> {
    let now = local_time();
    let outcome = read_outcome(chain, reader.client(), now).await?;
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(&Report::new(chain, &outcome))?;
    }
    match format {
        Format::Text => {
            output::line(chain_tree(chain, now));
            output::line(describe_answers(chain, &outcome.outputs));
        }
        Format::Json => output::json(&Report::new(chain, &outcome)),
    }
    if let Some(saved) = saved {
        output::note(format_args!("Result saved to: {}", saved.display()));
    }
    Ok(Exit::success_if(chain.state() == ChainState::Completed))
}

/// The start of each last step's answer, and how to retry a chain that failed.
fn describe_answers(chain: &ChainStatus, outputs: &BTreeMap<StepName, StepOutput>) -> String {
    let mut parts = Vec::new();
    for (step, output) in outputs {
        let texts = match output {
            StepOutput::One(text) => vec![text.as_ref()],
            StepOutput::Items(texts) => texts.iter().map(Option::as_ref).collect(),
        };
        for (index, text) in texts.iter().enumerate().take(ITEMS) {
            let name = match output {
                StepOutput::One(_) => step.to_string(),
                StepOutput::Items(_) => format!("{step}/{index}"),
            };
            if let Some(text) = text {
                parts.push(format!("\n--- {name} ---\n{}", excerpt(text, ANSWER)));
            }
        }
        if texts.len() > ITEMS {
            let more = counted(texts.len() - ITEMS, "more item");
            parts.push(format!("\n… and {more} of `{step}`"));
        }
    }
    if chain.state() == ChainState::Failed {
        let id = &chain.record.chain_id;
        parts.push(format!(
            "\nRun the failed steps again with `longshore chain retry {id}`"
        ));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chain::tree::tests::example_chain;

    #[test]
    fn the_text_has_the_answers_of_the_last_steps() {
        let name = |text: &str| StepName::parse(text).unwrap();
        let item = |n: u32| Some(format!("city {n}"));
        let outputs = BTreeMap::from([
            (
                name("check"),
                StepOutput::One(Some("All facts are correct.".to_owned())),
            ),
            (
                name("each"),
                StepOutput::Items(vec![item(0), None, item(2), item(3), item(4)]),
            ),
        ]);
        insta::assert_snapshot!(describe_answers(&example_chain(ChainState::Failed), &outputs).trim_start(), @"
        --- check ---
        All facts are correct.

        --- each/0 ---
        city 0

        --- each/2 ---
        city 2

        … and 2 more items of `each`

        Run the failed steps again with `longshore chain retry report-7`
        ");
    }
}
