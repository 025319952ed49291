//! What is kept of a step whose tools the worker runs: the conversation so far, and a record of the calls.

use serde::{Deserialize, Serialize};

use crate::{
    call::{ChatMessage, Role, ToolCall},
    chain::ModelName,
    serialized::is_zero,
};

/// The calls that a record keeps, newest last.
const KEPT: usize = 200;

/// The rounds of a step so far, in its checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolRounds {
    /// What the model said and called, and what the tools answered.
    pub conversation: Vec<ToolRound>,
    /// Who answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ModelName>,
    /// Whether the first call without a result has begun, and may have taken effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// How many workers have gone on with the calls of the last round.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: u32,
    pub outcome: ToolsOutcome,
}

/// An answer that called tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolRound {
    /// What the model said beside its calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    pub calls: Vec<ToolCall>,
    /// What the first calls answered; fewer than `calls` while the others have not ended.
    #[serde(default)]
    pub results: Vec<String>,
}

/// The calls of tools of a step (`docs/protocol/outcome.schema.json`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsOutcome {
    /// How many answers called tools.
    pub rounds: u32,
    /// The newest calls, in order.
    pub calls: Vec<ToolRecord>,
    /// How many older calls are left out; absent if none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

/// A call of a tool that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// The round, from 1.
    pub round: u32,
    /// The tool as the model named it.
    pub tool: String,
    /// The first characters of the arguments.
    pub arguments: String,
    pub ok: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub duration_ms: u64,
    /// Whether its worker ended before the call did. It may have taken effect, and was not made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

impl ToolRounds {
    /// Adds an answer that calls tools.
    pub fn begin_round(&mut self, output: String, calls: Vec<ToolCall>, by: Option<ModelName>) {
        self.outcome.rounds = self.outcome.rounds.saturating_add(1);
        self.by = by;
        self.begun = false;
        self.resumed = 0;
        self.conversation.push(ToolRound {
            output,
            calls,
            results: Vec::new(),
        });
    }

    /// The first call without a result.
    pub fn pending(&self) -> Option<&ToolCall> {
        let round = self.conversation.last()?;
        round.calls.get(round.results.len())
    }

    /// Ends the first call without a result.
    pub fn end_call(&mut self, result: String, record: ToolRecord) {
        self.begun = false;
        if let Some(round) = self.conversation.last_mut() {
            round.results.push(result);
        }
        self.outcome.add(record);
    }

    /// The conversation as messages, to be sent after those of the job.
    pub fn messages(&self) -> Vec<ChatMessage> {
        self.conversation
            .iter()
            .flat_map(ToolRound::messages)
            .collect()
    }

    /// The bytes of all texts of the conversation.
    pub fn size(&self) -> usize {
        self.conversation.iter().map(ToolRound::size).sum()
    }
}

impl ToolRound {
    fn messages(&self) -> Vec<ChatMessage> {
        let answer = ChatMessage {
            tool_calls: self.calls.clone(),
            ..ChatMessage::new(Role::Assistant, self.output.as_str())
        };
        let results = self.calls.iter().zip(&self.results);
        let results = results.map(|(call, result)| ChatMessage {
            tool_call_id: Some(call.id.clone()),
            ..ChatMessage::new(Role::Tool, result.as_str())
        });
        std::iter::once(answer).chain(results).collect()
    }

    fn size(&self) -> usize {
        let calls = self.calls.iter();
        let calls: usize = calls.map(|call| call.function.arguments.len()).sum();
        let results: usize = self.results.iter().map(String::len).sum();
        self.output.len() + calls + results
    }
}

impl ToolsOutcome {
    fn add(&mut self, record: ToolRecord) {
        if self.calls.len() >= KEPT {
            self.calls.remove(0);
            self.left_out = self.left_out.saturating_add(1);
        }
        self.calls.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(round: u32) -> ToolRecord {
        ToolRecord {
            round,
            tool: "search".to_owned(),
            arguments: "{}".to_owned(),
            ok: true,
            error: None,
            duration_ms: 1,
            interrupted: false,
        }
    }

    #[test]
    fn a_call_is_pending_until_it_has_a_result() {
        let mut rounds = ToolRounds::default();
        assert_eq!(rounds.pending(), None);
        let calls = ["a", "b"].map(|id| ToolCall::new(id, "search", "{}"));
        rounds.begin_round("Let me see.".to_owned(), calls.into(), None);
        assert_eq!(rounds.pending().unwrap().id, "a");
        rounds.end_call("one".to_owned(), record(1));
        assert_eq!(rounds.pending().unwrap().id, "b");
        rounds.end_call("two".to_owned(), record(1));
        assert_eq!(rounds.pending(), None);
        let messages = rounds.messages();
        let said: Vec<_> = messages
            .iter()
            .map(|one| (one.role, one.text().into_owned(), one.tool_call_id.clone()))
            .collect();
        let id = |id: &str| Some(id.to_owned());
        assert_eq!(
            said,
            [
                (Role::Assistant, "Let me see.".to_owned(), None),
                (Role::Tool, "one".to_owned(), id("a")),
                (Role::Tool, "two".to_owned(), id("b")),
            ]
        );
        assert_eq!(rounds.size(), "Let me see.{}{}onetwo".len());
    }

    #[test]
    fn the_newest_calls_are_kept() {
        let mut outcome = ToolsOutcome::default();
        for round in 0..205 {
            outcome.add(record(round));
        }
        assert_eq!((outcome.calls.len(), outcome.left_out), (KEPT, 5));
        assert_eq!(outcome.calls[0].round, 5);
    }
}
