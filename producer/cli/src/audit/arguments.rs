//! What an audited command was given: ids, filters and switches, but not the content of jobs.

use clap::{Arg, ArgMatches, Command, parser::ValueSource};

use crate::render::text::one_line;

/// Options of which only the name is recorded: their values are prompts, or fields of jobs.
const CONTENT: [&str; 3] = ["prompt", "set", "comment"];

/// Options that change nothing about the act.
const LEFT_OUT: [&str; 3] = ["format", "yes", "wide"];

/// The most characters that are recorded.
const LONGEST: usize = 1000;

/// Whether the command only shows what it would do.
pub(super) fn is_only_asked(matches: &ArgMatches) -> bool {
    ["dry_run", "check"]
        .iter()
        .any(|flag| matches!(matches.try_get_one::<bool>(flag), Ok(Some(true))))
}

/// What the command was given, about as the person wrote it.
pub(super) fn describe_arguments(matches: &ArgMatches, command: &Command) -> String {
    let given = command.get_arguments().filter(|argument| {
        let id = argument.get_id().as_str();
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
            && !LEFT_OUT.contains(&id)
    });
    let words: Vec<String> = given.map(|argument| describe(argument, matches)).collect();
    one_line(&words.join(" "), LONGEST)
}

fn describe(argument: &Arg, matches: &ArgMatches) -> String {
    let id = argument.get_id().as_str();
    let name = argument.get_long().map(|long| format!("--{long}"));
    if !argument.get_action().takes_values() {
        return name.unwrap_or_default();
    }
    let values = matches.get_raw(id).into_iter().flatten();
    let values = values.map(|value| {
        if CONTENT.contains(&id) {
            let text = value.to_string_lossy();
            // Of FIELD=VALUE, the field.
            let field = text.split_once('=').map(|(field, _)| format!("{field}="));
            let field = field.filter(|_| id == "set").unwrap_or_default();
            format!("{field}…")
        } else {
            value.to_string_lossy().into_owned()
        }
    });
    let words: Vec<String> = name.into_iter().chain(values).collect();
    words.join(" ")
}
