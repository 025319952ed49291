//! A checked chain document: names, needs and templates are consistent.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde_json::{Map, Value};

use super::{
    ChainId, Extract, GateName, Merge, MergeOf, Models, NotBy, OnFailure, Person, StepName,
    StepTools, Validate,
};
use crate::{
    envelope::{ContentHash, Limit},
    money::Usd,
    recipe::RecipeCall,
    reply::ReplyTo,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The producer's own id, if set.
    pub id: Option<ChainId>,
    /// The display name.
    pub name: Option<String>,
    /// The most that the whole chain may cost.
    pub max_cost: Option<Usd>,
    /// The latest end of the chain.
    pub deadline: Option<Limit>,
    /// The most jobs of the chain that run at once.
    pub max_parallel: Option<NonZeroU32>,
    /// Whether the first failure ends the chain.
    pub fail_fast: bool,
    /// The tenant of steps that name none.
    pub tenant: Option<String>,
    /// Returned with the outcome.
    pub metadata: Option<Map<String, Value>>,
    /// The W3C trace context of steps that have none.
    pub traceparent: Option<String>,
    /// Where the outcome is pushed.
    pub reply: Option<ReplyTo>,
    /// What happens after the end of the chain.
    pub on_complete: Option<OnComplete>,
    /// The steps in document order; names are unique.
    pub steps: Vec<Step>,
    pub(super) hash: ContentHash,
}

/// What happens after the end of a chain.
#[derive(Debug, Clone, PartialEq)]
pub enum OnComplete {
    /// One more job, which may read every step.
    Job(Work),
    /// A signed request to this URL. The configuration decides whether its host is allowed.
    Webhook(String),
}

/// The job of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The job's JSON (the value of the entry field `job`), as the producer wrote it, without the
    /// fields of the step.
    pub job: String,
    /// Whether any of its texts is a template.
    pub templated: bool,
    /// Whether its answer is a list of jobs.
    pub spawns: bool,
    /// The recipe that answers it.
    pub recipe: Option<Box<RecipeCall>>,
    /// The steps whose answers its texts, its condition or its list read, and the step that it gathers;
    /// sorted.
    pub reads: Vec<StepName>,
    /// Whether they read what only a recipe has: `job`, `parameters`, `round` or `last`.
    pub reads_recipe: bool,
    /// The steps of the recipe's last round that they read; sorted.
    pub reads_last: Vec<StepName>,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The unique name of the step.
    pub name: StepName,
    /// The steps that must end first, in document order; includes the gathered step.
    pub needs: Vec<StepName>,
    /// The condition for running the step.
    pub when: Option<String>,
    /// What happens if the step fails.
    pub on_failure: OnFailure,
    /// The list expression that the step fans out over.
    pub foreach: Option<String>,
    /// The fanned-out step whose answers it gathers.
    pub gather: Option<StepName>,
    /// The models that it asks, each in an item of the step.
    pub models: Option<Models>,
    /// What it makes of the answers of several models.
    pub merge: Option<MergeOf>,
    /// The steps whose authors may not answer it.
    pub not_by: Option<NotBy>,
    /// If it fans out over a list or models: how many items must succeed. Otherwise: how many needs must complete before
    /// the step starts.
    pub min_success: Option<u32>,
    /// Whether it ends with the item by which enough have succeeded; the others are cancelled.
    pub ends_early: bool,
    /// The gate whose command it runs, instead of a call to a model.
    pub gate: Option<GateName>,
    /// The part of its answer that it asks for.
    pub extract: Option<Extract>,
    /// How it checks the answer of another step.
    pub validate: Option<Validate>,
    /// What it asks a person, instead of a call to a model.
    pub person: Option<Person>,
    pub work: Work,
    /// The tools that it names, which the worker runs.
    pub tools: Option<StepTools>,
}

impl Step {
    /// How many needs must complete before the step starts, if not all of them; counts completed needs
    /// only.
    pub fn quorum(&self) -> Option<u32> {
        self.min_success.filter(|_| !self.has_items())
    }

    /// How many of its items must succeed, if not all of them. One model is enough unless the step says more.
    pub fn least_items(&self) -> Option<u32> {
        let default = self.models.as_ref().map(|_| 1);
        self.min_success.or(default).filter(|_| self.has_items())
    }

    /// Whether it runs once for each item of a list or for each of several models.
    pub fn has_items(&self) -> bool {
        self.foreach.is_some() || self.models.is_some()
    }

    /// Whether its answer is the one verdict on another answer.
    pub fn is_validation(&self) -> bool {
        let merges_verdicts = self.merge.as_ref().map(|of| &of.merge) == Some(&Merge::Verdicts);
        merges_verdicts || (self.validate.is_some() && self.models.is_none())
    }

    /// How many needs the step waits for.
    pub fn waits_for(&self) -> usize {
        let quorum = self.quorum().and_then(|least| usize::try_from(least).ok());
        quorum.unwrap_or(self.needs.len())
    }
}

impl Document {
    /// The hash of the document without its id: two documents with one id are the same chain only if
    /// their hashes are equal.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The steps that depend on a step, by its name; steps without dependents are absent.
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
