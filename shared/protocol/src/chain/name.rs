//! The names of chains, of their steps and of the items of a step.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{JobId, Place};

/// The longest id of a chain: with a step and an item behind it, it is still the id of a job.
const LONGEST_CHAIN: usize = 64;

/// The longest name of a step.
const LONGEST_STEP: usize = 48;

/// A name that is not of the allowed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChainName {
    /// A chain's.
    #[error("chain id `{0}` is not valid: expected 1 to 64 characters of [A-Za-z0-9._@-]")]
    Chain(String),
    /// A step's.
    #[error(
        "step name `{0}` is not valid: expected a letter or `_`, then letters, digits or `_`, at most 48 in all"
    )]
    Step(String),
    /// An item's.
    #[error("`{0}` is no step and no item of one: expected STEP or STEP/INDEX")]
    Instance(String),
}

/// A chain's identity: its producer's own, or the place that it was enqueued at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(String);

/// The name of a step: an identifier, so that templates can say `steps.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepName(String);

/// What runs of a step: the step itself, or one item of its list. `STEP` or `STEP/INDEX` as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// The step.
    pub step: StepName,
    /// The item, from 0, of a step that fans out.
    pub index: Option<u32>,
}

fn shown(value: &str, longest: usize) -> String {
    value.chars().take(longest + 10).collect()
}

impl ChainId {
    /// A producer's own id: 1 to 64 characters of `[A-Za-z0-9._@-]`.
    pub fn parse(value: &str) -> Result<Self, BadChainName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if (1..=LONGEST_CHAIN).contains(&value.len()) && value.chars().all(allowed) {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadChainName::Chain(shown(value, LONGEST_CHAIN)))
        }
    }

    /// The id of a chain whose producer named none. Of a queue with a very long name, the end is kept:
    /// the entry's id is in it. The names of a chain's keys have a colon behind the id, so it has none.
    pub fn of_place(place: &Place) -> Self {
        let text = place.as_str().replace(':', "@");
        let from = text.len().saturating_sub(LONGEST_CHAIN);
        Self(text.get(from..).unwrap_or(&text).to_owned())
    }

    /// One that no chain has.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id under which its outcome is found.
    pub fn outcome(&self) -> JobId {
        JobId::of_chain(&self.0)
    }

    /// The id of the job that runs an instance.
    pub fn job(&self, instance: &Instance) -> JobId {
        JobId::of_step(&self.0, &instance.to_string())
    }

    /// The id of the job that runs a task of a batch, unless the task has one of its own.
    pub fn task(&self, index: u32) -> JobId {
        self.job(&Instance::item(StepName::of_batch(), index))
    }
}

impl StepName {
    /// The one step of a batch, whose items are its tasks.
    pub fn of_batch() -> Self {
        Self("task".to_owned())
    }

    /// What follows a chain's end; no step may have the name.
    pub fn on_complete() -> Self {
        Self("on_complete".to_owned())
    }

    /// The one step of a batch: its items are the tasks.
    pub fn task() -> Self {
        Self("task".to_owned())
    }

    /// `[A-Za-z_][A-Za-z0-9_]*`, at most 48 characters.
    pub fn parse(value: &str) -> Result<Self, BadChainName> {
        let begins = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if begins && value.len() <= LONGEST_STEP && value.chars().all(allowed) {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadChainName::Step(shown(value, LONGEST_STEP)))
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Instance {
    /// The step itself.
    pub fn of(step: StepName) -> Self {
        Self { step, index: None }
    }

    /// An item of it.
    pub fn item(step: StepName, index: u32) -> Self {
        Self {
            step,
            index: Some(index),
        }
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => write!(f, "{}", self.step),
            Some(index) => write!(f, "{}/{index}", self.step),
        }
    }
}

impl FromStr for Instance {
    type Err = BadChainName;

    fn from_str(text: &str) -> Result<Self, BadChainName> {
        let wrong = || BadChainName::Instance(shown(text, LONGEST_STEP));
        let (step, index) = match text.split_once('/') {
            Some((step, index)) => (step, Some(index.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let step = StepName::parse(step).map_err(|_| wrong())?;
        Ok(Self { step, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_make_a_job_id() {
        let chain = ChainId::parse(&"c".repeat(64)).unwrap();
        let step = StepName::parse(&"s".repeat(48)).unwrap();
        let job = chain.job(&Instance::item(step, 9_999_999));
        assert_eq!(JobId::parse(job.as_str()).unwrap(), job);
    }

    #[test]
    fn an_instance_reads_as_it_is_written() {
        for text in ["research", "each/0", "each/4999"] {
            assert_eq!(text.parse::<Instance>().unwrap().to_string(), text);
        }
        for text in ["", "a b", "1st", "each/", "each/-1", "each/1/2"] {
            assert!(text.parse::<Instance>().is_err(), "{text}");
        }
    }
}
