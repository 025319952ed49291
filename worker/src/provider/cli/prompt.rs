//! Writes a call as one text, for programs that accept only a prompt.

use std::fmt::Write as _;

use longshore_protocol::call::{Call, Role};

use super::super::dialect::instructions_and_turns;

/// The placeholder for the prompt in a command.
pub(super) const PROMPT: &str = "{prompt}";

/// The instructions, the turns and the required format. A single turn is used unchanged.
pub(crate) fn prompt_text(call: &Call) -> String {
    let (instructions, turns) = instructions_and_turns(call);
    let mut prompt = instructions;
    if let [(Role::User, only)] = turns.as_slice() {
        push_part(&mut prompt, &only.text());
    } else {
        for (role, message) in turns {
            let speaker = match role {
                Role::Assistant => "Assistant",
                Role::User | Role::System | Role::Tool => "User",
            };
            push_part(&mut prompt, &format!("{speaker}: {}", message.text()));
        }
    }
    match (call.params.json_schema(), call.params.format_type()) {
        (Some(schema), _) => {
            push_part(
                &mut prompt,
                "Answer with JSON alone, without a code fence. It must fit this JSON schema:",
            );
            write!(prompt, "\n{schema}").ok();
        }
        (None, Some("json_object")) => {
            push_part(
                &mut prompt,
                "Answer with one JSON object alone, without a code fence.",
            );
        }
        (None, _) => {}
    }
    prompt
}

fn push_part(prompt: &mut String, part: &str) {
    if !prompt.is_empty() {
        prompt.push_str("\n\n");
    }
    prompt.push_str(part);
}
