//! Checks all tasks of a batch before the first is enqueued.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

use longshore_client::{BatchTasks, BatchWriter, Limits};
use longshore_policy::catalog::Catalog;
use longshore_protocol::envelope::Envelope;

use crate::{
    error::CommandError,
    forecast::Forecast,
    input::{self, Form, Source},
};

/// Faults that are listed.
const FAULTS: usize = 50;

/// What tasks have to be.
pub(super) struct Rules<'a> {
    pub(super) limits: &'a Limits,
    pub(super) catalog: &'a Catalog,
    /// Whether other platforms may be tried, where a task does not say.
    pub(super) fallback: bool,
}

/// What is known of the tasks so far.
struct Survey<'a> {
    rules: &'a Rules<'a>,
    forecast: &'a mut Forecast,
    /// Tasks that are enqueued already: the forecast does not count them.
    enqueued: u64,
    /// The tasks that have ids, by their hashes: a tenth of the memory, and of a million ids two are mistaken
    /// for the same once in thirty million batches.
    ids: HashMap<u64, u32>,
    hasher: RandomState,
    index: u32,
    faults: Vec<String>,
    writer: BatchWriter,
}

/// Reads and checks all tasks; the error has all faults.
pub(super) fn survey(
    source: &Source,
    form: &Form,
    rules: &Rules<'_>,
    forecast: &mut Forecast,
    enqueued: u64,
) -> Result<BatchTasks, CommandError> {
    let mut survey = Survey {
        rules,
        forecast,
        enqueued,
        ids: HashMap::new(),
        hasher: RandomState::new(),
        index: 0,
        faults: Vec::new(),
        writer: BatchWriter::new()?,
    };
    let mut failed = None;
    let read = source.read(form, &mut |task| match survey.add(task) {
        Ok(going) => going,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut lines: Vec<String> = survey
        .faults
        .iter()
        .map(|wrong| format!("{source}: {wrong}"))
        .collect();
    match read {
        Ok(()) if lines.is_empty() => return Ok(survey.writer.finish()?),
        Ok(()) => {}
        Err(CommandError::Input(wrong)) => lines.push(wrong),
        Err(error) => return Err(error),
    }
    if lines.len() > FAULTS {
        lines.truncate(FAULTS);
        lines.push("There may be more; these are the first.".to_owned());
    }
    Err(CommandError::Input(lines.join("\n")))
}

impl Survey<'_> {
    fn add(&mut self, task: Result<&str, String>) -> Result<ControlFlow<()>, CommandError> {
        match task.and_then(|text| self.check(text)) {
            // After the first fault nothing will be enqueued.
            Ok((envelope, message)) if self.faults.is_empty() => {
                self.writer.push_checked(&envelope, message)?;
            }
            Ok(_) => {}
            Err(reason) => self.faults.push(input::task_fault(self.index, &reason)),
        }
        let Some(next) = self.index.checked_add(1) else {
            let most = "a batch has at most 4294967295 tasks";
            return Err(CommandError::Input(most.to_owned()));
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
            // The second would be dropped as a repetition or refused as a conflict.
            let known = self.ids.insert(self.hasher.hash_one(id), self.index);
            if let Some(first) = known {
                return Err(format!("field `id`: task {} has the same", first + 1));
            }
        }
        // The task's own field goes before the option.
        if !job.has("fallback") && !self.rules.fallback {
            job = job.fallback(false);
        }
        let message = job.to_json();
        if message.len() > limits.max_bytes {
            return Err(format!(
                "expected a message of at most {} bytes, but with what the batch adds to it it has {}",
                limits.max_bytes,
                message.len()
            ));
        }
        if u64::from(self.index) >= self.enqueued {
            self.forecast.add(&envelope);
        }
        Ok((envelope, message))
    }
}

#[cfg(test)]
mod tests;
