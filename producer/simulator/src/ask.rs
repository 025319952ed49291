//! A call and its possible errors, independent of the dialect.

use std::{borrow::Cow, time::Duration};

use serde_json::value::RawValue;

use super::{
    limits::{Room, Standing, Unit},
    markers::Ending,
    usage::Usage,
};

/// A well-formed call.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) model: Cow<'a, str>,
    /// All text of all messages, system instructions first.
    pub(super) prompt: Cow<'a, str>,
    /// The most output tokens that the caller accepts.
    pub(super) max_output: Option<u64>,
    pub(super) shape: Shape<'a>,
    /// The tool that the model may call now.
    pub(super) tool: Option<Offer<'a>>,
    /// Whether the caller wants the probabilities of tokens.
    pub(super) logprobs: bool,
}

/// A tool that may be called.
#[derive(Debug, Clone)]
pub(super) struct Offer<'a> {
    pub(super) name: Cow<'a, str>,
    /// The JSON schema of its arguments.
    pub(super) schema: Option<&'a RawValue>,
    /// Whether a tool must be called.
    pub(super) is_forced: bool,
}

impl<'a> Offer<'a> {
    /// Of the tools, the one of this name, or the first.
    pub(super) fn choose(
        tools: impl IntoIterator<Item = (Cow<'a, str>, Option<&'a RawValue>)>,
        named: Option<&str>,
        is_forced: bool,
    ) -> Option<Self> {
        let mut tools = tools.into_iter();
        let (name, schema) = tools.find(|(name, _)| named.is_none_or(|named| named == name))?;
        Some(Self {
            name,
            schema,
            is_forced,
        })
    }
}

/// The form of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'a> {
    Text,
    /// JSON, by a schema if there is one.
    Json(Option<&'a RawValue>),
}

/// A 200.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    /// Unique among the answers of one simulator.
    pub(super) serial: u64,
    pub(super) model: &'a str,
    pub(super) text: &'a str,
    pub(super) ending: Ending,
    pub(super) usage: Usage,
    /// The call of a tool instead of the text: its name and its arguments.
    pub(super) call: Option<(&'a str, &'a RawValue)>,
    pub(super) logprobs: bool,
}

/// Why a call gets no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The header named here is absent or empty.
    MissingKey(&'static str),
    /// The request is malformed.
    BadRequest {
        message: String,
        param: Option<&'static str>,
    },
    /// The model does not exist.
    UnknownModel,
    /// A marker or fault requested this status.
    Status(u16),
    /// Too many calls, or tokens, in a minute: the limit that is full, and all of them.
    Limited(Unit, Room, Standing),
    /// The prompt, of so many tokens, is too long for the model.
    Context,
    /// The account's quota of this many calls a day is exhausted.
    Quota(u32),
}

impl Cause {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest {
            message: message.into(),
            param: None,
        }
    }
}

/// An error to be written in a dialect's format.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) cause: Cause,
    pub(super) model: &'a str,
    /// How long the caller should wait before it calls again.
    pub(super) retry_after: Option<Duration>,
    pub(super) serial: u64,
}

/// A response in a dialect's format.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Lines that end in CRLF.
    pub(super) headers: String,
    pub(super) body: serde_json::Value,
}

/// `wait` in whole seconds, rounded up, as the `retry-after` header wants it.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
