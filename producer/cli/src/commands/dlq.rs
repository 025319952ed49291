//! `longshore dlq`: lists, edits, replays and purges dead letters.

mod bulk;
mod edit;
mod fields;
mod filter;
mod groups;
mod list;
mod message;
mod pace;
mod purge;
mod replay;
mod selection;
mod show;

use clap::Subcommand;
use longshore_broker::Broker;
use longshore_protocol::{
    dead_letter::StoredDeadLetter,
    id::{BadName, EntryId, JobId},
};

use crate::{
    error::{CommandError, Exit},
    output,
    render::{
        text::{counted, printable},
        time::{from_unix_ms, timestamp},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, newest first
    List(list::Arguments),
    /// Show a dead letter in full
    Show(show::Arguments),
    /// Change the message of a dead letter
    Edit(edit::Arguments),
    /// Enqueue dead letters again
    Replay(replay::Arguments),
    /// Remove dead letters from Redis; they stay archived in Postgres
    Purge(purge::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::Edit(arguments) => edit::run(arguments, session).await,
        Action::Replay(arguments) => replay::run(arguments, session).await,
        Action::Purge(arguments) => purge::run(arguments, session).await,
    }
}

/// Names the dead letters of a page that were left out because they cannot be parsed.
fn note_unreadable(ids: &[String]) {
    for id in ids {
        output::note(format_args!(
            "Dead letter `{}` left out: it is not as Longshore wrote it.",
            printable(id)
        ));
    }
}

/// Parses what names a dead letter: its job id, or its entry id.
fn parse_id(text: &str) -> Result<String, BadName> {
    if EntryId::parse(text).is_err() {
        JobId::parse(text)?;
    }
    Ok(text.to_owned())
}

/// The dead letter of an id; an error if the id names several.
async fn find_dead_letter(
    broker: &Broker,
    id: &str,
) -> Result<Option<StoredDeadLetter>, CommandError> {
    let mut found = broker.dead_letters().find(id).await?;
    if found.len() > 1 {
        return Err(CommandError::Input(ambiguous_id(id, &found)));
    }
    Ok(found.pop())
}

/// The error for an id that several dead letters have.
fn ambiguous_id(id: &str, found: &[StoredDeadLetter]) -> String {
    let head = format!(
        "{} have the id `{id}`; name one by its entry id:",
        counted(found.len(), "dead letter")
    );
    let named = found.iter().map(|(died_ms, dead_letter, _)| {
        let record = &dead_letter.record;
        let died = timestamp(from_unix_ms(*died_ms));
        format!("  {}  {died}  {}", record.entry_id, record.reason)
    });
    let lines: Vec<String> = [head].into_iter().chain(named).collect();
    lines.join("\n")
}

/// The error for an unknown dead letter.
fn unknown_dead_letter(id: &str) -> String {
    format!("no dead letter `{id}` in Redis; for its history: longshore jobs show {id}")
}

#[cfg(test)]
mod tests {
    use super::{filter::tests::example_dead_letter, *};

    #[test]
    fn an_id_of_several_dead_letters_lists_their_entry_ids() {
        let died = |ms, entry_id: &str| {
            let mut dead_letter = example_dead_letter("nightly", &[]);
            dead_letter.record.entry_id = EntryId::from_stored(entry_id);
            (ms, dead_letter, String::new())
        };
        let found = [
            died(1_796_083_200_000, "1796083100000-0"),
            died(1_795_996_800_000, "~bulk:1795996700000-0"),
        ];
        insta::assert_snapshot!(ambiguous_id("nightly", &found), @r"
        2 dead letters have the id `nightly`; name one by its entry id:
          1796083100000-0  2026-12-01T00:00:00Z  exhausted
          ~bulk:1795996700000-0  2026-11-30T00:00:00Z  exhausted
        ");
    }

    #[test]
    fn a_dead_letter_is_named_by_its_job_id_or_its_entry_id() {
        for id in ["inv-42", "weekly/draft", "9-0", "bulk:9-0", "~default:9-0"] {
            assert_eq!(parse_id(id).unwrap(), id);
        }
        for wrong in ["", "a b", "~default", "~a b:9-0"] {
            assert!(parse_id(wrong).is_err(), "{wrong}");
        }
    }
}
