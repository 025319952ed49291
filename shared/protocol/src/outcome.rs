//! The outcome of a job or a chain, as stored in `{ns}:result:ID` and pushed to `{ns}:reply:ID`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    call::{FinishReason, ToolCall},
    chain::{
        ChainId, ChainKind, ChainState, Extracted, GateResult, Instance, MergeKind, StepName,
        Validation,
    },
    id::JobId,
    money::Usd,
    recipe::RecipeName,
    review::ReviewResult,
    state::JobState,
    tool_rounds::ToolsOutcome,
};

/// How a job ended (`docs/protocol/outcome.schema.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub id: JobId,
    /// `completed`, `discarded` or `cancelled`.
    pub state: JobState,
    /// Whether there is an answer.
    pub success: bool,
    pub output: Option<String>,
    /// The tools that the model wants called; absent if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The probabilities of tokens, in the platform's own form; absent if not asked for or not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
    pub error: Option<String>,
    pub error_class: Option<String>,
    /// The platform of the last attempt.
    pub platform: Option<String>,
    /// The model of the last attempt.
    pub model: Option<String>,
    /// Why the answer ended.
    pub finish_reason: Option<FinishReason>,
    /// Calls made.
    pub attempts: u32,
    /// Prompt tokens of all attempts, cached ones included.
    pub input_tokens: u64,
    /// Billed answer tokens of all attempts, reasoning included.
    pub output_tokens: u64,
    /// Prompt tokens that were read from a cache.
    pub cached_tokens: u64,
    /// Answer tokens that were used for reasoning.
    pub reasoning_tokens: u64,
    /// The known cost of all attempts.
    pub cost_usd: Usd,
    /// Whether the cost of any attempt is unknown or Longshore's own estimate; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cost_estimated: bool,
    /// From the start of the first attempt to the end.
    pub duration_ms: u64,
    /// From receipt by the server to the start of the first attempt.
    pub queued_ms: u64,
    /// The producer's own metadata.
    pub metadata: Option<Map<String, Value>>,
    /// What was left out of the call, and which fields are unknown; absent if nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Of a step that merges the answers of several models; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Box<Merged>>,
    /// Of a step that ran a gate; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<GateResult>>,
    /// Of a job that a recipe answered; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Box<RecipeOutcome>>,
    /// Of a step that takes a part out of its answer; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<Box<Extracted>>,
    /// Of a step that checks an answer, and of a job whose recipe does; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Box<Validation>>,
    /// Of a step that asked a person; absent otherwise, and while nobody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Box<ReviewResult>>,
    /// Of a step whose tools the worker ran; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<ToolsOutcome>>,
}

/// How a recipe answered a job. The numbers of the outcome are those of all calls of all rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeOutcome {
    pub name: RecipeName,
    /// The chain of the last round.
    pub chain_id: ChainId,
    /// How many rounds ran.
    pub rounds: u32,
}

/// The answers of several models, and how one was made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    pub by: MergeKind,
    /// Why the output is what it is, for people.
    pub explanation: String,
    /// The index of the answer that is the output; absent if a model wrote a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<usize>,
    /// Of a vote: how many models gave the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<u32>,
    /// Of every model that was asked, in order.
    pub answers: Vec<ModelAnswer>,
}

/// How one of several models answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAnswer {
    pub platform: Option<String>,
    pub model: Option<String>,
    pub success: bool,
    pub output: Option<String>,
    pub error: Option<String>,
    pub error_class: Option<String>,
    pub cost_usd: Usd,
    pub duration_ms: u64,
}

impl From<Outcome> for ModelAnswer {
    fn from(outcome: Outcome) -> Self {
        Self {
            platform: outcome.platform,
            model: outcome.model,
            success: outcome.success,
            output: outcome.output,
            error: outcome.error,
            error_class: outcome.error_class,
            cost_usd: outcome.cost_usd,
            duration_ms: outcome.duration_ms,
        }
    }
}

impl Outcome {
    /// What a producer gets that asks again for a completed job whose outcome has expired: how it ended, and nothing
    /// else.
    pub fn expired(id: JobId) -> Self {
        let error = format!(
            "the outcome of this job has expired; `longshore jobs show {id}` reads it from Postgres"
        );
        Self {
            success: true,
            cost_estimated: true,
            ..Self::without_calls(id, JobState::Completed, "result_expired", error)
        }
    }

    /// The outcome of a message for which no call is known; `class` and `error` say why.
    pub fn without_calls(id: JobId, state: JobState, class: &str, error: String) -> Self {
        Self {
            id,
            state,
            success: false,
            output: None,
            tool_calls: Vec::new(),
            logprobs: None,
            error: Some(error),
            error_class: Some(class.to_owned()),
            platform: None,
            model: None,
            finish_reason: None,
            attempts: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
            cost_usd: Usd::ZERO,
            cost_estimated: false,
            duration_ms: 0,
            queued_ms: 0,
            metadata: None,
            warnings: Vec::new(),
            merged: None,
            recipe: None,
            gate: None,
            extracted: None,
            validation: None,
            review: None,
            tools: None,
        }
    }
}

/// How a chain or a batch ended, or how far it is (`docs/protocol/outcome.schema.json`). `chain_outcome.lua` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChainOutcome {
    pub id: ChainId,
    pub state: ChainState,
    /// Whether it completed.
    pub success: bool,
    pub kind: ChainKind,
    /// The answer, if the chain completed and has one last step that did not fan out.
    pub output: Option<String>,
    /// The answers of the last steps.
    pub outputs: BTreeMap<StepName, StepOutput>,
    pub error: Option<String>,
    pub error_class: Option<String>,
    /// The first steps, items or tasks without success.
    pub errors: Vec<StepError>,
    /// The platform of `output`.
    pub platform: Option<String>,
    /// The model of `output`.
    pub model: Option<String>,
    /// Why `output` ended.
    pub finish_reason: Option<FinishReason>,
    /// The steps of a chain, or the tasks of a batch.
    pub total_steps: u64,
    /// The steps and items that completed.
    pub completed: u64,
    pub failed: u64,
    /// Those whose condition was false.
    pub skipped: u64,
    pub cancelled: u64,
    /// Calls of all jobs.
    pub attempts: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
    pub reasoning_tokens: u64,
    /// The known cost of all jobs.
    pub cost_usd: Usd,
    /// Whether the cost of any attempt is unknown or Longshore's own estimate; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cost_estimated: bool,
    /// From the start to the end, or until now.
    pub duration_ms: u64,
    /// From receipt by the server to the start.
    pub queued_ms: u64,
    pub metadata: Option<Map<String, Value>>,
    /// How many answers are left out; absent if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StepOutput {
    /// Of a single job; `None` if there is no answer, or Redis no longer has it.
    One(Option<String>),
    /// Of a step that fanned out: one per item.
    Items(Vec<Option<String>>),
}

/// A step, an item or a task that ended without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// Its job.
    pub id: JobId,
    pub step: Instance,
    pub state: JobState,
    pub error: Option<String>,
    pub error_class: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `admit.lua` replaces this part when the job ended in another state; `settle.lua` reads the state from it.
    #[test]
    fn an_outcome_begins_with_id_state_and_success() {
        let outcome = Outcome::expired(JobId::parse("a").unwrap());
        let json = serde_json::to_string(&outcome).unwrap();
        let begin = r#"{"id":"a","state":"completed","success":true,"#;
        assert!(json.starts_with(begin), "{json}");
    }
}
