//! Checks all tasks of a batch before the first is enqueued.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

use longshore_client::{BatchTasks, BatchWriter, MessageLimits};
use longshore_policy::catalog::Catalog;
use longshore_protocol::envelope::{Envelope, FIELDS};
use longshore_settings::MOST_SHOWN;

use crate::{
    error::CommandError,
    faults::Faults,
    input::{self, Form, ParsedTask, Source, Task},
    output,
    render::text::counted,
};

/// What tasks are checked against.
pub(super) struct Rules<'a> {
    pub(super) limits: &'a MessageLimits,
    pub(super) catalog: &'a Catalog,
    /// Whether other platforms may be tried, unless the task has its own `fallback`.
    pub(super) fallback: bool,
}

/// Checks tasks one by one and collects their faults.
struct TaskChecker<'a> {
    source: &'a Source,
    rules: &'a Rules<'a>,
    /// The index of the task with an id, by the hash of the id. Hashes take a tenth of the memory of ids; among a
    /// million ids, a collision occurs once in thirty million batches.
    ids: HashMap<u64, u32>,
    hasher: RandomState,
    index: u32,
    faults: Faults,
    /// The fields that the protocol does not know, and how many tasks have them.
    unknown: BTreeMap<String, u64>,
    writer: BatchWriter,
}

/// Reads and checks all tasks; the error lists all faults.
pub(super) fn check_tasks(
    source: &Source,
    form: &Form,
    rules: &Rules<'_>,
) -> Result<BatchTasks, CommandError> {
    let mut checker = TaskChecker {
        source,
        rules,
        ids: HashMap::new(),
        hasher: RandomState::new(),
        index: 0,
        faults: Faults::default(),
        unknown: BTreeMap::new(),
        writer: BatchWriter::new()?,
    };
    let mut failed = None;
    let read = source.read(form, &mut |task| match checker.add(&task) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    match read {
        Ok(()) if checker.faults.is_empty() => {
            output::warnings(&checker.remarks());
            return Ok(checker.writer.finish()?);
        }
        Ok(()) => {}
        Err(CommandError::Input(wrong)) => checker.faults.extend(wrong.lines()),
        Err(error) => return Err(error),
    }
    Err(CommandError::Input(checker.faults.to_string()))
}

impl TaskChecker<'_> {
    /// What is to be said of the unknown fields. Newer workers may know them.
    fn remarks(&self) -> Vec<String> {
        let unknown = self.unknown.iter();
        let remarks = unknown.map(|(name, count)| {
            let remark = input::unknown_field(name, FIELDS);
            format!("{}: {remark} ({})", self.source, counted(*count, "task"))
        });
        remarks.collect()
    }

    fn add(&mut self, task: &Task<'_>) -> Result<(), CommandError> {
        match self.check(task) {
            // After the first fault, nothing will be enqueued.
            Ok((envelope, message)) if self.faults.is_empty() => {
                self.writer.push_checked(&envelope, message)?;
            }
            Ok(_) => {}
            Err(wrong) => {
                let faults = self.source.task_faults(self.index, task.line, &wrong);
                self.faults.extend(faults);
            }
        }
        let Some(next) = self.index.checked_add(1) else {
            let reason = "a batch has at most 4294967295 tasks";
            return Err(CommandError::Input(reason.to_owned()));
        };
        self.index = next;
        Ok(())
    }

    fn check(&mut self, task: &Task<'_>) -> Result<(Envelope, String), Vec<String>> {
        let Rules {
            limits, catalog, ..
        } = self.rules;
        let ParsedTask {
            mut job,
            envelope,
            unknown,
        } = input::parse_task(task, limits, catalog)?;
        for name in unknown {
            if self.unknown.len() < MOST_SHOWN || self.unknown.contains_key(&name) {
                *self.unknown.entry(name).or_default() += 1;
            }
        }
        if let Some(id) = &envelope.id {
            // The second task would be dropped as a duplicate or rejected as a conflict.
            let known = self.ids.insert(self.hasher.hash_one(id), self.index);
            if let Some(first) = known {
                return Err(vec![format!(
                    "field `id`: task {} has the same id",
                    first + 1
                )]);
            }
        }
        // The task's own field overrides the option, and a recipe decides about its calls itself.
        if !job.has("fallback") && !self.rules.fallback && envelope.recipe.is_none() {
            job = job.fallback(false);
        }
        let message = job.to_json();
        if message.len() > limits.max_bytes {
            return Err(vec![format!(
                "expected a message of at most {} bytes, fields added by the batch included, but it has {}",
                limits.max_bytes,
                message.len()
            )]);
        }
        Ok((envelope, message))
    }
}

#[cfg(test)]
mod tests;
