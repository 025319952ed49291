//! One call to a provider: the request, the answer and the errors.

mod message;
mod params;
mod tools;

use std::{ops::Add, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::message::is_base64;
pub use self::{
    message::{ChatMessage, Content, ImageSource, InlineData, Part, Role, decoded_length},
    params::{CallParams, Parameter, ReasoningEffort, asked_for, leave_out},
    tools::{FunctionCall, Tool, ToolCall, ToolChoice, ToolKind},
};
use crate::{chain::Extract, id::AttemptId, money::Usd};

/// A request to a provider: everything that a dialect needs to write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The attempt; sent as the idempotency key.
    pub attempt_id: AttemptId,
    /// The provider's own name of the model.
    pub model: String,
    /// Instructions before the conversation.
    pub system: Option<String>,
    /// The conversation; at least one message.
    pub messages: Vec<ChatMessage>,
    pub params: CallParams,
    /// Members of this platform's request that have no name in the protocol.
    pub options: serde_json::Map<String, Value>,
    /// The limit to send if the dialect requires one and the job sets none.
    pub default_max_tokens: u32,
    /// Whether the answer must be a list of jobs.
    pub spawn: bool,
    /// The part that the answer must have.
    pub extract: Option<Extract>,
    /// The time after which the attempt is cancelled.
    pub timeout: Duration,
}

/// Billed tokens, in one form for all providers: no field includes another, but for those of sound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens at the full rate, without cache reads and writes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Prompt tokens written to the provider's cache for five minutes, or for its default time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Prompt tokens written to the provider's cache for an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Visible answer tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Reasoning tokens, billed as output.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Those of `input` that are sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audio: u64,
    /// Those of `cached` that are sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_audio: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Usage {
    /// All prompt tokens, however they are billed.
    pub fn total_input(&self) -> u64 {
        [self.cached, self.cache_write, self.cache_write_1h]
            .into_iter()
            .fold(self.input, u64::saturating_add)
    }

    /// All answer tokens, reasoning included.
    pub fn total_output(&self) -> u64 {
        self.output + self.reasoning
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cached: self.cached + other.cached,
            cache_write: self.cache_write + other.cache_write,
            cache_write_1h: self.cache_write_1h + other.cache_write_1h,
            output: self.output + other.output,
            reasoning: self.reasoning + other.reasoning,
            audio: self.audio + other.audio,
            cached_audio: self.cached_audio + other.cached_audio,
        }
    }
}

/// A provider's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text; empty if the answer is only calls of tools.
    pub output: String,
    /// The tools that the model wants called.
    pub tool_calls: Vec<ToolCall>,
    /// The probabilities of tokens, in the provider's own form.
    pub logprobs: Option<Value>,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    pub usage: Usage,
    /// The model that the provider reports to have used.
    pub model: Option<String>,
    /// The provider's own id of the answer.
    pub response_id: Option<String>,
    /// The cost that the provider reports; recorded next to the computed cost.
    pub reported_cost: Option<Usd>,
    /// The account's limits, as reported in the response headers.
    pub room: ReportedLimits,
}

impl Answer {
    /// An answer for which no provider was called.
    pub fn without_call(output: String) -> Self {
        Self {
            output,
            tool_calls: Vec::new(),
            logprobs: None,
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            model: None,
            response_id: None,
            reported_cost: None,
            room: ReportedLimits::default(),
        }
    }
}

/// The limits of a provider's account, as reported in response headers; absent if not reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedLimits {
    pub requests: Option<ReportedLimit>,
    pub tokens: Option<ReportedLimit>,
}

/// The rest of one limit, and the time until the limit is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedLimit {
    pub remaining: u64,
    /// The time until the limit is full again.
    pub reset_after: Duration,
}

string_enum! {
    /// Why an answer ended.
    FinishReason {
        /// The answer is complete.
        Stop = "stop",
        /// The answer reached the token limit.
        Length = "length",
        /// The model requests a tool call.
        ToolCalls = "tool_calls",
        /// Any other reason.
        Other = "other",
    }
}

string_enum! {
    /// The kind of a failed call; decides what happens next.
    ErrorClass {
        /// Too many requests or tokens; temporary.
        RateLimited = "rate_limited",
        /// The quota or balance is exhausted; not temporary.
        QuotaExhausted = "quota_exhausted",
        /// The provider is down or overloaded (5xx, 529).
        Overloaded = "overloaded",
        /// No answer in time.
        Timeout = "timeout",
        /// The connection failed or broke.
        Network = "network",
        /// The key is missing, wrong, or lacks permission.
        Auth = "auth",
        /// The request is invalid; a retry would fail as well.
        BadRequest = "bad_request",
        /// The prompt exceeds the model's context window.
        ContextTooLong = "context_too_long",
        /// The provider or the model refused to answer.
        Refused = "refused",
        /// The answer cannot be parsed, is empty, or does not match the schema.
        BadOutput = "bad_output",
        /// Longshore itself failed.
        Internal = "internal",
    }
}

/// What may mend a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same call, after a wait.
    Repeat,
    /// The same call, told what is wrong with the answer. Each answer is billed.
    TellFault,
    /// The same call with a larger token limit, or another model if there is none. Each answer is billed.
    LargerLimit,
    /// Another model: the same one would be billed for the same failure.
    OtherModel,
    /// Another platform.
    OtherPlatform,
    /// Nothing: every platform would fail the same way.
    Nothing,
}

impl ErrorClass {
    /// What usually mends a failure of this class.
    fn remedy(self) -> Remedy {
        match self {
            Self::RateLimited
            | Self::Overloaded
            | Self::Timeout
            | Self::Network
            | Self::BadOutput => Remedy::Repeat,
            Self::QuotaExhausted | Self::Auth | Self::ContextTooLong => Remedy::OtherPlatform,
            Self::Refused => Remedy::OtherModel,
            Self::BadRequest | Self::Internal => Remedy::Nothing,
        }
    }
}

/// What a failed call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallCost {
    /// The provider rejected the call before doing any work.
    Nothing,
    /// The provider may have done work; the bill is unknown.
    Unknown,
    /// The provider did work and reported the usage.
    Known(Usage),
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub class: ErrorClass,
    /// The provider's message, for people; never contains a key or the prompt.
    pub message: String,
    /// The time to wait before the next call, if the provider set one.
    pub retry_after: Option<Duration>,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    pub spend: CallCost,
    /// What may mend it.
    pub remedy: Remedy,
    /// The account's limits, as reported in the response headers.
    pub room: ReportedLimits,
}

impl CallError {
    /// An error of a call that cost nothing, with the remedy of its class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry_after: None,
            status: None,
            spend: CallCost::Nothing,
            remedy: class.remedy(),
            room: ReportedLimits::default(),
        }
    }

    /// The same error with another remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    /// The same error with another cost.
    #[must_use]
    pub fn spend(mut self, spend: CallCost) -> Self {
        self.spend = spend;
        self
    }
}
