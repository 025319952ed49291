//! The envelope: a job as its producer described it, parsed once and trusted from then on.
//!
//! `docs/PROTOCOL.md` has the rules. `parse` turns a message into an [`Envelope`] or into a
//! [`Malformed`] that names the field, the error and the correct form.

pub(crate) mod by_name;
mod chained;
pub(crate) mod fields;
mod hash;
pub(crate) mod json;
mod malformed;
pub(crate) mod message;
pub(crate) mod objects;
mod options;
mod params;
mod parse;
mod recipe;
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
    malformed::{AllMalformed, Malformed, MalformedCode},
    parse::{FIELDS, Message as RawMessage, MessageLimits, Parsed, parse, parse_all, reply_to},
    tenant::tenant_of,
};
pub(crate) use self::{malformed::shortened, parse::members_of};
use crate::{
    call::{CallParams, ChatMessage},
    id::JobId,
    money::Usd,
    recipe::RecipeCall,
    reply::ReplyTo,
};

/// The protocol version of this build.
pub const PROTOCOL_VERSION: u64 = 1;

/// The job type if the producer sets none.
pub const DEFAULT_TYPE: &str = "code_generation";

/// The timeout of an attempt if the producer sets none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// The most fields of a message. A script that moves a message passes its fields through Lua's stack, which
/// holds some thousands; `MOST_FIELDS` in `lanes.lua` is the same limit.
pub const MAX_FIELDS: usize = 1000;

/// Characters of the prompt that the ledger stores for people.
const PROMPT_HEAD: usize = 200;

/// One job as its producer described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The producer's own id, if set.
    pub id: Option<JobId>,
    /// The job type; used by routing and reports.
    pub task_type: String,
    /// The conversation. A plain prompt becomes one user message.
    pub messages: Vec<ChatMessage>,
    /// Instructions before the conversation.
    pub system: Option<String>,
    /// The preferred platform (advisory).
    pub platform: Option<String>,
    /// The required model.
    pub model: Option<String>,
    pub routing: RoutingInputs,
    /// What the job asks of every call.
    pub params: CallParams,
    /// The earliest start.
    pub not_before: Option<NotBefore>,
    /// The latest start.
    pub start_by: Option<Limit>,
    /// The latest end, waits and retries included.
    pub deadline: Option<Limit>,
    /// The timeout of one attempt.
    pub timeout: Duration,
    /// The producer's retry settings.
    pub retry: Option<Retry>,
    /// Whether other platforms may be tried.
    pub fallback: bool,
    /// The most that all attempts together may cost.
    pub max_cost: Option<Usd>,
    /// Drops further jobs with the same key for a time.
    pub unique: Option<Unique>,
    /// Limits the jobs in flight with the same key.
    pub concurrency: Option<Concurrency>,
    /// The chain that the cost belongs to.
    pub chain_id: Option<String>,
    /// The job that created this one.
    pub parent_id: Option<String>,
    pub tenant: Option<String>,
    /// Returned with the outcome.
    pub metadata: Option<Map<String, Value>>,
    /// Where the outcome is pushed.
    pub reply: Option<ReplyTo>,
    /// Whether the outcome is kept for producers that read it later.
    pub keep_result: bool,
    /// Whether the answer is a list of jobs, which are enqueued when this one completes.
    pub spawn: bool,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The recipe that answers the job, instead of a single model.
    pub recipe: Option<Box<RecipeCall>>,
}

/// Inputs of the routing rules, besides the type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingInputs {
    /// How harmful a wrong answer is.
    pub risk: Option<String>,
    /// The subject area.
    pub area: Option<String>,
    /// How hard the task is.
    pub complexity: Option<String>,
}

/// The earliest start of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBefore {
    /// This long after the server received the job.
    Delay(Duration),
    At(DateTime<Utc>),
}

/// The latest start or end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This long after the server received the job.
    After(Duration),
    At(DateTime<Utc>),
}

/// The producer's retry settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// The name of a configured policy.
    Policy(String),
    /// The producer's own numbers; absent ones come from the configuration.
    Custom {
        /// Retries after the first attempt, per platform.
        max_retries: Option<u32>,
        /// The delay before the first retry.
        base_delay: Option<Duration>,
        /// The longest delay.
        max_delay: Option<Duration>,
    },
}

/// A key that only one job may use for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    pub key: String,
    /// How long the key is reserved.
    pub ttl: Duration,
}

/// A key that limits the jobs in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    pub key: String,
    /// The most jobs in flight at once.
    pub limit: NonZeroU32,
}

impl Envelope {
    /// The start of the last message, by which people recognize the job in the ledger.
    pub fn prompt_head(&self) -> String {
        let last = self.messages.last();
        last.map(|message| message.text().chars().take(PROMPT_HEAD).collect())
            .unwrap_or_default()
    }
}

impl NotBefore {
    /// The earliest start of a job that the server received at `received`.
    pub fn at(self, received: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Delay(delay) => received + delay,
            Self::At(at) => at,
        }
    }
}

impl Limit {
    /// The time limit of a job that the server received at `received`.
    pub fn at(self, received: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::After(limit) => received + limit,
            Self::At(at) => at,
        }
    }
}
