//! The first look at a batch's tasks: nothing is put in before all of them are known to be right.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

use longshore_shared::{catalog::Catalog, envelope::Limits};

use super::{
    forecast::Forecast,
    input::{self, Form, Source},
    spool::{Record, Spool, Spooler},
};
use crate::error::CommandError;

/// So many faults are told; whoever has more mends these first.
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
    /// Tasks that are in already: they take nothing more of what is forecast.
    already: u64,
    /// The tasks that have ids, by hashes of those: a tenth of the memory, and of a million ids any two are
    /// taken for the same once in thirty million batches.
    ids: HashMap<u64, u32>,
    hasher: RandomState,
    index: u32,
    faults: Vec<String>,
    spooler: Spooler,
}

/// Reads all tasks: they are kept, or what is wrong with them is told.
pub(super) fn survey(
    source: &Source,
    form: &Form,
    rules: &Rules<'_>,
    forecast: &mut Forecast,
    already: u64,
) -> Result<Spool, CommandError> {
    let mut survey = Survey {
        rules,
        forecast,
        already,
        ids: HashMap::new(),
        hasher: RandomState::new(),
        index: 0,
        faults: Vec::new(),
        spooler: Spooler::new()?,
    };
    let mut trouble = None;
    let read = source.read(form, &mut |task| match survey.take(task) {
        Ok(going) => going,
        Err(error) => {
            trouble = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = trouble {
        return Err(error);
    }
    let mut lines: Vec<String> = survey
        .faults
        .iter()
        .map(|wrong| format!("{source}: {wrong}"))
        .collect();
    match read {
        Ok(()) if lines.is_empty() => return survey.spooler.finish(),
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
    fn take(&mut self, task: Result<&str, String>) -> Result<ControlFlow<()>, CommandError> {
        match task.and_then(|text| self.judge(text)) {
            // After the first fault nothing will be put in.
            Ok(record) if self.faults.is_empty() => self.spooler.push(&record)?,
            Ok(_) => {}
            Err(reason) => self.faults.push(input::at(self.index, &reason)),
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

    fn judge(&mut self, text: &str) -> Result<Record, String> {
        let Rules {
            limits, catalog, ..
        } = self.rules;
        let (mut job, envelope) = input::task(text, limits, catalog)?;
        if let Some(id) = &envelope.id {
            // The second would be dropped, or be a conflict: either way not what was meant.
            let known = self.ids.insert(self.hasher.hash_one(id), self.index);
            if let Some(first) = known {
                return Err(format!("field `id`: task {} has the same", first + 1));
            }
        }
        // A task's own word goes before the batch's.
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
        if u64::from(self.index) >= self.already {
            self.forecast.add(&envelope);
        }
        Ok(Record {
            identified: envelope.id.is_some() || envelope.unique.is_some(),
            own: envelope.id,
            message,
        })
    }
}

#[cfg(test)]
mod tests;
