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
    /// The tools that the model may call now.
    pub(super) tools: Tools<'a>,
    /// Whether the caller wants the probabilities of tokens.
    pub(super) logprobs: bool,
}

impl Ask<'_> {
    /// Whether the model may call the tool of this name.
    pub(super) fn offers(&self, name: &str) -> bool {
        self.tools.all.iter().any(|tool| tool.name == name)
    }
}

/// The tools that may be called.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools<'a> {
    all: Vec<Tool<'a>>,
    /// The place of the one that the caller names, or of the first.
    chosen: usize,
    /// Whether a tool must be called.
    pub(super) is_forced: bool,
    /// Whether the call ends with the result of a tool: then the model answers, unless a script says otherwise.
    pub(super) is_answered: bool,
}

/// A tool.
#[derive(Debug, Clone)]
pub(super) struct Tool<'a> {
    pub(super) name: Cow<'a, str>,
    /// The JSON schema of its arguments.
    pub(super) schema: Option<&'a RawValue>,
}

impl<'a> Tools<'a> {
    /// Tools of which the caller may name one.
    pub(super) fn offer(
        tools: impl IntoIterator<Item = (Cow<'a, str>, Option<&'a RawValue>)>,
        named: Option<&str>,
        is_forced: bool,
    ) -> Self {
        let tools = tools
            .into_iter()
            .map(|(name, schema)| Tool { name, schema });
        let all: Vec<Tool<'a>> = tools.collect();
        let chosen = named.map_or(Some(0), |named| {
            all.iter().position(|tool| tool.name == named)
        });
        match chosen {
            Some(chosen) => Self {
                all,
                chosen,
                is_forced,
                is_answered: false,
            },
            None => Self::default(),
        }
    }

    /// None, unless the model may call one now.
    pub(super) fn only_if(self, may_call: bool) -> Self {
        if may_call { self } else { Self::default() }
    }

    /// The same, in a call that ends with the result of a tool or not.
    pub(super) fn answered(self, is_answered: bool) -> Self {
        Self {
            is_answered,
            ..self
        }
    }

    /// The one that the model calls by itself.
    pub(super) fn chosen(&self) -> Option<&Tool<'a>> {
        self.all.get(self.chosen)
    }
}

/// The call of a tool.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToolCall<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a RawValue,
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
    /// The calls of tools instead of the text.
    pub(super) calls: &'a [ToolCall<'a>],
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
