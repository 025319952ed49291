//! The names of chains, of their steps and of the items of a step.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::{
    id::{EntryId, JobId},
    recipe::RecipeName,
};

/// The longest chain id; with a step and an item appended, it is still a valid job id.
const LONGEST_CHAIN: usize = 64;

/// Hex digits of an entry id's digest: with the longest recipe and round, still a valid length.
const DIGEST: usize = 28;

/// The longest name of a step.
pub(super) const LONGEST_STEP: usize = 48;

/// A name of an invalid form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChainName {
    #[error("chain id `{0}` is not valid: expected 1 to 64 characters of [A-Za-z0-9._:@-]")]
    Chain(String),
    #[error(
        "step name `{0}` is not valid: expected a letter or `_`, then letters, digits or `_`, at most 48 in all"
    )]
    Step(String),
    #[error("`{0}` is no step and no item of one: expected STEP or STEP/INDEX")]
    Instance(String),
}

/// The id of a chain: the producer's own, or the id of the entry that it was enqueued as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(String);

/// The name of a step: an identifier, so that templates can read `steps.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepName(String);

/// A step or one item of it: `STEP` or `STEP/INDEX` as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    pub step: StepName,
    /// The index of the item, from 0; absent for the step itself.
    pub index: Option<u32>,
}

fn shown(value: &str, longest: usize) -> String {
    value.chars().take(longest + 10).collect()
}

impl ChainId {
    /// Parses a producer's own id: 1 to 64 characters of `[A-Za-z0-9._:@-]`.
    pub fn parse(value: &str) -> Result<Self, BadChainName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:@-".contains(c);
        if (1..=LONGEST_CHAIN).contains(&value.len()) && value.chars().all(allowed) {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadChainName::Chain(shown(value, LONGEST_CHAIN)))
        }
    }

    /// Parses the id of any chain: a producer's own, or that of a recipe's chain, such as `1795232878059-0/medium`.
    pub fn parse_any(value: &str) -> Result<Self, BadChainName> {
        let is_recipe = value
            .split_once('/')
            .is_some_and(|(entry, rest)| Self::parse(entry).is_ok() && Self::parse(rest).is_ok());
        if is_recipe && value.len() <= LONGEST_CHAIN {
            Ok(Self(value.to_owned()))
        } else {
            Self::parse(value)
        }
    }

    /// The id of a chain whose producer set none: that of its receipt. One that is too long is cut at the
    /// start; the stream id at its end is unique.
    pub fn from_receipt(receipt: &JobId) -> Self {
        let text = receipt.as_str();
        let from = text.len().saturating_sub(LONGEST_CHAIN);
        Self(text.get(from..).unwrap_or(text).to_owned())
    }

    /// The id of the chain that runs a round of a recipe, for a job that was delivered as this entry: an entry id is given
    /// once, and producers cannot choose an id with a slash. An entry id that is too long is replaced by its digest.
    pub fn of_recipe(entry: &EntryId, recipe: &RecipeName, round: u32) -> Self {
        let round = match round {
            0 | 1 => String::new(),
            later => format!(".{later}"),
        };
        // The ready stream of a queue is marked by `~`, which no id of a job has.
        let entry_id = entry.as_str().replace('~', "@");
        let id = format!("{entry_id}/{recipe}{round}");
        if id.len() <= LONGEST_CHAIN {
            return Self(id);
        }
        let digest = format!("{:x}", Sha256::digest(entry.as_str()));
        let digest: String = digest.chars().take(DIGEST).collect();
        Self(format!("{digest}/{recipe}{round}"))
    }

    /// An id that Longshore stored.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// A new unique id.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id under which its outcome is stored.
    pub fn outcome(&self) -> JobId {
        JobId::of_chain(&self.0)
    }

    /// The id of the job that runs a step or item.
    pub fn job(&self, instance: &Instance) -> JobId {
        JobId::of_step(&self.0, &instance.to_string())
    }

    /// The id of the job that runs a task of a batch, unless the task has its own id.
    pub fn task(&self, index: u32) -> JobId {
        self.job(&Instance::item(StepName::of_batch(), index))
    }
}

impl StepName {
    /// The single step of a batch; its items are the tasks.
    pub fn of_batch() -> Self {
        Self("task".to_owned())
    }

    /// The job after a chain's end; no step may have this name.
    pub fn on_complete() -> Self {
        Self("on_complete".to_owned())
    }

    /// Parses `[A-Za-z_][A-Za-z0-9_]*`, at most 48 characters.
    pub fn parse(value: &str) -> Result<Self, BadChainName> {
        let begins = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if begins && value.len() <= LONGEST_STEP && value.chars().all(allowed) {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadChainName::Step(shown(value, LONGEST_STEP)))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Instance {
    /// The step itself.
    pub fn whole_step(step: StepName) -> Self {
        Self { step, index: None }
    }

    /// One item of a step.
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

impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
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
    fn the_chain_of_a_recipe_has_an_id_of_its_own_form() {
        let recipe = RecipeName::parse("medium").unwrap();
        let entry = EntryId::parse("~bulk:1795232878059-0").unwrap();
        let first = ChainId::of_recipe(&entry, &recipe, 1);
        assert_eq!(first.as_str(), "@bulk:1795232878059-0/medium");
        assert_eq!(ChainId::parse_any(first.as_str()).unwrap(), first);
        assert!(
            ChainId::parse(first.as_str()).is_err(),
            "no producer can choose it"
        );
        let second = ChainId::of_recipe(&entry, &recipe, 2);
        assert_eq!(second.as_str(), "@bulk:1795232878059-0/medium.2");
        let long = EntryId::parse(&format!("{}:1795232878059-0", "q".repeat(64))).unwrap();
        let recipe = RecipeName::parse(&"r".repeat(32)).unwrap();
        let id = ChainId::of_recipe(&long, &recipe, 20);
        assert!(id.as_str().len() <= LONGEST_CHAIN, "{id}");
        let job = id.job(&Instance::item(StepName("s".repeat(48)), 9_999_999));
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
