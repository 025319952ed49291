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
