//! `longshore review edit`.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use longshore_client::JobId;
use longshore_protocol::review::ReviewState;

use super::{
    Found,
    decide::{Who, decide, report},
    find, review_id,
};
use crate::{
    editor::edit_text,
    error::{CommandError, Exit},
    input::read_text_or_stdin,
    output::Format,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of the review
    #[arg(value_parser = review_id)]
    id: JobId,
    /// The text that replaces the artefact; `-` reads stdin. Without it: stdin if that is no terminal, else $VISUAL or
    /// $EDITOR
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let id = &arguments.id;
    let text = match (&arguments.file, find(&broker, session, id).await?) {
        (Some(file), _) => read_text_or_stdin(file)?,
        (None, _) if !io::stdin().is_terminal() => read_text_or_stdin(Path::new("-"))?,
        (None, Found::Open(review)) => {
            let artefact = review.artefact.unwrap_or_default();
            let (text, _) = edit_text(&artefact, ".txt", "or use --file FILE").await?;
            text
        }
        // There is nothing to edit; the decision below says why.
        (None, _) => String::new(),
    };
    let state = ReviewState::Edited;
    let decision = arguments.who.decision(state, Some(text), &broker, session);
    let decided = decide(id, decision.await?, &broker, session).await?;
    Ok(report(vec![decided], arguments.format))
}
