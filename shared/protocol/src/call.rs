//! One call to a provider: what is asked, what comes back, what can go wrong.

use std::{ops::Add, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{id::AttemptId, money::Usd};

/// One turn of a conversation, in the chat form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What else the producer sent with it; passed along to OpenAI-compatible providers.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

string_enum! {
    /// Who speaks in a conversation.
    Role {
        /// The instructions.
        System = "system",
        /// The one who asks.
        User = "user",
        /// The model.
        Assistant = "assistant",
    }
}

/// What a provider is asked: everything that a dialect needs to write the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The attempt; sent as the idempotency key.
    pub attempt_id: AttemptId,
    /// The provider's own name of the model.
    pub model: String,
    /// Instructions that stand before the conversation.
    pub system: Option<String>,
    /// The conversation; at least one message.
    pub messages: Vec<Message>,
    /// The most tokens that the answer may have.
    pub max_tokens: Option<u32>,
    /// What to send as the limit where a dialect demands one and the job names none.
    pub default_max_tokens: u32,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// The form of the answer, as OpenAI's `response_format`.
    pub response_format: Option<Value>,
    /// Whether the answer has to be a list of jobs.
    pub spawn: bool,
    /// When the attempt is given up.
    pub timeout: Duration,
}

/// Tokens as they are billed, in one form for all providers: no field includes another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens at the full rate (cache reads and writes are not in it).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Prompt tokens written to the provider's cache for five minutes (or its default time).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Prompt tokens written to the provider's cache for an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Visible answer tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Thinking tokens, billed as output.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Usage {
    /// All tokens of the prompt, however they are billed.
    pub fn total_input(&self) -> u64 {
        [self.cached, self.cache_write, self.cache_write_1h]
            .into_iter()
            .fold(self.input, u64::saturating_add)
    }

    /// All tokens of the answer, seen or not.
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
        }
    }
}

/// A provider's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text.
    pub output: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it took.
    pub usage: Usage,
    /// The model that the provider says it used.
    pub model: Option<String>,
    /// The provider's own id of the answer.
    pub response_id: Option<String>,
    /// What the provider says that it cost; kept beside our own figure.
    pub reported_cost: Option<Usd>,
    /// What its headers say of the account's limits.
    pub room: ProviderRoom,
}

/// What a provider's headers say of its account's limits; absent where they say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderRoom {
    /// Requests that are left.
    pub requests: Option<RoomLeft>,
    /// Tokens that are left.
    pub tokens: Option<RoomLeft>,
}

/// How much is left of one limit, and how soon it is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomLeft {
    /// So many.
    pub remaining: u64,
    /// Until it is whole again.
    pub reset_after: Duration,
}

string_enum! {
    /// Why an answer ended.
    FinishReason {
        /// It was complete.
        Stop = "stop",
        /// The limit of tokens was reached.
        Length = "length",
        /// The model wants a tool called.
        ToolCalls = "tool_calls",
        /// Anything else that the provider says.
        Other = "other",
    }
}

string_enum! {
    /// What went wrong with a call, as far as what to do next depends on it.
    ErrorClass {
        /// Too many requests or tokens; it passes.
        RateLimited = "rate_limited",
        /// The quota or the balance is spent; it does not pass soon.
        QuotaExhausted = "quota_exhausted",
        /// The provider is down or overloaded (5xx, 529).
        Overloaded = "overloaded",
        /// No answer in time.
        Timeout = "timeout",
        /// The connection failed or broke.
        Network = "network",
        /// The key is missing, wrong, or may not do this.
        Auth = "auth",
        /// The request is wrong; another try would be as wrong.
        BadRequest = "bad_request",
        /// The prompt does not fit the model's window.
        ContextTooLong = "context_too_long",
        /// The provider or the model declined to answer.
        Refused = "refused",
        /// The answer cannot be read, or is empty, or does not fit the schema.
        BadOutput = "bad_output",
        /// Longshore itself failed.
        Internal = "internal",
    }
}

impl ErrorClass {
    /// Whether the same platform may be asked again.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Network | Self::BadOutput
        )
    }
}

/// What a failed call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spend {
    /// The provider declined before doing any work.
    Nothing,
    /// The provider may have worked, but what it will bill is not known.
    Unknown,
    /// The provider worked, and said how much.
    Known(Usage),
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// What the provider said, for people; never holds a key or the prompt.
    pub message: String,
    /// Not to be asked again before this long.
    pub retry_after: Option<Duration>,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// What it cost.
    pub spend: Spend,
    /// What the provider's headers say of the account's limits.
    pub room: ProviderRoom,
}

impl CallError {
    /// A failure that cost nothing.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry_after: None,
            status: None,
            spend: Spend::Nothing,
            room: ProviderRoom::default(),
        }
    }

    /// The same failure, but the provider may have billed it.
    #[must_use]
    pub fn spend(mut self, spend: Spend) -> Self {
        self.spend = spend;
        self
    }
}
