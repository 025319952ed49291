//! Calls of tools in answers, in OpenAI's form whatever the dialect.

use longshore_protocol::{
    call::{Answer, Call, CallError, ChatMessage, ToolCall},
    id::AttemptId,
};
use serde_json::{Map, Value, json};

use super::dialect::{string_at, unusable_answer};

/// Where the signature of a thought is kept that Gemini wants back with its call; as in Google's own API in OpenAI's
/// form.
const SIGNATURE: &str = "/google/thought_signature";
const EXTRA_CONTENT: &str = "extra_content";

/// What `DeepSeek` and Moonshot call the thoughts of an answer. They refuse the results of tools without the thoughts that
/// led to the calls.
const THOUGHTS: &str = "reasoning_content";

/// A call of a tool whose arguments are an object, or already text. Without an id it gets one.
pub(crate) fn tool_call(id: Option<&str>, name: &str, arguments: Option<&Value>) -> ToolCall {
    let id = id.map_or_else(|| format!("call_{}", AttemptId::new()), str::to_owned);
    let arguments = match arguments {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "{}".to_owned(),
        Some(arguments) => arguments.to_string(),
    };
    ToolCall::new(id, name, arguments)
}

/// The calls in a list of OpenAI's form. One without a name is no call.
pub(crate) fn listed_calls(list: Option<&Value>) -> Vec<ToolCall> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let call = |call: &Value| {
        let name = string_at(call, "/function/name")?;
        let arguments = call.pointer("/function/arguments");
        let mut read = tool_call(string_at(call, "/id"), name, arguments);
        let extra = call.get(EXTRA_CONTENT);
        read.extra = extra
            .map(|extra| Map::from_iter([(EXTRA_CONTENT.to_owned(), extra.clone())]))
            .unwrap_or_default();
        Some(read)
    };
    list.filter_map(call).collect()
}

/// Keeps a signature with its call.
pub(crate) fn sign(call: &mut ToolCall, signature: &str) {
    let extra = json!({"google": {"thought_signature": signature}});
    call.extra.insert(EXTRA_CONTENT.to_owned(), extra);
}

/// The signature that was kept with a call.
pub(crate) fn signature(call: &ToolCall) -> Option<&str> {
    string_at(call.extra.get(EXTRA_CONTENT)?, SIGNATURE)
}

/// Keeps the thoughts before the calls with the first of them.
pub(crate) fn keep_thoughts(calls: &mut [ToolCall], thoughts: &str) {
    if let Some(first) = calls.first_mut() {
        let extra = json!({(THOUGHTS): thoughts});
        first.extra.insert(EXTRA_CONTENT.to_owned(), extra);
    }
}

/// Moves the thoughts that were kept with a call to the message, where their provider wants them back.
pub(crate) fn return_thoughts(message: &mut ChatMessage) {
    for call in &mut message.tool_calls {
        let kept = call.extra.get_mut(EXTRA_CONTENT);
        let thoughts = kept.and_then(|extra| extra.as_object_mut()?.remove(THOUGHTS));
        if let Some(thoughts) = thoughts {
            call.extra.remove(EXTRA_CONTENT);
            let said = message.extra.entry(THOUGHTS);
            said.or_insert(thoughts);
        }
    }
}

/// Removes calls of tools that the request does not define. Fails if nothing is left of the answer.
pub(crate) fn defined_only(mut answer: Answer, call: &Call) -> Result<Answer, CallError> {
    if call.params.tools.is_empty() && !answer.tool_calls.is_empty() {
        answer.tool_calls.clear();
        if answer.output.trim().is_empty() {
            let message = "the model called a tool that the request does not define";
            return unusable_answer(message, answer.usage);
        }
    }
    Ok(answer)
}
