//! The results of a batch's tasks, kept in a temporary file until the last one is known.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
};

use longshore_client::{JobId, Outcome, TaskReport, Usd};
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::{Map, Value};

use crate::{
    error::CommandError,
    render::money::{exact, parse_exact},
};

/// How one task ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskResult {
    pub(super) task_id: JobId,
    pub(super) index: u32,
    pub(super) platform: Option<String>,
    model: Option<String>,
    pub(super) success: bool,
    output: Option<String>,
    pub(super) error: Option<String>,
    error_class: Option<String>,
    #[serde(serialize_with = "exact", deserialize_with = "parse_exact")]
    pub(super) cost: Usd,
    duration_ms: u64,
    input_tokens: u64,
    output_tokens: u64,
    attempts: u32,
    metadata: Option<Map<String, Value>>,
}

impl TaskResult {
    /// The result of a task that has an outcome or will never have one.
    pub(super) fn from_report(index: u32, task: TaskReport) -> Self {
        let (id, rejected) = (task.job, task.own && task.failed);
        match task.outcome {
            // A rejected task failed; a success under its id belongs to another job.
            Some(outcome) if !(rejected && outcome.success) => Self::from_outcome(index, outcome),
            _ if rejected => {
                let reason = format!(
                    "id `{id}` belongs to another job with different content; use another id, or none"
                );
                Self::without_outcome(index, id, "id_conflict", reason)
            }
            _ => {
                let reason = "its outcome is neither in Redis nor in Postgres".to_owned();
                Self::without_outcome(index, id, "unknown", reason)
            }
        }
    }

    pub(super) fn from_outcome(index: u32, outcome: Outcome) -> Self {
        Self {
            task_id: outcome.id,
            index,
            platform: outcome.platform,
            model: outcome.model,
            success: outcome.success,
            output: outcome.output,
            error: outcome.error,
            error_class: outcome.error_class,
            cost: outcome.cost_usd,
            duration_ms: outcome.duration_ms,
            input_tokens: outcome.input_tokens,
            output_tokens: outcome.output_tokens,
            attempts: outcome.attempts,
            metadata: outcome.metadata,
        }
    }

    /// The result of a task that has no outcome, with the reason.
    pub(super) fn without_outcome(index: u32, id: JobId, class: &str, reason: String) -> Self {
        Self {
            task_id: id,
            index,
            platform: None,
            model: None,
            success: false,
            output: None,
            error: Some(reason),
            error_class: Some(class.to_owned()),
            cost: Usd::ZERO,
            duration_ms: 0,
            input_tokens: 0,
            output_tokens: 0,
            attempts: 0,
            metadata: None,
        }
    }

    /// Approximate size in memory.
    pub(super) fn bytes(&self) -> usize {
        let length = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        size_of::<Self>() + length(&self.output) + length(&self.error)
    }
}

fn temporary_file(source: io::Error) -> CommandError {
    CommandError::temporary_file("results")(source)
}

/// Collects results in the order of the tasks.
#[derive(Debug)]
pub(super) struct Results {
    file: BufWriter<File>,
}

impl Results {
    pub(super) fn new() -> Result<Self, CommandError> {
        let file = tempfile::tempfile().map_err(temporary_file)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    pub(super) fn push(&mut self, result: &TaskResult) -> Result<(), CommandError> {
        serde_json::to_writer(&mut self.file, result)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(temporary_file)
    }

    /// Ends the list after the last result.
    pub(super) fn finish(self) -> Result<StoredResults, CommandError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| temporary_file(error.into_error()))?;
        Ok(StoredResults(file))
    }
}

/// All results, serialized as a JSON list.
#[derive(Debug)]
pub(super) struct StoredResults(File);

impl Serialize for StoredResults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut file = self.0.try_clone().map_err(ser::Error::custom)?;
        file.rewind().map_err(ser::Error::custom)?;
        let mut list = serializer.serialize_seq(None)?;
        for line in BufReader::with_capacity(1 << 16, file).lines() {
            let line = line.map_err(ser::Error::custom)?;
            let result: TaskResult = serde_json::from_str(&line).map_err(ser::Error::custom)?;
            ser::SerializeSeq::serialize_element(&mut list, &result)?;
        }
        ser::SerializeSeq::end(list)
    }
}
