//! The results of a batch's tasks.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
};

use longshore_client::{JobId, JobState, Outcome, TaskReport};
use serde::{Serialize, Serializer, ser};

use crate::{error::CommandError, result_document::ResultDocument};

/// How one task ended.
#[derive(Debug)]
pub(super) struct TaskResult {
    pub(super) index: u32,
    pub(super) outcome: Outcome,
}

impl Serialize for TaskResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ResultDocument::of_task(self.index, &self.outcome).serialize(serializer)
    }
}

impl TaskResult {
    /// The result of a task that has an outcome or will never have one.
    pub(super) fn from_report(index: u32, task: TaskReport) -> Self {
        let (id, rejected) = (task.job, task.own && task.failed);
        match task.outcome {
            // A rejected task failed; a success under its id belongs to another job.
            Some(outcome) if !(rejected && outcome.success) => Self { index, outcome },
            _ if rejected => {
                let reason = format!(
                    "id `{id}` belongs to another job with different content; use another id, or none"
                );
                Self::without_outcome(index, id, JobState::Discarded, "id_conflict", reason)
            }
            _ => {
                let reason = "its outcome is neither in Redis nor in Postgres".to_owned();
                Self::without_outcome(index, id, JobState::Discarded, "unknown", reason)
            }
        }
    }

    /// The result of a task that has no outcome, with the reason.
    pub(super) fn without_outcome(
        index: u32,
        id: JobId,
        state: JobState,
        class: &str,
        reason: String,
    ) -> Self {
        let outcome = Outcome::without_calls(id, state, class, reason);
        Self { index, outcome }
    }
}

fn temporary_file(source: io::Error) -> CommandError {
    CommandError::temporary_file("results")(source)
}

/// Collects results in a temporary file, in any order, for a document in the order of the tasks.
#[derive(Debug)]
pub(super) struct Results {
    file: BufWriter<File>,
    /// Where the outcome of each task begins.
    offsets: Vec<Option<u64>>,
    length: u64,
}

impl Results {
    pub(super) fn new() -> Result<Self, CommandError> {
        let file = tempfile::tempfile().map_err(temporary_file)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
            offsets: Vec::new(),
            length: 0,
        })
    }

    pub(super) fn push(&mut self, result: &TaskResult) -> Result<(), CommandError> {
        let mut line = serde_json::to_vec(&result.outcome)
            .map_err(io::Error::from)
            .map_err(temporary_file)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(temporary_file)?;
        let index = result.index as usize;
        if self.offsets.len() <= index {
            self.offsets.resize(index + 1, None);
        }
        if let Some(offset) = self.offsets.get_mut(index) {
            *offset = Some(self.length);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Ends the list after the last result.
    pub(super) fn finish(self) -> Result<StoredResults, CommandError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| temporary_file(error.into_error()))?;
        Ok(StoredResults {
            file,
            offsets: self.offsets,
        })
    }
}

/// All results, serialized as a JSON list in the order of the tasks.
#[derive(Debug)]
pub(super) struct StoredResults {
    file: File,
    offsets: Vec<Option<u64>>,
}

impl StoredResults {
    /// Reads the results in order, and calls `each` with every one.
    fn read(&self, mut each: impl FnMut(TaskResult) -> io::Result<()>) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let (mut position, mut line) = (0_u64, String::new());
        for (index, offset) in (0_u32..).zip(&self.offsets) {
            let Some(offset) = *offset else { continue };
            // Tasks end roughly in their order, so most offsets are in the buffer.
            file.seek_relative(offset.cast_signed() - position.cast_signed())?;
            line.clear();
            position = offset + file.read_line(&mut line)? as u64;
            let outcome = serde_json::from_str(&line)?;
            each(TaskResult { index, outcome })?;
        }
        Ok(())
    }
}

impl Serialize for StoredResults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        self.read(|result| {
            ser::SerializeSeq::serialize_element(&mut list, &result)
                .map_err(|error| io::Error::other(error.to_string()))
        })
        .map_err(ser::Error::custom)?;
        ser::SerializeSeq::end(list)
    }
}
