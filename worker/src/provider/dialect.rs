//! What a provider and a dialect implement, and helpers to encode requests and decode responses.

use std::{borrow::Cow, time::Duration};

use ::http::HeaderName;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use longshore_protocol::{
    call::{
        Answer, Call, CallCost, CallError, ErrorClass, FinishReason, Remedy, ReportedLimits, Role,
        Usage,
    },
    money::Usd,
};
use serde_json::{Map, Value};

/// Answers calls.
pub trait Provider: Send + Sync + 'static {
    /// Makes one attempt, without retry or fallback, within the call's time limit.
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>>;
}

/// The request and response format of one family of HTTP interfaces.
///
/// The errors of a dialect contain only the provider's own message: the transport (`http.rs`) adds the
/// provider's name and removes keys and prompts.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// The path after the base address. A model name in it must be [encoded](path_segment).
    fn path(&self, model: &str) -> Cow<'static, str>;

    /// The header that carries the key, and the prefix of its value.
    fn key_header(&self) -> (HeaderName, &'static str);

    /// Other headers of every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The body of the request.
    fn encode(&self, call: &Call) -> Value;

    /// The answer. An answer without usage is still an answer, with a usage of zeros: the provider bills it
    /// all the same, and a warning is logged.
    fn decode(&self, body: Value) -> Result<Answer, CallError>;

    /// The meaning of an error object, if the status does not tell it. `error` is the object with code and
    /// message.
    fn classify(
        &self,
        _status: u16,
        _error: &Value,
        _now: DateTime<Utc>,
    ) -> Option<Classification> {
        None
    }

    /// The cost that the provider reports with the answer, from the body's bytes.
    fn reported_cost(&self, _body: &[u8]) -> Option<Usd> {
        None
    }
}

/// The class of an error, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Classification {
    /// The class.
    pub(crate) class: ErrorClass,
    /// The wait that the body asks for.
    pub(crate) retry_after: Option<Duration>,
}

impl From<ErrorClass> for Classification {
    fn from(class: ErrorClass) -> Self {
        Self {
            class,
            retry_after: None,
        }
    }
}

/// Encodes a name as one segment of a path, so that it cannot change path, method or query.
pub(crate) fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
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

/// The instructions and the turns of a call, for dialects that separate them.
///
/// Those dialects reject a conversation without turns: instructions alone become the user's turn.
pub(crate) fn instructions_and_turns(call: &Call) -> (String, Vec<(Role, &str)>) {
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

/// The schema in a `response_format` of type `json_schema`.
pub(crate) fn json_schema(call: &Call) -> Option<&Value> {
    call.response_format
        .as_ref()?
        .pointer("/json_schema/schema")
}

/// The fields of a request that have a value.
pub(crate) fn present_fields<const N: usize>(
    fields: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    fields.into_iter().filter_map(present).collect()
}

/// A number of tokens; zero if missing. Impossible numbers are capped, so that sums do not overflow.
pub(crate) fn tokens_at(value: &Value, pointer: &str) -> u64 {
    let count = value.pointer(pointer).and_then(Value::as_f64);
    // Some gateways write whole numbers as 12.0; a cast saturates, and makes a negative number zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "see above"
    )]
    let count = count.unwrap_or(0.0).ceil() as u64;
    count.min(u64::from(u32::MAX))
}

/// A string; `None` if missing, empty or of another type.
pub(crate) fn string_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    let string = value.pointer(pointer)?.as_str()?;
    (!string.is_empty()).then_some(string)
}

/// The texts of all parts, joined.
pub(crate) fn joined_texts<'a>(parts: impl IntoIterator<Item = &'a Value>) -> String {
    let parts = parts.into_iter();
    parts.filter_map(|part| string_at(part, "/text")).collect()
}

/// An answer as decoded, or an error if its output is empty.
pub(crate) fn answer_with(
    body: &Value,
    (model, id): (&str, &str),
    output: String,
    finish_reason: FinishReason,
    usage: Usage,
) -> Result<Answer, CallError> {
    if output.trim().is_empty() {
        let message = match finish_reason {
            FinishReason::Length => "the token limit was reached before any text",
            FinishReason::ToolCalls => "the model called a tool that the request does not define",
            FinishReason::Stop | FinishReason::Other => "the answer has no text",
        };
        return match finish_reason {
            FinishReason::Length => {
                Err(billed_error(ErrorClass::BadOutput, message, usage).remedy(Remedy::OtherModel))
            }
            _ => unusable_answer(message, usage),
        };
    }
    Ok(Answer {
        output,
        finish_reason,
        usage,
        model: string_at(body, model).map(str::to_owned),
        response_id: string_at(body, id).map(str::to_owned),
        reported_cost: None,
        room: ReportedLimits::default(),
    })
}

/// The error for a call that the model, or a filter before it, refused.
pub(crate) fn refused_answer(
    message: impl Into<String>,
    usage: Usage,
) -> Result<Answer, CallError> {
    Err(billed_error(ErrorClass::Refused, message, usage))
}

/// The error for an answer that cannot be used.
pub(crate) fn unusable_answer(message: &str, usage: Usage) -> Result<Answer, CallError> {
    Err(billed_error(ErrorClass::BadOutput, message, usage))
}

/// An error after the model has worked: billed, for the reported usage or an unknown one.
pub(crate) fn billed_error(
    class: ErrorClass,
    message: impl Into<String>,
    usage: Usage,
) -> CallError {
    let spend = if usage == Usage::default() {
        CallCost::Unknown
    } else {
        CallCost::Known(usage)
    };
    CallError::new(class, message).spend(spend)
}
