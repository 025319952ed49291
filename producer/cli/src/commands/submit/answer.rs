//! The answer of a job, as text and JSON.

use std::{fmt::Write as _, path::Path};

use longshore_client::{JobId, Outcome, ToolCall, Usd};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::render::{
    money::{dollars, exact},
    text::{or_dash, printable},
    time::seconds_from_ms,
};

/// The result of a task; the document that `--output` and `--format json` write.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    task_id: JobId,
    platform: Option<String>,
    model: Option<String>,
    pub(super) success: bool,
    output: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    error: Option<String>,
    error_class: Option<String>,
    #[serde(serialize_with = "exact")]
    cost: Usd,
    cost_usd: Usd,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cost_estimated: bool,
    /// Seconds.
    duration: f64,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    reasoning_tokens: u64,
    attempts: u32,
    metadata: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Answer {
    pub(super) fn from_outcome(outcome: Outcome) -> Self {
        Self {
            task_id: outcome.id,
            platform: outcome.platform,
            model: outcome.model,
            success: outcome.success,
            output: outcome.output,
            tool_calls: outcome.tool_calls,
            error: outcome.error,
            error_class: outcome.error_class,
            cost: outcome.cost_usd,
            cost_usd: outcome.cost_usd,
            cost_estimated: outcome.cost_estimated,
            duration: seconds_from_ms(outcome.duration_ms),
            input_tokens: outcome.input_tokens,
            output_tokens: outcome.output_tokens,
            cached_tokens: outcome.cached_tokens,
            reasoning_tokens: outcome.reasoning_tokens,
            attempts: outcome.attempts,
            metadata: outcome.metadata,
            warnings: outcome.warnings,
        }
    }

    /// The answer to a message that never becomes a job: it is malformed, or its id belongs to another job.
    pub(super) fn refused(id: &JobId, code: String, error: String) -> Self {
        Self {
            task_id: id.clone(),
            platform: None,
            model: None,
            success: false,
            output: None,
            tool_calls: Vec::new(),
            error: Some(error),
            error_class: Some(code),
            cost: Usd::ZERO,
            cost_usd: Usd::ZERO,
            cost_estimated: false,
            duration: 0.0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
            attempts: 0,
            metadata: None,
            warnings: Vec::new(),
        }
    }

    /// The text for people.
    pub(super) fn to_text(&self, saved: Option<&Path>) -> String {
        let mut text = format!(
            "Task ID: {}\nPlatform: {}\nSuccess: {}\nDuration: {:.2}s\nCost: {}{}",
            self.task_id,
            or_dash(self.platform.as_deref()),
            if self.success { "True" } else { "False" },
            self.duration,
            dollars(self.cost),
            if self.cost_estimated {
                " (estimated)"
            } else {
                ""
            },
        );
        // Writing to a string does not fail.
        if !self.success {
            let error = self.error.as_deref().unwrap_or("no reason was given");
            let _written = write!(text, "\nError: {}", printable(error));
        }
        for warning in &self.warnings {
            let _written = write!(text, "\nWarning: {}", printable(warning));
        }
        for call in &self.tool_calls {
            let function = &call.function;
            let call = format!("{}({})", function.name, function.arguments);
            let _written = write!(text, "\nTool call: {}", printable(&call));
        }
        let output = self.output.as_ref();
        if let Some(output) =
            output.filter(|output| self.tool_calls.is_empty() || !output.is_empty())
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
    use serde_json::json;

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
        let answer = Answer::from_outcome(outcome(json!({"cost_usd": "0"})));
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
        let answer = Answer::from_outcome(outcome(json!({
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
    fn text_shows_calls_of_tools_and_warnings() {
        let function = json!({"name": "weather", "arguments": "{\"city\":\"Oslo\"}"});
        let answer = Answer::from_outcome(outcome(json!({
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
    fn json_has_every_figure() {
        let answer = Answer::from_outcome(outcome(json!({})));
        assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
        {
          "task_id": "1795232878059-0",
          "platform": "gemini",
          "model": "gemini-2.5-flash",
          "success": true,
          "output": "BTC price trends for Q1 2026 show...",
          "error": null,
          "error_class": null,
          "cost": 0.000012,
          "cost_usd": "0.000012",
          "duration": 8.45,
          "input_tokens": 12,
          "output_tokens": 7,
          "cached_tokens": 3,
          "reasoning_tokens": 2,
          "attempts": 1,
          "metadata": {
            "asset_id": 1
          }
        }
        "#);
    }
}
