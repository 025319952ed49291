//! Parses what the tools print. The formats are those of `claude` (claude-agent-sdk 0.3.329), `codex exec`
//! (docs/exec.md) and `gemini` (gemini-cli 5411f11).

use longshore_protocol::{
    call::{FinishReason, Usage},
    money::Usd,
};
use serde_json::{Map, Value};

use super::super::{
    anthropic,
    dialect::{string_at, tokens_at},
    reported_cost,
};

/// The format of a tool's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputForm {
    /// One object, of `claude -p --output-format json`.
    Claude,
    /// One event a line, of `codex exec --json`.
    Codex,
    /// One object, of `gemini --output-format json`.
    Gemini,
    /// The answer alone.
    Plain,
}

/// The parsed output of a tool.
#[derive(Debug, PartialEq)]
pub(super) struct ToolOutput {
    pub(super) text: String,
    pub(super) finish: FinishReason,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
    pub(super) id: Option<String>,
    pub(super) cost: Option<Usd>,
    /// Why the tool failed.
    pub(super) error: Option<String>,
}

impl ToolOutput {
    fn new(text: String, usage: Usage) -> Self {
        Self {
            text,
            finish: FinishReason::Stop,
            usage,
            model: None,
            id: None,
            cost: None,
            error: None,
        }
    }
}

impl OutputForm {
    /// The format that a command asks for.
    pub(super) fn from_command(command: &[String]) -> Self {
        let program = command.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or_default();
        let asks = |word: &str| command.iter().any(|arg| arg == word);
        let json = asks("json") || asks("--output-format=json");
        match program {
            "claude" if json => Self::Claude,
            "gemini" if json => Self::Gemini,
            "codex" if asks("--json") => Self::Codex,
            _ => Self::Plain,
        }
    }

    /// Parses an output; `None` if it is not in this format.
    pub(super) fn parse_output(self, output: &[u8]) -> Option<ToolOutput> {
        match self {
            Self::Claude => parse_claude(output),
            Self::Codex => parse_codex(output),
            Self::Gemini => parse_gemini(output),
            Self::Plain => {
                let text = String::from_utf8_lossy(output).trim().to_owned();
                Some(ToolOutput::new(text, Usage::default()))
            }
        }
    }
}

fn parse_claude(output: &[u8]) -> Option<ToolOutput> {
    let body: Value = serde_json::from_slice(output).ok()?;
    if string_at(&body, "/type") != Some("result") {
        return None;
    }
    let models = body.get("modelUsage").and_then(Value::as_object);
    let models = models.filter(|models| !models.is_empty());
    let usage = match models {
        // `usage` covers only the main loop.
        Some(models) => models
            .values()
            .map(claude_usage)
            .fold(Usage::default(), |a, b| a + b),
        None => body.get("usage").map(anthropic::usage).unwrap_or_default(),
    };
    let result = string_at(&body, "/result").unwrap_or_default();
    let failed = body.get("is_error").and_then(Value::as_bool) == Some(true)
        || string_at(&body, "/subtype").is_some_and(|subtype| subtype != "success");
    let finish = match string_at(&body, "/stop_reason").unwrap_or("end_turn") {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        _ => FinishReason::Other,
    };
    Some(ToolOutput {
        finish,
        model: models.and_then(|models| most_used_model(models, "/outputTokens")),
        id: string_at(&body, "/session_id").map(str::to_owned),
        cost: reported_cost::dollars_at(output, &["total_cost_usd"], 0),
        error: failed.then(|| claude_error(&body, result)),
        ..ToolOutput::new(result.to_owned(), usage)
    })
}

fn claude_usage(usage: &Value) -> Usage {
    let written = tokens_at(usage, "/cacheCreationInputTokens");
    let five_minutes = tokens_at(usage, "/cacheCreationEphemeral5mInputTokens");
    let hour = tokens_at(usage, "/cacheCreationEphemeral1hInputTokens");
    let reasoning = tokens_at(usage, "/thinkingTokens");
    Usage {
        input: tokens_at(usage, "/inputTokens"),
        cached: tokens_at(usage, "/cacheReadInputTokens"),
        cache_write: written.saturating_sub(hour).max(five_minutes),
        cache_write_1h: hour,
        output: tokens_at(usage, "/outputTokens").saturating_sub(reasoning),
        reasoning,
        ..Usage::default()
    }
}

fn claude_error(body: &Value, result: &str) -> String {
    let errors = body.get("errors").and_then(Value::as_array);
    let errors = errors.into_iter().flatten().filter_map(Value::as_str);
    let subtype = string_at(body, "/subtype").filter(|subtype| *subtype != "success");
    let parts = subtype.into_iter().chain(errors);
    let parts = parts.chain((!result.is_empty()).then_some(result));
    parts.collect::<Vec<_>>().join(": ")
}

fn parse_gemini(output: &[u8]) -> Option<ToolOutput> {
    let body: Value = serde_json::from_slice(output).ok()?;
    if !["response", "error", "stats"]
        .iter()
        .any(|name| body.get(name).is_some())
    {
        return None;
    }
    let models = body.pointer("/stats/models").and_then(Value::as_object);
    let usage = models.into_iter().flat_map(Map::values).map(gemini_usage);
    let error = body
        .get("error")
        .filter(|error| !error.is_null())
        .map(|error| {
            let kind = string_at(error, "/type").unwrap_or("error");
            format!(
                "{kind}: {}",
                string_at(error, "/message").unwrap_or_default()
            )
        });
    Some(ToolOutput {
        model: models.and_then(|models| most_used_model(models, "/tokens/candidates")),
        id: string_at(&body, "/session_id").map(str::to_owned),
        error,
        ..ToolOutput::new(
            string_at(&body, "/response").unwrap_or_default().to_owned(),
            usage.fold(Usage::default(), |a, b| a + b),
        )
    })
}

fn gemini_usage(model: &Value) -> Usage {
    let cached = tokens_at(model, "/tokens/cached");
    let prompt = tokens_at(model, "/tokens/prompt").saturating_sub(cached);
    Usage {
        input: prompt + tokens_at(model, "/tokens/tool"),
        cached,
        output: tokens_at(model, "/tokens/candidates"),
        reasoning: tokens_at(model, "/tokens/thoughts"),
        ..Usage::default()
    }
}

/// The model with the most output tokens.
fn most_used_model(models: &Map<String, Value>, tokens: &str) -> Option<String> {
    let (name, _) = models
        .iter()
        .max_by_key(|(_, model)| tokens_at(model, tokens))?;
    Some(name.clone())
}

fn parse_codex(output: &[u8]) -> Option<ToolOutput> {
    let lines = output.split(|byte| *byte == b'\n');
    // Lines that are not JSON are remarks.
    let events: Vec<Value> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let events_of = |kind: &'static str| {
        events
            .iter()
            .filter(move |event| string_at(event, "/type") == Some(kind))
    };
    let id = events_of("thread.started").find_map(|event| string_at(event, "/thread_id"));
    let usage = events_of("turn.completed")
        .map(codex_usage)
        .fold(Usage::default(), |a, b| a + b);
    // The last message is the answer; those before it announce what the tool will do.
    let answer = events_of("item.completed")
        .filter(|event| string_at(event, "/item/type") == Some("agent_message"))
        .filter_map(|event| string_at(event, "/item/text"))
        .next_back();
    let failed = events_of("turn.failed").find_map(|event| string_at(event, "/error/message"));
    let last_error = events_of("error")
        .filter_map(|event| string_at(event, "/message"))
        .next_back();
    // The tool reports errors while it retries, too: then an answer follows.
    let error = failed.or(last_error.filter(|_| answer.is_none()));
    if id.is_none() && answer.is_none() && error.is_none() {
        return None;
    }
    Some(ToolOutput {
        id: id.map(str::to_owned),
        error: error.map(str::to_owned),
        ..ToolOutput::new(answer.unwrap_or_default().to_owned(), usage)
    })
}

fn codex_usage(event: &Value) -> Usage {
    let cached = tokens_at(event, "/usage/cached_input_tokens");
    Usage {
        input: tokens_at(event, "/usage/input_tokens").saturating_sub(cached),
        cached,
        output: tokens_at(event, "/usage/output_tokens"),
        ..Usage::default()
    }
}
