//! The outcome of a job: what stands in `{ns}:result:ID` and comes through `{ns}:reply:ID`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{call::FinishReason, id::JobId, money::Usd, state::JobState};

/// How a job ended (`docs/protocol/outcome.schema.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The job.
    pub id: JobId,
    /// `completed`, `discarded` or `cancelled`.
    pub state: JobState,
    /// Whether there is an answer.
    pub success: bool,
    /// The answer.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What kind of failure it was.
    pub error_class: Option<String>,
    /// Who answered, or was asked last.
    pub platform: Option<String>,
    /// Which model.
    pub model: Option<String>,
    /// Why the answer ended.
    pub finish_reason: Option<FinishReason>,
    /// Calls made.
    pub attempts: u32,
    /// Prompt tokens of all attempts, cached ones included.
    pub input_tokens: u64,
    /// Billed answer tokens of all attempts, reasoning included.
    pub output_tokens: u64,
    /// Of the prompt tokens, those read from a cache.
    pub cached_tokens: u64,
    /// Of the answer tokens, those that only the model saw.
    pub reasoning_tokens: u64,
    /// What all attempts cost, as far as it is known.
    pub cost_usd: Usd,
    /// From the first attempt's begin to the end.
    pub duration_ms: u64,
    /// From the server's receipt to the first attempt's begin.
    pub queued_ms: u64,
    /// The producer's own.
    pub metadata: Option<Map<String, Value>>,
}
