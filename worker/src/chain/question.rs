//! The job of a model that is asked about answers of others.

use std::borrow::Cow;

use longshore_protocol::{
    call::{ChatMessage, Role},
    envelope::Envelope,
};
use serde_json::{Value, json};

/// The job with its task and the answers to it as the prompt, and with these instructions. The answers are numbered if
/// there may be several.
pub(super) fn about_answers<'a>(
    mut task: Envelope,
    instructions: String,
    answers: impl IntoIterator<Item = (Option<usize>, &'a str)>,
) -> Envelope {
    let texts = task.messages.iter().map(ChatMessage::text);
    let texts: Vec<String> = texts.map(Cow::into_owned).collect();
    let mut prompt = format!("<task>\n{}\n</task>\n", texts.join("\n\n"));
    for (number, answer) in answers {
        let number = number.map_or_else(String::new, |number| format!(" number=\"{number}\""));
        prompt.push_str("\n<answer");
        prompt.push_str(&number);
        prompt.push_str(">\n");
        prompt.push_str(answer);
        prompt.push_str("\n</answer>\n");
    }
    task.system = Some(match task.system.take() {
        Some(of_task) => {
            format!("{instructions}\n\nThe task was given with these instructions:\n{of_task}")
        }
        None => instructions,
    });
    task.messages = vec![ChatMessage::new(Role::User, prompt)];
    task
}

/// The words with a text of the chain's author below them.
pub(super) fn with_text(words: &str, text: Option<&str>) -> String {
    text.map_or_else(|| words.to_owned(), |text| format!("{words}\n\n{text}"))
}

/// A `response_format` of an object with these properties, all of them required.
pub(super) fn verdict_format(properties: &Value) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .map_or_else(Vec::new, |properties| properties.keys().collect());
    json!({"type": "json_schema", "json_schema": {"name": "verdict", "schema": {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    }}})
}
