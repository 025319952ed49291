//! The answer of a job, as text and JSON.

use std::{fmt::Write as _, path::Path};

use longshore_client::{JobId, JobState, Outcome};
use serde::{Serialize, Serializer};

use crate::{
    render::{
        money::dollars,
        text::{or_dash, printable},
        time::seconds_from_ms,
    },
    result_document::ResultDocument,
};

/// The result of a task; the document that `--output` and `--format json` write.
#[derive(Debug)]
pub(super) struct Answer(Outcome);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ResultDocument::new(&self.0).serialize(serializer)
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self(outcome)
    }
}

impl Answer {
    /// The answer to a message that never becomes a job: it is malformed, or its id belongs to another job.
    pub(super) fn refused(id: &JobId, code: &str, error: String) -> Self {
        let state = JobState::Discarded;
        Self(Outcome::without_calls(id.clone(), state, code, error))
    }

    pub(super) fn is_success(&self) -> bool {
        self.0.success
    }

    /// The text for people.
    pub(super) fn to_text(&self, saved: Option<&Path>) -> String {
        let Self(outcome) = self;
        let mut text = format!(
            "Task ID: {}\nPlatform: {}\nSuccess: {}\nDuration: {:.2}s\nCost: {}{}",
            outcome.id,
            or_dash(outcome.platform.as_deref()),
            if outcome.success { "True" } else { "False" },
            seconds_from_ms(outcome.duration_ms),
            dollars(outcome.cost_usd),
            if outcome.cost_estimated {
                " (estimated)"
            } else {
                ""
            },
        );
        // Writing to a string does not fail.
        if !outcome.success {
            let error = outcome.error.as_deref().unwrap_or("no reason was given");
            let _written = write!(text, "\nError: {}", printable(error));
        }
        for warning in &outcome.warnings {
            let _written = write!(text, "\nWarning: {}", printable(warning));
        }
        if let Some(validation) = &outcome.validation {
            let _written = write!(text, "\nValidation: {}", printable(&validation.to_string()));
        }
        for call in &outcome.tool_calls {
            let function = &call.function;
            let call = format!("{}({})", function.name, function.arguments);
            let _written = write!(text, "\nTool call: {}", printable(&call));
        }
        let output = outcome.output.as_ref();
        if let Some(output) =
            output.filter(|output| outcome.tool_calls.is_empty() || !output.is_empty())
        {
            let _written = write!(text, "\n\n--- Output ---\n{}", printable(output));
        }
        if let Some(path) = saved {
            let _written = write!(text, "\n\nResult saved to: {}", path.display());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;

    fn outcome(changes: Value) -> Outcome {
        let mut outcome = json!({
            "id": "1795232878059-0", "state": "completed", "success": true,
            "output": "BTC price trends for Q1 2026 show...", "error": null, "error_class": null,
            "platform": "gemini", "model": "gemini-2.5-flash", "finish_reason": "stop", "attempts": 1,
            "input_tokens": 12, "output_tokens": 7, "cached_tokens": 3, "reasoning_tokens": 2,
            "cost_usd": "0.000012", "duration_ms": 8450, "queued_ms": 2, "metadata": {"asset_id": 1},
        });
        let Value::Object(changes) = changes else {
            panic!()
        };
        outcome.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(outcome).unwrap()
    }

    #[test]
    fn text_shows_the_answer() {
        let answer = Answer::from(outcome(json!({"cost_usd": "0"})));
        assert_snapshot!(answer.to_text(Some(Path::new("results/btc_analysis.json"))), @"
        Task ID: 1795232878059-0
        Platform: gemini
        Success: True
        Duration: 8.45s
        Cost: $0.0000

        --- Output ---
        BTC price trends for Q1 2026 show...

        Result saved to: results/btc_analysis.json
        ");
    }

    #[test]
    fn text_shows_the_error() {
        let answer = Answer::from(outcome(json!({
            "success": false, "state": "discarded", "output": null, "platform": null,
            "error": "All platforms failed. Last error: overloaded. Tried: gemini, openai",
        })));
        assert_snapshot!(answer.to_text(None), @"
        Task ID: 1795232878059-0
        Platform: -
        Success: False
        Duration: 8.45s
        Cost: $0.000012
        Error: All platforms failed. Last error: overloaded. Tried: gemini, openai
        ");
    }

    #[test]
    fn text_shows_what_the_check_says() {
        let answer = Answer::from(outcome(json!({"validation": {
            "verdict": "needs_revision", "score": 5.5, "reasons": ["too long", "no end"], "needs_human_review": true,
        }})));
        assert_snapshot!(answer.to_text(None), @"
        Task ID: 1795232878059-0
        Platform: gemini
        Success: True
        Duration: 8.45s
        Cost: $0.000012
        Validation: needs_revision, score 5.5, needs human review: too long; no end

        --- Output ---
        BTC price trends for Q1 2026 show...
        ");
    }

    #[test]
    fn text_shows_calls_of_tools_and_warnings() {
        let function = json!({"name": "weather", "arguments": "{\"city\":\"Oslo\"}"});
        let answer = Answer::from(outcome(json!({
            "output": "", "tool_calls": [{"id": "c", "type": "function", "function": function}],
            "warnings": ["unknown field `temprature`: did you mean `temperature`?"],
        })));
        assert_snapshot!(answer.to_text(None), @r#"
        Task ID: 1795232878059-0
        Platform: gemini
        Success: True
        Duration: 8.45s
        Cost: $0.000012
        Warning: unknown field `temprature`: did you mean `temperature`?
        Tool call: weather({"city":"Oslo"})
        "#);
    }

    #[test]
    fn json_has_the_names_of_the_outcome_and_the_old_ones() {
        let answer = Answer::from(outcome(json!({})));
        assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
        {
          "id": "1795232878059-0",
          "state": "completed",
          "success": true,
          "output": "BTC price trends for Q1 2026 show...",
          "error": null,
          "error_class": null,
          "platform": "gemini",
          "model": "gemini-2.5-flash",
          "finish_reason": "stop",
          "attempts": 1,
          "input_tokens": 12,
          "output_tokens": 7,
          "cached_tokens": 3,
          "reasoning_tokens": 2,
          "cost_usd": "0.000012",
          "duration_ms": 8450,
          "queued_ms": 2,
          "metadata": {
            "asset_id": 1
          },
          "task_id": "1795232878059-0",
          "cost": 0.000012,
          "duration": 8.45
        }
        "#);
    }
}
