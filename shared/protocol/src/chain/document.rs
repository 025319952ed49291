//! A chain as its document says it, checked: names, needs and templates hold together.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use serde_json::{Map, Value};

use super::{ChainId, OnFailure, StepName};
use crate::{
    envelope::{ContentHash, Limit},
    money::Usd,
};

/// A chain of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The producer's own id, if it gave one.
    pub id: Option<ChainId>,
    /// Its name, for people.
    pub name: Option<String>,
    /// What the whole chain may spend.
    pub max_cost: Option<Usd>,
    /// To be done by this.
    pub deadline: Option<Limit>,
    /// At most so many of its jobs at once.
    pub max_parallel: Option<NonZeroU32>,
    /// Whether the first failure ends it.
    pub fail_fast: bool,
    /// Whose its steps are, where they do not say.
    pub tenant: Option<String>,
    /// Whatever the producer wants back with the outcome.
    pub metadata: Option<Map<String, Value>>,
    /// Whether the outcome is pushed to the reply list.
    pub reply: bool,
    /// What follows its end.
    pub on_complete: Option<OnComplete>,
    /// The steps, in the document's order; no name twice.
    pub steps: Vec<Step>,
    pub(super) hash: ContentHash,
}

/// What follows a chain's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnComplete {
    /// One more job, which may read every step.
    Job(Work),
    /// A signed request to this URL. Whether its host is allowed is the configuration's to say.
    Webhook(String),
}

/// What a worker is given of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The job's JSON (the value of an entry's field `job`): as the producer wrote it, without what belongs to the step.
    pub job: String,
    /// Whether a text of it is a template.
    pub templated: bool,
    /// Whether its answer is a list of jobs.
    pub spawns: bool,
    /// The steps whose answers its texts, its condition or its list need, and the one that it gathers; sorted.
    pub reads: Vec<StepName>,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, which only it has.
    pub name: StepName,
    /// What has to be done before, in the document's order; the step that it gathers is among them.
    pub needs: Vec<StepName>,
    /// The condition under which it runs.
    pub when: Option<String>,
    /// What follows when it fails.
    pub on_failure: OnFailure,
    /// The list that it fans out over.
    pub foreach: Option<String>,
    /// The fanned-out step whose answers it gathers.
    pub gather: Option<StepName>,
    /// With `foreach`, so many items must succeed; without, so many needs are enough to start.
    pub min_success: Option<u32>,
    /// What it does.
    pub work: Work,
}

impl Step {
    /// How many of its needs are enough to start, where not all have to pass: then only completed ones count.
    pub fn quorum(&self) -> Option<u32> {
        self.min_success.filter(|_| self.foreach.is_none())
    }

    /// How many of its needs it waits for.
    pub fn waits_for(&self) -> usize {
        let quorum = self.quorum().and_then(|least| usize::try_from(least).ok());
        quorum.unwrap_or(self.needs.len())
    }
}

impl Document {
    /// The hash of what the document says, but for its id: two documents with one id are the same chain only
    /// if their hashes are equal.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The steps whose answers others read, or what follows the end does.
    pub fn needed(&self) -> BTreeSet<&StepName> {
        let after = match &self.on_complete {
            Some(OnComplete::Job(work)) => Some(work),
            Some(OnComplete::Webhook(_)) | None => None,
        };
        let works = self.steps.iter().map(|step| &step.work).chain(after);
        works.flat_map(|work| &work.reads).collect()
    }

    /// The steps that need a step, by its name; a step that nobody needs is not in it.
    pub fn dependents(&self) -> BTreeMap<&StepName, Vec<&Step>> {
        let mut dependents: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for step in &self.steps {
            for need in &step.needs {
                dependents.entry(need).or_default().push(step);
            }
        }
        dependents
    }
}
