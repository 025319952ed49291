//! What people and programs read: answers on stdout, everything else on stderr.

use std::{
    fmt,
    io::{self, BufWriter, Write as _},
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

/// A JSON document on stdout, as it comes: it may be larger than the memory.
pub(crate) fn json(document: &impl Serialize) {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match pretty(&mut stdout, document) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&error),
        _ => {}
    }
}

/// Writes a JSON document with a line's end behind it.
pub(crate) fn pretty(to: &mut impl io::Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, document)?;
    to.write_all(b"\n")?;
    to.flush()
}
