//! Output: results go to stdout, messages to stderr.

use std::{
    fmt,
    io::{self, BufWriter, Write as _},
    sync::OnceLock,
};

use clap::ArgMatches;
use longshore_protocol::encryption::describe_encrypted;
use serde::Serialize;
use serde_json::json;

use crate::render::table::Width;

/// The format of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

impl Format {
    /// Prints a document as JSON, or with its `Display` implementation.
    pub(crate) fn print(self, document: &(impl Serialize + fmt::Display)) {
        self.print_with(document, || document.to_string());
    }

    /// Prints a document as JSON, or the text that describes it.
    pub(crate) fn print_with(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        match self {
            Self::Text => line(text()),
            Self::Json => json(document),
        }
    }

    /// Prints a message before the result: to stdout with text, to stderr with JSON.
    pub(crate) fn announce(self, text: impl fmt::Display) {
        match self {
            Self::Text => line(text),
            Self::Json => note(text),
        }
    }
}

/// The format of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListFormat {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs: one document
    Json,
    /// JSON Lines: an object per line
    Jsonl,
}

impl From<ListFormat> for Format {
    /// The format of a single document.
    fn from(format: ListFormat) -> Self {
        match format {
            ListFormat::Text => Self::Text,
            ListFormat::Json | ListFormat::Jsonl => Self::Json,
        }
    }
}

/// The format of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Markdown for people
    #[default]
    Markdown,
    /// JSON for programs
    Json,
}

impl LogFormat {
    /// Prints a document as JSON, or the Markdown that describes it.
    pub(crate) fn print_with(self, document: &impl Serialize, markdown: impl FnOnce() -> String) {
        Format::from(self).print_with(document, markdown);
    }
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Markdown => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// The options of a command that prints a list as a table.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ListOutput {
    /// Show all columns of tables, however narrow the terminal is
    #[arg(long)]
    wide: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

impl ListOutput {
    /// Prints the rows as JSON Lines, the document as JSON, or the text that describes it at the width.
    pub(crate) fn print_with<T: Serialize>(
        self,
        document: &impl Serialize,
        rows: impl IntoIterator<Item = T>,
        text: impl FnOnce(Width) -> String,
    ) {
        match self.format {
            ListFormat::Text => line(text(width(self.wide))),
            ListFormat::Json => json(document),
            ListFormat::Jsonl => rows.into_iter().for_each(|row| json_line(&row)),
        }
    }

    /// As [`Self::print_with`], for a list that is its own document.
    pub(crate) fn print_rows<T: Serialize>(self, rows: &[T], text: impl FnOnce(Width) -> String) {
        self.print_with(&rows, rows, text);
    }
}

/// The width that tables have to fit.
fn width(is_wide: bool) -> Width {
    if is_wide {
        Width::UNLIMITED
    } else {
        Width::of_terminal()
    }
}

/// The options of a command that prints a table.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct TableOutput {
    /// Show all columns of tables, however narrow the terminal is
    #[arg(long)]
    wide: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

impl TableOutput {
    /// Prints a document as JSON, or the text that describes it at the width.
    pub(crate) fn print_with(self, document: &impl Serialize, text: impl FnOnce(Width) -> String) {
        self.format.print_with(document, || text(width(self.wide)));
    }
}

/// Prints a line to stdout. A closed pipe (`| head`) is not an error.
pub(crate) fn line(text: impl fmt::Display) {
    // What no key decrypted is shown by the name of its key. Programs get it as it is stored.
    stdout_line(describe_encrypted(&text.to_string()));
}

fn stdout_line(text: impl fmt::Display) {
    let _closed = writeln!(io::stdout(), "{text}");
}

/// Prints a message to stderr.
pub(crate) fn note(text: impl fmt::Display) {
    message("note", "", text);
}

/// Prints what a command waits for to stderr.
pub(crate) fn waiting(text: impl fmt::Display) {
    message("waiting", "", text);
}

/// Prints what results that are already printed add up to, as JSON to stderr.
pub(crate) fn summary(document: &impl Serialize) {
    // Our own documents always serialize.
    let document = serde_json::to_value(document).unwrap_or_default();
    stderr_line(json!({"summary": document}));
}

pub(crate) fn warning(text: impl fmt::Display) {
    message("warning", "Warning: ", text);
}

pub(crate) fn warnings(texts: &[String]) {
    texts.iter().for_each(warning);
}

pub(crate) fn error(error: &impl fmt::Display) {
    message("error", "Error: ", error);
}

/// Prints a message to stderr: as text that begins with `begin`, or as a JSON object of one member.
fn message(kind: &str, begin: &str, text: impl fmt::Display) {
    match messages() {
        Format::Text => stderr_line(format_args!("{begin}{text}")),
        Format::Json => stderr_line(json!({kind: text.to_string()})),
    }
}

fn stderr_line(text: impl fmt::Display) {
    let _closed = writeln!(io::stderr(), "{text}");
}

/// The format of messages.
static MESSAGES: OnceLock<Format> = OnceLock::new();

/// Has messages printed in the format that the command has for its result.
pub(crate) fn use_format_of(matches: &ArgMatches) {
    let (mut command, mut format) = (Some(matches), Format::Text);
    while let Some(matches) = command {
        // A subcommand has an option of its own.
        if let Ok(Some(chosen)) = matches.try_get_one::<Format>("format") {
            format = *chosen;
        } else if let Ok(Some(chosen)) = matches.try_get_one::<ListFormat>("format") {
            format = (*chosen).into();
        } else if let Ok(Some(chosen)) = matches.try_get_one::<LogFormat>("format") {
            format = (*chosen).into();
        }
        command = matches.subcommand().map(|(_, matches)| matches);
    }
    MESSAGES.get_or_init(|| format);
}

fn messages() -> Format {
    MESSAGES.get().copied().unwrap_or_default()
}

/// Prints a JSON document to stdout. Writes while serializing, because the document may be larger than memory.
pub(crate) fn json(document: &impl Serialize) {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write_json(&mut stdout, document) {
        Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => error(&failed),
        _ => {}
    }
}

/// Prints a JSON document to stdout, in one line.
pub(crate) fn json_line(document: &impl Serialize) {
    match serde_json::to_string(document) {
        Ok(text) => stdout_line(text),
        Err(failed) => error(&failed),
    }
}

/// Writes an indented JSON document and a line break.
pub(crate) fn write_json(to: &mut impl io::Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, document)?;
    to.write_all(b"\n")?;
    to.flush()
}
