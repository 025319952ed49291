//! What people and programs read: answers on stdout, everything else on stderr.

use std::{
    fmt,
    io::{self, Write as _},
};

use serde::Serialize;

/// In which form a command answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A line on stdout. A reader that went away (`| head`) is no error.
pub(crate) fn line(text: impl fmt::Display) {
    let _gone = writeln!(io::stdout(), "{text}");
}

/// A note on stderr.
pub(crate) fn note(text: impl fmt::Display) {
    let _gone = writeln!(io::stderr(), "{text}");
}

/// An error on stderr.
pub(crate) fn complain(error: &impl fmt::Display) {
    note(format_args!("Error: {error}"));
}

/// A JSON document on stdout.
pub(crate) fn json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => line(text),
        Err(error) => complain(&error),
    }
}
