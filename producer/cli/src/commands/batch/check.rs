//! Checks all tasks of a batch before the first is enqueued.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

use longshore_client::{BatchTasks, BatchWriter, MessageLimits};
use longshore_policy::catalog::Catalog;
use longshore_protocol::envelope::Envelope;

use crate::{
    error::CommandError,
    input::{self, Form, Source},
};

/// Maximum number of faults listed.
const FAULTS: usize = 50;

/// What tasks are checked against.
pub(super) struct Rules<'a> {
    pub(super) limits: &'a MessageLimits,
    pub(super) catalog: &'a Catalog,
    /// Whether other platforms may be tried, unless the task has its own `fallback`.
    pub(super) fallback: bool,
}

/// Checks tasks one by one and collects their faults.
struct TaskChecker<'a> {
    rules: &'a Rules<'a>,
    /// The index of the task with an id, by the hash of the id. Hashes take a tenth of the memory of ids; among a
    /// million ids, a collision occurs once in thirty million batches.
    ids: HashMap<u64, u32>,
    hasher: RandomState,
    index: u32,
    faults: Vec<String>,
    writer: BatchWriter,
}

/// Reads and checks all tasks; the error lists all faults.
pub(super) fn check_tasks(
    source: &Source,
    form: &Form,
    rules: &Rules<'_>,
) -> Result<BatchTasks, CommandError> {
    let mut checker = TaskChecker {
        rules,
        ids: HashMap::new(),
        hasher: RandomState::new(),
        index: 0,
        faults: Vec::new(),
        writer: BatchWriter::new()?,
    };
    let mut failed = None;
    let read = source.read(form, &mut |task| match checker.add(task) {
        Ok(flow) => flow,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut lines: Vec<String> = checker
        .faults
        .iter()
        .map(|wrong| format!("{source}: {wrong}"))
        .collect();
    match read {
        Ok(()) if lines.is_empty() => return Ok(checker.writer.finish()?),
        Ok(()) => {}
        Err(CommandError::Input(wrong)) => lines.push(wrong),
        Err(error) => return Err(error),
    }
    if lines.len() > FAULTS {
        lines.truncate(FAULTS);
        lines.push("Only the first faults are listed; there may be more.".to_owned());
    }
    Err(CommandError::Input(lines.join("\n")))
}

impl TaskChecker<'_> {
    fn add(&mut self, task: Result<&str, String>) -> Result<ControlFlow<()>, CommandError> {
        match task.and_then(|text| self.check(text)) {
            // After the first fault, nothing will be enqueued.
            Ok((envelope, message)) if self.faults.is_empty() => {
                self.writer.push_checked(&envelope, message)?;
            }
            Ok(_) => {}
            Err(reason) => self.faults.push(input::task_fault(self.index, &reason)),
        }
        let Some(next) = self.index.checked_add(1) else {
            let reason = "a batch has at most 4294967295 tasks";
            return Err(CommandError::Input(reason.to_owned()));
        };
        self.index = next;
        Ok(if self.faults.len() > FAULTS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn check(&mut self, text: &str) -> Result<(Envelope, String), String> {
        let Rules {
            limits, catalog, ..
        } = self.rules;
        let (mut job, envelope) = input::parse_task(text, limits, catalog)?;
        if let Some(id) = &envelope.id {
            // The second task would be dropped as a duplicate or rejected as a conflict.
            let known = self.ids.insert(self.hasher.hash_one(id), self.index);
            if let Some(first) = known {
                return Err(format!("field `id`: task {} has the same id", first + 1));
            }
        }
        // The task's own field overrides the option.
        if !job.has("fallback") && !self.rules.fallback {
            job = job.fallback(false);
        }
        let message = job.to_json();
        if message.len() > limits.max_bytes {
            return Err(format!(
                "expected a message of at most {} bytes, fields added by the batch included, but it has {}",
                limits.max_bytes,
                message.len()
            ));
        }
        Ok((envelope, message))
    }
}

#[cfg(test)]
mod tests;
