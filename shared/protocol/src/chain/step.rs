//! What the worker of a step has to know of its chain.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChainId, Instance, StepName};
use crate::{id::JobId, money::Usd};

string_enum! {
    /// What follows when a step fails.
    OnFailure {
        /// The chain fails; what does not need the step goes on.
        Fail = "fail",
        /// The chain goes on without its answer.
        Continue = "continue",
        /// Models of a higher tier are tried first; then as `fail`.
        Escalate = "escalate",
    }
}

/// What the worker of a step has to know of its chain. Part of the job's memory, which only we write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRef {
    /// The chain.
    pub chain: ChainId,
    /// The step.
    pub name: StepName,
    /// The item, of a step that fans out; absent while it has yet to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The item's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// The chain's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_name: Option<String>,
    /// The steps whose answers its texts, its condition or its list need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<StepName>,
    /// Whether its texts are templates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub templated: bool,
    /// The condition under which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The list that it fans out over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<String>,
    /// The fanned-out step whose answers it gathers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gather: Option<StepName>,
    /// Whether models of a higher tier are tried before it fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalate: bool,
    /// Whether other steps read its answer, which is then kept as a context.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needed: bool,
    /// The job that it came from: the first of those that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<JobId>,
    /// Whose job it is, where its own message does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When the chain is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// What the whole chain may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Usd>,
    /// Set of what follows the chain's end: it is no step of it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after: bool,
    /// Where the chain's end is told, instead of asking a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

impl StepRef {
    /// Of a step of which nothing more is said.
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
            escalate: false,
            needed: false,
            parent: None,
            tenant: None,
            deadline: None,
            max_cost: None,
            after: false,
            webhook: None,
        }
    }

    /// What runs of the step.
    pub fn instance(&self) -> Instance {
        Instance {
            step: self.name.clone(),
            index: self.index,
        }
    }

    /// Whether it has yet to fan out: then it is no job of its own.
    pub fn is_to_fan_out(&self) -> bool {
        self.foreach.is_some() && self.index.is_none()
    }
}
