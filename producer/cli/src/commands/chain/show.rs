//! `longshore chain show`: a chain as it stands; and how one is told of that has ended.

use chrono::Utc;
use longshore_shared::chain::{ChainId, ChainState};

use super::{
    look::{Chain, Looker},
    nowhere,
    report::{self, Output, Outputs, Report},
    tree,
    watch::Waited,
};
use crate::{
    commands::{submit::save::OutputFile, words},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Characters of an answer that people are shown.
const ANSWER: usize = 2000;

/// Items of a step whose answers they are shown.
const ITEMS: usize = 3;

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

/// Looks once, and prints.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let mut looker = Looker::new(session.broker().await?, session, arguments.id).await;
    let Some(chain) = looker.look().await? else {
        output::complain(&nowhere(looker.id(), looker.no_record()));
        return Ok(Done::Failure);
    };
    if let Some(why) = looker.no_record() {
        output::note(format_args!(
            "Warning: times and costs of steps are not known; the record could not be asked: {why}"
        ));
    }
    let now = Utc::now();
    match arguments.format {
        Format::Text => output::line(tree::text(&chain, now)),
        Format::Json => output::json(&Report::new(&chain, None, now)),
    }
    Ok(Done::Success)
}

/// Tells how the waiting for a chain ended.
pub(super) async fn ended(
    waited: Waited,
    looker: &Looker,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Done, CommandError> {
    let id = looker.id();
    match waited {
        Waited::Ended(chain) => tell(&chain, looker, file, format).await,
        Waited::Refused(why) => {
            output::complain(&format_args!("the chain did not begin: {why}"));
            Ok(Done::Failure)
        }
        Waited::Unknown => {
            output::complain(&nowhere(id, looker.no_record()));
            Ok(Done::Failure)
        }
        Waited::TooLong => {
            output::note(format_args!(
                "Chain {id} has not ended; it goes on. Wait again, or look at it with `longshore chain show {id}`"
            ));
            Ok(Done::Failure)
        }
        Waited::Interrupted => {
            output::note(format_args!(
                "Stopped waiting. The chain goes on without you: look at it with `longshore chain show {id}`, wait \
                 with `longshore chain wait {id}`, stop it with `longshore chain cancel {id}`"
            ));
            Ok(Done::Interrupted)
        }
    }
}

async fn tell(
    chain: &Chain,
    looker: &Looker,
    file: Option<OutputFile>,
    format: Format,
) -> Result<Done, CommandError> {
    let outputs = report::outputs(chain, looker.broker()).await?;
    let now = Utc::now();
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(&Report::new(chain, Some(outputs.clone()), now))?;
    }
    match format {
        Format::Text => {
            output::line(tree::text(chain, now));
            output::line(answers(chain, &outputs));
        }
        Format::Json => output::json(&Report::new(chain, Some(outputs), now)),
    }
    if let Some(saved) = saved {
        output::note(format_args!("Result saved to: {}", saved.display()));
    }
    Ok(if chain.state() == ChainState::Completed {
        Done::Success
    } else {
        Done::Failure
    })
}

/// The heads of the last steps' answers, and what to do with a chain that failed.
fn answers(chain: &Chain, outputs: &Outputs) -> String {
    let mut parts = Vec::new();
    for (step, output) in outputs {
        let texts = match output {
            Output::One(text) => vec![text.as_ref()],
            Output::Items(texts) => texts.iter().map(Option::as_ref).collect(),
        };
        for (index, text) in texts.iter().enumerate().take(ITEMS) {
            let name = match output {
                Output::One(_) => step.to_string(),
                Output::Items(_) => format!("{step}/{index}"),
            };
            if let Some(text) = text {
                parts.push(format!("\n--- {name} ---\n{}", answer(text)));
            }
        }
        if texts.len() > ITEMS {
            let more = words::many(texts.len() - ITEMS, "more item");
            parts.push(format!("\n… and {more} of `{step}`"));
        }
    }
    if chain.state() == ChainState::Failed {
        let id = &chain.record.chain_id;
        parts.push(format!(
            "\nGo on from what failed with `longshore chain retry {id}`"
        ));
    }
    parts.join("\n")
}

fn answer(text: &str) -> String {
    let mut chars = text.chars();
    let mut head: String = chars.by_ref().take(ANSWER).collect();
    if chars.next().is_some() {
        head.push('…');
    }
    words::harmless(&head)
}

#[cfg(test)]
mod tests {
    use longshore_shared::chain::StepName;

    use super::*;
    use crate::commands::chain::tree::tests::report;

    #[test]
    fn people_read_the_last_answers() {
        let name = |text: &str| StepName::parse(text).unwrap();
        let item = |n: u32| Some(format!("city {n}"));
        let outputs = Outputs::from([
            (name("check"), Output::One(Some("All is well.".to_owned()))),
            (
                name("each"),
                Output::Items(vec![item(0), None, item(2), item(3), item(4)]),
            ),
        ]);
        insta::assert_snapshot!(answers(&report(ChainState::Failed), &outputs).trim_start(), @"
        --- check ---
        All is well.

        --- each/0 ---
        city 0

        --- each/2 ---
        city 2

        … and 2 more items of `each`

        Go on from what failed with `longshore chain retry report-7`
        ");
    }
}
