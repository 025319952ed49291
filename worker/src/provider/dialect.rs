//! What a provider and a dialect implement, and helpers to encode requests and decode responses.

use std::{borrow::Cow, time::Duration};

use ::http::HeaderName;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use longshore_protocol::{
    call::{
        Answer, Call, CallCost, CallError, CallParams, ChatMessage, ErrorClass, FinishReason,
        Remedy, ReportedLimits, Role, ToolCall, Usage,
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
pub(crate) fn instructions_and_turns(call: &Call) -> (String, Vec<(Role, &ChatMessage)>) {
    let (system, mut turns): (Vec<_>, Vec<_>) = call
        .messages
        .iter()
        .map(|message| (message.role, message))
        .partition(|(role, _)| *role == Role::System);
    let mut instructions: Vec<Cow<'_, str>> =
        call.system.as_deref().map(Cow::from).into_iter().collect();
    if turns.is_empty() {
        turns = system
            .into_iter()
            .map(|(_, message)| (Role::User, message))
            .collect();
    } else {
        instructions.extend(system.into_iter().map(|(_, message)| message.text()));
    }
    (instructions.join("\n\n"), turns)
}

/// Adds the options of a platform to its request. Objects are merged; what the request has already stays.
pub(crate) fn add_options(body: &mut Value, options: &Map<String, Value>) {
    let Some(body) = body.as_object_mut() else {
        return;
    };
    for (name, value) in options {
        match (body.get_mut(name), value) {
            (Some(group), Value::Object(members)) => add_options(group, members),
            (Some(_), _) => {}
            (None, value) => {
                body.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The fields of a request that have a value.
pub(crate) fn present_fields<const N: usize>(
    fields: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    fields.into_iter().filter_map(present).collect()
}

/// The parameters of sampling that a job sets, by their names in OpenAI's API.
pub(crate) fn sampling_fields(params: &CallParams) -> Map<String, Value> {
    present_fields([
        ("temperature", params.temperature.map(Value::from)),
        ("top_p", params.top_p.map(Value::from)),
        ("seed", params.seed.map(Value::from)),
        (
            "stop",
            (!params.stop.is_empty()).then(|| params.stop.clone().into()),
        ),
        (
            "frequency_penalty",
            params.frequency_penalty.map(Value::from),
        ),
        ("presence_penalty", params.presence_penalty.map(Value::from)),
    ])
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

/// What an answer says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) output: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) logprobs: Option<Value>,
}

/// An answer as decoded, or an error if it says nothing.
pub(crate) fn answer_with(
    body: &Value,
    (model, id): (&str, &str),
    said: Said,
    finish_reason: FinishReason,
    usage: Usage,
) -> Result<Answer, CallError> {
    let is_cut_off = finish_reason == FinishReason::Length;
    let is_whole =
        |call: &ToolCall| serde_json::from_str::<Value>(&call.function.arguments).is_ok();
    let calls_nothing =
        said.tool_calls.is_empty() || is_cut_off && !said.tool_calls.iter().all(is_whole);
    if said.output.trim().is_empty() && calls_nothing {
        if is_cut_off {
            let message = "the token limit was reached before any text";
            let error = billed_error(ErrorClass::BadOutput, message, usage);
            return Err(error.remedy(Remedy::LargerLimit));
        }
        return unusable_answer("the answer has no text", usage);
    }
    Ok(Answer {
        output: said.output,
        tool_calls: said.tool_calls,
        logprobs: said.logprobs.filter(|logprobs| !logprobs.is_null()),
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
