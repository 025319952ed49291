//! What the worker of a step needs to know about its chain.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ChainId, Extract, GateName, Instance, Merge, ModelName, Models, NotBy, Person, StepName,
    StepTools, Validate,
};
use crate::{id::JobId, money::Usd, serialized::is_zero};

string_enum! {
    /// What happens if a step fails.
    OnFailure {
        /// The chain fails; steps that do not need this one still run.
        Fail = "fail",
        /// The chain continues without the answer.
        Continue = "continue",
        /// Models of higher tiers are tried first; then as `fail`.
        Escalate = "escalate",
    }
}

/// What the worker of a step needs to know about its chain. Part of the job's checkpoint, which only
/// Longshore writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRef {
    pub chain: ChainId,
    pub name: StepName,
    /// The item of a fanned-out step; absent before the fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The value of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// The chain's display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_name: Option<String>,
    /// The steps whose answers its texts, its condition or its list read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<StepName>,
    /// Whether its texts are templates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub templated: bool,
    /// The condition for running the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The list expression that the step fans out over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<String>,
    /// The fanned-out step whose answers it gathers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gather: Option<StepName>,
    /// The models that it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Models>,
    /// Of an item of a step that asks several models: its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<ModelName>,
    /// What it makes of the answers of several models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeOf>,
    /// The steps whose authors may not answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_by: Option<NotBy>,
    /// Whether higher tiers are tried before the step fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalate: bool,
    /// Whether the chain keeps its outcome, for the steps that read it and for the chain's own outcome. A batch does
    /// not.
    #[serde(default, rename = "needed", skip_serializing_if = "std::ops::Not::not")]
    pub keeps_outcome: bool,
    /// The job of the first step that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<JobId>,
    /// The tenant, if the step's message names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The W3C trace context of the chain, if the step's message has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The latest end of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// The most that the whole chain may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Usd>,
    /// Set for the job after the chain's end, which is not a step of the chain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after: bool,
    /// The URL that the chain's end is reported to, instead of a call to a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The gate whose command it runs, instead of a call to a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateName>,
    /// Whether its texts read what only a recipe has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_recipe: bool,
    /// The steps of the recipe's last round that its texts read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads_last: Vec<StepName>,
    /// The chain of the recipe's last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_round: Option<ChainId>,
    /// How many recipes are around it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipes_around: u32,
    /// What the chains around that of its recipe may cost: its calls count there, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outer_caps: Vec<ChainCap>,
    /// The part of its answer that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<Extract>,
    /// How it checks the answer of another step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Box<Validate>>,
    /// What it asks a person, instead of a call to a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// The tools that it names, which the worker runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<StepTools>,
}

/// The most that a chain may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainCap {
    pub chain: ChainId,
    pub max_cost: Usd,
}

/// A merge of the answers of several models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeOf {
    /// The step that asks the models.
    pub asked: StepName,
    pub merge: Merge,
}

impl StepRef {
    /// The caps on what its calls may cost: of its own chain, then of the chains around.
    pub fn caps(&self) -> impl Iterator<Item = ChainCap> {
        let own = self.max_cost.map(|max_cost| ChainCap {
            chain: self.chain.clone(),
            max_cost,
        });
        own.into_iter().chain(self.outer_caps.iter().cloned())
    }

    /// A reference with only the chain and the step set.
    pub fn new(chain: ChainId, name: StepName) -> Self {
        Self {
            chain,
            name,
            index: None,
            item: None,
            chain_name: None,
            reads: Vec::new(),
            templated: false,
            when: None,
            foreach: None,
            gather: None,
            models: None,
            only: None,
            merge: None,
            not_by: None,
            escalate: false,
            keeps_outcome: false,
            parent: None,
            tenant: None,
            traceparent: None,
            deadline: None,
            max_cost: None,
            after: false,
            webhook: None,
            reads_recipe: false,
            reads_last: Vec::new(),
            last_round: None,
            recipes_around: 0,
            outer_caps: Vec::new(),
            gate: None,
            extract: None,
            validate: None,
            person: None,
            tools: None,
        }
    }

    /// The step, or the item of it that runs.
    pub fn instance(&self) -> Instance {
        Instance {
            step: self.name.clone(),
            index: self.index,
        }
    }

    /// Whether the step still has to fan out: then it is not a job of its own.
    pub fn is_to_fan_out(&self) -> bool {
        (self.foreach.is_some() || self.models.is_some()) && self.index.is_none()
    }
}
