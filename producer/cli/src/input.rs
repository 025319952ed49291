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
use longshore_protocol::envelope::{Envelope, MessageLimits, RawMessage, parse_all};
use longshore_settings::suggest::closest;

pub(crate) use self::csv_table::Columns;

use crate::{error::CommandError, faults::Faults, options::check_platform};

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

/// A task of a file.
pub(crate) struct Task<'t> {
    /// The line where it begins, if the format has a line for each.
    pub(crate) line: Option<u64>,
    /// Its JSON, or the error in its place.
    pub(crate) json: Result<&'t str, String>,
}

/// Receives each task; `Break` stops the reading.
pub(crate) type OnTask<'a> = dyn FnMut(Task<'_>) -> ControlFlow<()> + 'a;

/// Why reading failed.
enum ReadError {
    Io(io::Error),
    /// The content does not match the format: all that is wrong.
    Format(Vec<String>),
}

impl ReadError {
    fn format(wrong: impl Into<String>) -> Self {
        Self::Format(vec![wrong.into()])
    }
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
            ReadError::Format(wrong) => {
                let lines: Vec<String> = wrong
                    .iter()
                    .map(|wrong| format!("{self}: {wrong}"))
                    .collect();
                CommandError::Input(lines.join("\n"))
            }
        })
    }

    /// Reads a list of tasks, or a single task. The error lists all invalid tasks.
    pub(crate) fn task_or_tasks(
        &self,
        limits: &MessageLimits,
        catalog: &Catalog,
    ) -> Result<Vec<Job>, CommandError> {
        let (mut jobs, mut faults) = (Vec::new(), Faults::default());
        let mut index = 0;
        let read = self.read(&Form::OneOrList, &mut |task| {
            match parse_task(&task, limits, catalog) {
                Ok(task) => jobs.push(task.job),
                Err(wrong) => faults.extend(self.task_faults(index, task.line, &wrong)),
            }
            index += 1;
            ControlFlow::Continue(())
        });
        match read {
            Err(CommandError::Input(wrong)) => faults.extend(wrong.lines()),
            other => other?,
        }
        faults.into_result().map(|()| jobs)
    }

    /// The error messages for the task at `index`.
    pub(crate) fn task_faults(
        &self,
        index: u32,
        line: Option<u64>,
        wrong: &[String],
    ) -> Vec<String> {
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        let number = u64::from(index) + 1;
        let wrong = wrong.iter();
        wrong
            .map(|wrong| format!("{self}: task {number} (index {index}): {line}{wrong}"))
            .collect()
    }
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

/// A valid task.
#[derive(Debug)]
pub(crate) struct ParsedTask {
    pub(crate) job: Job,
    /// The job as a worker would parse it.
    pub(crate) envelope: Envelope,
    /// The fields that this version of the protocol does not know. Newer workers may.
    pub(crate) unknown: Vec<String>,
}

/// What is to be said of a field that the protocol does not know.
pub(crate) fn unknown_field(name: &str, known: &[&str]) -> String {
    let near = closest(name, known.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("unknown field `{name}`{hint}")
}

/// Parses a task. The error has all that is wrong.
pub(crate) fn parse_task(
    task: &Task<'_>,
    limits: &MessageLimits,
    catalog: &Catalog,
) -> Result<ParsedTask, Vec<String>> {
    let text = task.json.as_deref().map_err(|wrong| vec![wrong.clone()])?;
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), text.as_bytes().to_vec())],
    };
    let parsed = parse_all(&message, limits);
    let platform = match &parsed {
        Ok(parsed) => parsed.envelope.platform.clone(),
        Err(_) => platform_of(text),
    };
    let mut wrong: Vec<String> = match &parsed {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong
            .clone()
            .into_iter()
            .map(|wrong| match wrong.code {
                MalformedCode::NotAnObject => r#"expected an object: {"prompt": "…"}"#.to_owned(),
                _ => wrong.to_string(),
            })
            .collect(),
    };
    let unknown = platform.and_then(|platform| check_platform(&platform, catalog).err());
    wrong.extend(unknown.map(|unknown| format!("field `platform`: {unknown}")));
    match parsed {
        Ok(parsed) if wrong.is_empty() => Ok(ParsedTask {
            job: serde_json::from_str(text).map_err(|error| vec![error.to_string()])?,
            envelope: parsed.envelope,
            unknown: parsed.unknown,
        }),
        _ => Err(wrong),
    }
}

/// The platform of a task that is invalid for another reason.
fn platform_of(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        platform: Option<String>,
    }
    serde_json::from_str::<Named>(text).ok()?.platform
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
