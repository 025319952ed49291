//! A call as one text, for programs that take nothing else.

use std::fmt::Write as _;

use longshore_protocol::call::{Call, Role};

use super::super::{instructions_and_turns, schema, text};

/// What stands for the prompt in a command.
pub(super) const PROMPT: &str = "{prompt}";

/// Instructions, turns and the form of the answer. A single turn is as it was written.
pub(super) fn whole(call: &Call) -> String {
    let (instructions, turns) = instructions_and_turns(call);
    let mut whole = instructions;
    if let [(Role::User, only)] = turns.as_slice() {
        part(&mut whole, only);
    } else {
        for (role, said) in turns {
            let who = match role {
                Role::Assistant => "Assistant",
                Role::User | Role::System => "User",
            };
            part(&mut whole, &format!("{who}: {said}"));
        }
    }
    let form = call.response_format.as_ref();
    match (schema(call), form.and_then(|form| text(form, "/type"))) {
        (Some(schema), _) => {
            part(
                &mut whole,
                "Answer with JSON alone, without a code fence. It must fit this JSON schema:",
            );
            write!(whole, "\n{schema}").ok();
        }
        (None, Some("json_object")) => {
            part(
                &mut whole,
                "Answer with one JSON object alone, without a code fence.",
            );
        }
        (None, _) => {}
    }
    whole
}

fn part(whole: &mut String, text: &str) {
    if !whole.is_empty() {
        whole.push_str("\n\n");
    }
    whole.push_str(text);
}
