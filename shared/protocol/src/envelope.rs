//! The envelope: what a producer says of a job, parsed once and trusted from there on.
//!
//! The rules are those of `docs/PROTOCOL.md`; `parse` turns a message into an [`Envelope`] or into
//! a [`Malformed`] that names the field, what is wrong with it and what would be right.

mod by_name;
mod chained;
pub(crate) mod fields;
mod hash;
pub(crate) mod json;
mod malformed;
pub(crate) mod objects;
mod parse;
mod tenant;
#[cfg(test)]
mod tests;
pub(crate) mod times;

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

pub use self::fields::is_line;
pub use self::{
    chained::chain_text,
    hash::ContentHash,
    malformed::{Malformed, MalformedCode},
    parse::{Limits, Message as RawMessage, Parsed, parse},
    tenant::tenant_of,
};
pub(crate) use self::{malformed::shortened, parse::members_of};
use crate::{call::Message, id::JobId, money::Usd};

/// The version of the protocol that this build speaks.
pub const PROTOCOL_VERSION: u64 = 1;

/// What a job is, when its producer does not say.
pub const DEFAULT_TYPE: &str = "code_generation";

/// How long one attempt may take, when the producer does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// Characters of the prompt that the record keeps for people.
const PROMPT_HEAD: usize = 200;

/// One job as its producer described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The producer's own id, if it gave one.
    pub id: Option<JobId>,
    /// The type of the task, which routing and reports go by.
    pub task_type: String,
    /// The conversation; a plain prompt is one message of the user's.
    pub messages: Vec<Message>,
    /// Instructions before the conversation.
    pub system: Option<String>,
    /// The platform that the producer would like (advisory).
    pub platform: Option<String>,
    /// The model that the producer insists on.
    pub model: Option<String>,
    /// What routing rules read.
    pub routing: RoutingInputs,
    /// The most tokens of an answer.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// The form of the answer (OpenAI's `response_format`).
    pub response_format: Option<Value>,
    /// Not to be started before this.
    pub not_before: Option<NotBefore>,
    /// To be started by this, or not at all.
    pub start_by: Option<Limit>,
    /// To be done by this, waiting and retries included.
    pub deadline: Option<Limit>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The producer's own word on retries.
    pub retry: Option<Retry>,
    /// Whether other platforms may be tried.
    pub fallback: bool,
    /// What the job may spend, all attempts together.
    pub max_cost: Option<Usd>,
    /// A second job with this key inside the time is dropped.
    pub unique: Option<Unique>,
    /// At most so many with this key in flight at once.
    pub concurrency: Option<Concurrency>,
    /// The chain that the job's cost belongs to.
    pub chain_id: Option<String>,
    /// The job that this one came from.
    pub parent_id: Option<String>,
    /// Whose job it is.
    pub tenant: Option<String>,
    /// Whatever the producer wants back with the outcome.
    pub metadata: Option<Map<String, Value>>,
    /// Whether the outcome is pushed to the reply list.
    pub reply: bool,
    /// Whether its answer is a list of jobs, which are put in with its end.
    pub spawn: bool,
    /// The W3C trace that the job belongs to.
    pub traceparent: Option<String>,
}

/// What routing rules read beside the type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingInputs {
    /// How much harm a wrong answer does.
    pub risk: Option<String>,
    /// The field that the task is from.
    pub area: Option<String>,
    /// How hard it is.
    pub complexity: Option<String>,
}

/// When a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBefore {
    /// So long after the server received it.
    Delay(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

/// A time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So long after the server received the job.
    After(Duration),
    /// This time.
    At(DateTime<Utc>),
}

/// The producer's own word on retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// A policy of the config, by name.
    Policy(String),
    /// Its own figures; what is absent is as the config says.
    Custom {
        /// Tries after the first, on one platform.
        max_retries: Option<u32>,
        /// The first wait.
        base_delay: Option<Duration>,
        /// The longest wait.
        max_delay: Option<Duration>,
    },
}

/// A key that may be used once in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: String,
    /// How long it is taken.
    pub ttl: Duration,
}

/// A key of which only so many may be in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// The key.
    pub key: String,
    /// How many at once.
    pub limit: NonZeroU32,
}

impl Envelope {
    /// The head of the prompt, for people who look for the job in the record.
    pub fn prompt_head(&self) -> String {
        let last = self.messages.last();
        last.map(|message| message.content.chars().take(PROMPT_HEAD).collect())
            .unwrap_or_default()
    }
}

impl NotBefore {
    /// The time, for a job that the server received at `received`.
    pub fn at(self, received: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Delay(delay) => received + delay,
            Self::At(at) => at,
        }
    }
}

impl Limit {
    /// The time, for a job that the server received at `received`.
    pub fn at(self, received: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::After(limit) => received + limit,
            Self::At(at) => at,
        }
    }
}
