//! Where the results of a batch go: stdout and a file, each as lines as they come or as one document at the end.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use super::{
    lines::Lines,
    report::Report,
    results::{Results, StoredResults, TaskResult},
};
use crate::{
    error::CommandError,
    output::{self, ListFormat},
    result_file::OutputFile,
};

/// The options that say where results go.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// Write the results to this file, or to a new file in this directory: as JSON Lines while tasks
    /// end if its name ends in .jsonl or .ndjson, else as one JSON document at the end
    #[arg(long, short, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    #[arg(
        long,
        value_enum,
        default_value_t,
        help = "Output format; jsonl prints the results as tasks end, in that order, and the summary to stderr"
    )]
    pub(super) format: ListFormat,
}

impl Options {
    /// Opens the file, before any call costs money.
    pub(super) fn open(self) -> Result<Destination, CommandError> {
        Ok(Destination {
            format: self.format,
            file: self.output.map(OutputFile::open_in).transpose()?,
        })
    }
}

/// Where the results of a batch go.
#[derive(Debug)]
pub(super) struct Destination {
    format: ListFormat,
    file: Option<OutputFile>,
}

impl Destination {
    /// Begins to write, now that there will be results.
    pub(super) fn start(self) -> Result<ResultWriter, CommandError> {
        let saved = self.file.as_ref().map(|file| file.path().to_owned());
        let (lines, document) = match self.file {
            Some(file) if is_json_lines(file.path()) => (Some(file.into_cleared()?), None),
            file => (None, file),
        };
        let stdout = (self.format == ListFormat::Jsonl).then(io::stdout);
        let is_stored = document.is_some() || self.format == ListFormat::Json;
        let cannot_start = "the thread that writes results does not start";
        Ok(ResultWriter {
            format: self.format,
            stdout: stdout
                .map(Lines::start)
                .transpose()
                .map_err(CommandError::io(cannot_start))?,
            is_stdout_closed: false,
            lines: lines
                .map(Lines::start)
                .transpose()
                .map_err(CommandError::io(cannot_start))?,
            stored: is_stored.then(Results::new).transpose()?,
            document,
            saved,
        })
    }
}

fn is_json_lines(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "jsonl" || ending == "ndjson")
}

/// Writes the results of a batch, and at the end its report.
#[derive(Debug)]
pub(super) struct ResultWriter {
    format: ListFormat,
    /// JSON Lines on stdout.
    stdout: Option<Lines>,
    is_stdout_closed: bool,
    /// JSON Lines in the file.
    lines: Option<Lines>,
    /// The results of a document.
    stored: Option<Results>,
    /// The file of a document.
    document: Option<OutputFile>,
    /// The path of the file.
    saved: Option<PathBuf>,
}

impl ResultWriter {
    /// Writes the result of a task that has ended.
    pub(super) async fn write(&mut self, result: &TaskResult) -> Result<(), CommandError> {
        if let Some(stored) = &mut self.stored {
            stored.push(result)?;
        }
        if self.stdout.is_none() && self.lines.is_none() {
            return Ok(());
        }
        let line = serde_json::to_string(result).map_err(|error| self.file_error(error.into()))?;
        if let Some(lines) = &self.lines
            && !lines.write(line.clone()).await
        {
            return self.finish_lines().await;
        }
        if let Some(stdout) = &self.stdout
            && !stdout.write(line).await
        {
            self.finish_stdout().await?;
        }
        Ok(())
    }

    /// Whether results are printed to a terminal as they come.
    pub(super) fn is_terminal(&self) -> bool {
        self.stdout.is_some() && io::stdout().is_terminal()
    }

    /// Whether nobody reads the results any more: they went to stdout alone, which was closed.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_stdout_closed && self.saved.is_none()
    }

    /// Waits until all lines are written; returns the results for a document.
    pub(super) async fn finish(&mut self) -> Result<Option<StoredResults>, CommandError> {
        self.finish_lines().await?;
        self.finish_stdout().await?;
        self.stored.take().map(Results::finish).transpose()
    }

    /// Prints the report, and writes it to the file of a document.
    pub(super) fn print(self, report: &Report) -> Result<(), CommandError> {
        if let Some(file) = self.document {
            file.write(report)?;
        }
        let saved = self.saved.as_deref();
        match self.format {
            ListFormat::Text => output::line(report.to_text(saved)),
            ListFormat::Json => output::json(report),
            ListFormat::Jsonl => output::summary(report),
        }
        if self.format != ListFormat::Text
            && let Some(saved) = saved
        {
            output::note(format_args!("Results saved to: {}", saved.display()));
        }
        Ok(())
    }

    async fn finish_lines(&mut self) -> Result<(), CommandError> {
        let ended = match self.lines.take() {
            Some(lines) => lines.finish().await,
            None => Ok(()),
        };
        ended.map_err(|source| self.file_error(source))
    }

    /// A closed pipe (`| head`) is not an error.
    async fn finish_stdout(&mut self) -> Result<(), CommandError> {
        let Some(stdout) = self.stdout.take() else {
            return Ok(());
        };
        match stdout.finish().await {
            Err(source) if source.kind() == io::ErrorKind::BrokenPipe => {
                self.is_stdout_closed = true;
                Ok(())
            }
            ended => ended.map_err(CommandError::io("stdout cannot be written")),
        }
    }

    fn file_error(&self, source: io::Error) -> CommandError {
        let path = self.saved.as_deref().unwrap_or(Path::new("stdout"));
        CommandError::io(format!("--output: `{}` cannot be written", path.display()))(source)
    }
}
