//! Providers: where a call becomes a request, and what comes back becomes an answer or a failure
//! with a class.
//!
//! [`HttpProvider`] does all that is the same everywhere (keys, time limits, size limits, failures,
//! messages without secrets); a [`Dialect`] is the little that is not.

mod anthropic;
mod cli;
mod cost;
mod dns;
mod error;
mod gemini;
mod http;
mod ollama;
mod openai;
mod paced;
mod quirks;
mod room;
#[cfg(test)]
pub(crate) mod tests;
mod wait;

use std::{borrow::Cow, time::Duration};

use ::http::HeaderName;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use longshore_protocol::{
    call::{Answer, Call, CallError, ErrorClass, FinishReason, ProviderRoom, Role, Spend, Usage},
    money::Usd,
};
use serde_json::{Map, Value};

pub use self::{
    anthropic::Anthropic,
    cli::CliProvider,
    gemini::Gemini,
    http::{ClientError, HttpProvider, client},
    ollama::Ollama,
    openai::OpenAi,
    paced::Paced,
    quirks::Service,
};

/// Something that answers calls.
pub trait Provider: Send + Sync + 'static {
    /// Makes one attempt: no retry, no fallback, ended by the call's own time limit at the latest.
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>>;
}

/// How one family of HTTP interfaces writes requests and answers.
///
/// Messages of the errors that a dialect makes say only what the provider said: the provider's name
/// is set before them, and keys and prompts are taken out, by [`HttpProvider`].
pub trait Dialect: Send + Sync + 'static {
    /// What follows the base address; the model's name in it must be [encoded](path_segment).
    fn path(&self, model: &str) -> Cow<'static, str>;

    /// The header that carries the key, and what stands before the key in it.
    fn key_header(&self) -> (HeaderName, &'static str);

    /// What else each request must carry.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The request.
    fn encode(&self, call: &Call) -> Value;

    /// The answer. One that names no usage is still an answer, with a usage of zeros: it is paid
    /// for either way, and the log has a warning.
    fn decode(&self, body: Value) -> Result<Answer, CallError>;

    /// What an error object means, where it is not what the status says. `error` is the object that
    /// holds code and message.
    fn classify(&self, _status: u16, _error: &Value, _now: DateTime<Utc>) -> Option<Verdict> {
        None
    }

    /// What the provider says that the answer cost, out of the answer's own text.
    fn reported_cost(&self, _body: &[u8]) -> Option<Usd> {
        None
    }
}

/// What a dialect makes of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Its class.
    pub class: ErrorClass,
    /// The wait that its body asks for.
    pub retry_after: Option<Duration>,
}

impl From<ErrorClass> for Verdict {
    fn from(class: ErrorClass) -> Self {
        Self {
            class,
            retry_after: None,
        }
    }
}

/// Text as one part of a path: whatever it holds, it cannot become another path, method or query.
pub fn path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: [char; 16] = [
                '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
            ];
            let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or('0');
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// The instructions and the turns of a call, for dialects that keep them apart.
///
/// Instructions alone are no conversation to those dialects: then they are the user's turn.
pub fn instructions_and_turns(call: &Call) -> (String, Vec<(Role, &str)>) {
    let (system, mut turns): (Vec<_>, Vec<_>) = call
        .messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .partition(|(role, _)| *role == Role::System);
    let mut instructions: Vec<&str> = call.system.as_deref().into_iter().collect();
    if turns.is_empty() {
        turns = system
            .into_iter()
            .map(|(_, text)| (Role::User, text))
            .collect();
    } else {
        instructions.extend(system.into_iter().map(|(_, text)| text));
    }
    (instructions.join("\n\n"), turns)
}

/// The schema in a `response_format` of the `json_schema` form.
pub fn schema(call: &Call) -> Option<&Value> {
    call.response_format
        .as_ref()?
        .pointer("/json_schema/schema")
}

/// The fields of a request that are there.
pub fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    fields.into_iter().filter_map(present).collect()
}

/// A number of tokens; zero where there is none. What no call can have is cut, so that sums hold.
pub fn count(value: &Value, pointer: &str) -> u64 {
    let count = value.pointer(pointer).and_then(Value::as_u64);
    count.unwrap_or(0).min(u64::from(u32::MAX))
}

/// Some text; none where it is missing, empty or something else.
pub fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The texts of some parts as one.
pub fn texts<'a>(parts: impl IntoIterator<Item = &'a Value>) -> String {
    let parts = parts.into_iter();
    parts.filter_map(|part| text(part, "/text")).collect()
}

/// An answer as read, which is a failure if it says nothing.
pub fn answer(
    body: &Value,
    (model, id): (&str, &str),
    output: String,
    finish_reason: FinishReason,
    usage: Usage,
) -> Result<Answer, CallError> {
    if output.trim().is_empty() {
        let said = match finish_reason {
            FinishReason::Length => "the limit of tokens was reached before any text",
            FinishReason::ToolCalls => "it called a tool that it was not given",
            FinishReason::Stop | FinishReason::Other => "the answer has no text",
        };
        return unusable(said, usage);
    }
    Ok(Answer {
        output,
        finish_reason,
        usage,
        model: text(body, model).map(str::to_owned),
        response_id: text(body, id).map(str::to_owned),
        reported_cost: None,
        room: ProviderRoom::default(),
    })
}

/// What the model, or what guards it, declined to answer.
pub fn refused(said: impl Into<String>, usage: Usage) -> Result<Answer, CallError> {
    Err(failed(ErrorClass::Refused, said, usage))
}

/// An answer that is none.
pub fn unusable(said: &str, usage: Usage) -> Result<Answer, CallError> {
    Err(failed(ErrorClass::BadOutput, said, usage))
}

/// A failure after work: billed, as far as the provider says how much.
pub fn failed(class: ErrorClass, said: impl Into<String>, usage: Usage) -> CallError {
    let spend = if usage == Usage::default() {
        Spend::Unknown
    } else {
        Spend::Known(usage)
    };
    CallError::new(class, said).spend(spend)
}
