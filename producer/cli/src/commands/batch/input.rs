//! Reads the tasks of a file one after the other, in whatever form they stand there.

mod json;
mod lines;
mod table;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use longshore_client::{Job, MalformedCode};
use longshore_shared::{
    catalog::Catalog,
    envelope::{Envelope, Limits, RawMessage, parse},
};

pub(super) use self::table::Columns;
use crate::{commands::submit::check_platform, error::CommandError};

/// The mark that some editors put before a text.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// Where the tasks come from.
#[derive(Debug)]
pub(in crate::commands) enum Source {
    Stdin,
    File(PathBuf),
}

/// In which form they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum InputFormat {
    /// One list of objects
    Json,
    /// One object a line
    Jsonl,
    /// One row a task, under a header
    Csv,
}

/// How a file of tasks is read.
#[derive(Debug)]
pub(super) enum Form {
    /// A JSON list.
    List,
    /// A JSON list, or one task without a list around it.
    OneOrList,
    /// One JSON object a line.
    Lines,
    /// CSV.
    Table(Columns),
}

/// Takes the JSON of one task after the other, or says what stands in the place of one; breaks off when it
/// has enough.
pub(super) type Each<'a> = dyn FnMut(Result<&str, String>) -> ControlFlow<()> + 'a;

/// Why a file was not read to its end.
enum Trouble {
    Io(io::Error),
    /// The text is not of its form, or not what it has to be.
    Text(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    pub(in crate::commands) fn of(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) if path.as_os_str() != "-" => Self::File(path),
            _ => Self::Stdin,
        }
    }

    /// The form that the file's name tells.
    pub(super) fn format(&self) -> InputFormat {
        let Self::File(path) = self else {
            return InputFormat::Json;
        };
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match ending.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => InputFormat::Jsonl,
            "csv" => InputFormat::Csv,
            _ => InputFormat::Json,
        }
    }

    /// The name that people know it by.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => self.to_string(),
            Self::File(path) => path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Hands over every task. What is wrong with one is `each`'s to tell; what is wrong with the whole file is
    /// the error.
    pub(super) fn read(&self, form: &Form, each: &mut Each<'_>) -> Result<(), CommandError> {
        let read = match self {
            Self::File(path) => file(path, form, each),
            Self::Stdin => text(io::stdin().lock(), form, each),
        };
        read.map_err(|trouble| match trouble {
            Trouble::Io(source) => CommandError::Io {
                what: format!("{self} cannot be read"),
                source,
            },
            Trouble::Text(wrong) => CommandError::Input(format!("{self}: {wrong}")),
        })
    }

    /// The tasks of a list, or the one that stands without a list around it, all of them right; or all that
    /// is wrong, in words.
    pub(in crate::commands) fn task_or_tasks(
        &self,
        limits: &Limits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
        let mut index = 0;
        self.read(&Form::OneOrList, &mut |text| {
            match text.and_then(|text| task(text, limits, catalog)) {
                Ok((job, _)) => jobs.push(job),
                Err(reason) => wrong.push(format!("{self}: {}", at(index, &reason))),
            }
            index += 1;
            ControlFlow::Continue(())
        })?;
        if wrong.is_empty() {
            Ok(jobs)
        } else {
            Err(CommandError::Input(wrong.join("\n")))
        }
    }
}

/// What is wrong with the task at `index`.
pub(super) fn at(index: u32, reason: &str) -> String {
    format!("task {} (index {index}): {reason}", index + 1)
}

fn file(path: &Path, form: &Form, each: &mut Each<'_>) -> Result<(), Trouble> {
    text(
        BufReader::with_capacity(1 << 16, File::open(path)?),
        form,
        each,
    )
}

fn text(mut reader: impl BufRead, form: &Form, each: &mut Each<'_>) -> Result<(), Trouble> {
    if reader.fill_buf()?.starts_with(BOM) {
        reader.consume(BOM.len());
    }
    match form {
        Form::List => json::read(reader, false, each),
        Form::OneOrList => json::read(reader, true, each),
        Form::Lines => lines::read(reader, each),
        Form::Table(columns) => table::read(reader, columns, each),
    }
}

/// One task, and what a worker will read in it.
pub(super) fn task(
    text: &str,
    limits: &Limits,
    catalog: &Catalog,
) -> Result<(Job, Envelope), String> {
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), text.as_bytes().to_vec())],
    };
    let envelope = parse(&message, limits)
        .map_err(|wrong| match wrong.code {
            MalformedCode::NotAnObject => r#"expected an object: {"prompt": "…"}"#.to_owned(),
            _ => wrong.to_string(),
        })?
        .envelope;
    if let Some(platform) = &envelope.platform {
        check_platform(platform, catalog).map_err(|wrong| format!("field `platform`: {wrong}"))?;
    }
    let job = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((job, envelope))
}

#[cfg(test)]
mod tests;
