//! Input of commands: tasks in several formats, documents, prompts.

mod csv_table;
mod json_lines;
mod json_list;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use longshore_client::{Job, MalformedCode};
use longshore_policy::catalog::Catalog;
use longshore_protocol::envelope::{Envelope, MessageLimits, RawMessage, parse};

pub(crate) use self::csv_table::Columns;

use crate::{error::CommandError, options::check_platform};

/// The byte order mark that some editors write.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// The source of the tasks.
#[derive(Debug)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

/// The format of a file of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputFormat {
    /// JSON list of objects
    Json,
    /// One JSON object per line
    Jsonl,
    /// CSV with a header and one task per row
    Csv,
}

/// How a file of tasks is read.
#[derive(Debug)]
pub(crate) enum Form {
    /// A JSON list.
    List,
    /// A JSON list, or a single task.
    OneOrList,
    /// One JSON object per line.
    Lines,
    /// CSV.
    Table(Columns),
}

/// Receives the JSON of each task, or the error in its place; `Break` stops the reading.
pub(crate) type OnTask<'a> = dyn FnMut(Result<&str, String>) -> ControlFlow<()> + 'a;

/// Why reading failed.
enum ReadError {
    Io(io::Error),
    /// The content does not match the format.
    Format(String),
}

impl From<io::Error> for ReadError {
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
    pub(crate) fn from_path(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) if path.as_os_str() != "-" => Self::File(path),
            _ => Self::Stdin,
        }
    }

    /// The format that the file's name implies.
    pub(crate) fn format(&self) -> InputFormat {
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

    /// The file name, or `stdin`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => self.to_string(),
            Self::File(path) => path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Calls `on_task` for every task. Fails if the file as a whole is invalid.
    pub(crate) fn read(&self, form: &Form, on_task: &mut OnTask<'_>) -> Result<(), CommandError> {
        let read = match self {
            Self::File(path) => read_file(path, form, on_task),
            Self::Stdin => read_tasks(io::stdin().lock(), form, on_task),
        };
        read.map_err(|error| match error {
            ReadError::Io(source) => CommandError::Io {
                what: format!("{self} cannot be read"),
                source,
            },
            ReadError::Format(wrong) => CommandError::Input(format!("{self}: {wrong}")),
        })
    }

    /// Reads a list of tasks, or a single task. The error lists all invalid tasks.
    pub(crate) fn task_or_tasks(
        &self,
        limits: &MessageLimits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
        let mut index = 0;
        self.read(&Form::OneOrList, &mut |text| {
            match text.and_then(|text| parse_task(text, limits, catalog)) {
                Ok((job, _)) => jobs.push(job),
                Err(reason) => wrong.push(format!("{self}: {}", task_fault(index, &reason))),
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

/// The error message for the task at `index`.
pub(crate) fn task_fault(index: u32, reason: &str) -> String {
    format!("task {} (index {index}): {reason}", index + 1)
}

fn read_file(path: &Path, form: &Form, on_task: &mut OnTask<'_>) -> Result<(), ReadError> {
    read_tasks(
        BufReader::with_capacity(1 << 16, File::open(path)?),
        form,
        on_task,
    )
}

fn read_tasks(
    mut reader: impl BufRead,
    form: &Form,
    on_task: &mut OnTask<'_>,
) -> Result<(), ReadError> {
    if reader.fill_buf()?.starts_with(BOM) {
        reader.consume(BOM.len());
    }
    match form {
        Form::List => json_list::read(reader, false, on_task),
        Form::OneOrList => json_list::read(reader, true, on_task),
        Form::Lines => json_lines::read(reader, on_task),
        Form::Table(columns) => csv_table::read(reader, columns, on_task),
    }
}

/// Parses a task; also returns the envelope that a worker would parse.
pub(crate) fn parse_task(
    text: &str,
    limits: &MessageLimits,
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

/// The path, or `stdin` for `-`.
pub(crate) fn file_label(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(unreadable(path))
}

/// Reads a text file, or stdin for `-`.
pub(crate) fn read_text_or_stdin(path: &Path) -> Result<String, CommandError> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    String::from_utf8(bytes.map_err(unreadable(path))?).map_err(|error| {
        CommandError::Input(format!(
            "{}: expected UTF-8, but got an invalid byte at offset {}",
            file_label(path),
            error.utf8_error().valid_up_to()
        ))
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    CommandError::io(format!("{} cannot be read", file_label(path)))
}

/// Reads stdin for an option whose value is `-`.
pub(crate) fn read_stdin(option: &str) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map(|_| text)
        .map_err(CommandError::io(format!("{option}: stdin cannot be read")))
}

/// Returns the prompt. For `-`, reads stdin without the trailing line breaks, which the shell adds.
pub(crate) fn read_prompt(value: String) -> Result<String, CommandError> {
    if value != "-" {
        return Ok(value);
    }
    let text = read_stdin("--prompt")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests;
