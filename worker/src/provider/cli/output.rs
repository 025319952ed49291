//! What the tools print. The forms are those of `claude` (claude-agent-sdk 0.3.329), `codex exec`
//! (docs/exec.md) and `gemini` (gemini-cli 5411f11).

use longshore_protocol::{
    call::{FinishReason, Usage},
    money::Usd,
};
use serde_json::{Map, Value};

use super::super::{anthropic, cost, count, text};

/// The form of a tool's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One object, of `claude -p --output-format json`.
    Claude,
    /// An event a line, of `codex exec --json`.
    Codex,
    /// One object, of `gemini --output-format json`.
    Gemini,
    /// The answer and nothing else.
    Plain,
}

/// What a tool said.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) output: String,
    pub(super) finish: FinishReason,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
    pub(super) id: Option<String>,
    pub(super) cost: Option<Usd>,
    /// Why there is no answer.
    pub(super) error: Option<String>,
}

impl Said {
    fn new(output: String, usage: Usage) -> Self {
        Self {
            output,
            finish: FinishReason::Stop,
            usage,
            model: None,
            id: None,
            cost: None,
            error: None,
        }
    }
}

impl Form {
    /// The form that a command asks for.
    pub(super) fn of(command: &[String]) -> Self {
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

    /// Reads an output; none if it is not of this form.
    pub(super) fn read(self, output: &[u8]) -> Option<Said> {
        match self {
            Self::Claude => claude(output),
            Self::Codex => codex(output),
            Self::Gemini => gemini(output),
            Self::Plain => {
                let output = String::from_utf8_lossy(output).trim().to_owned();
                Some(Said::new(output, Usage::default()))
            }
        }
    }
}

fn claude(output: &[u8]) -> Option<Said> {
    let body: Value = serde_json::from_slice(output).ok()?;
    if text(&body, "/type") != Some("result") {
        return None;
    }
    let models = body.get("modelUsage").and_then(Value::as_object);
    let models = models.filter(|models| !models.is_empty());
    let usage = match models {
        // `usage` has only the main loop.
        Some(models) => models
            .values()
            .map(claude_model)
            .fold(Usage::default(), |a, b| a + b),
        None => body.get("usage").map(anthropic::usage).unwrap_or_default(),
    };
    let said = text(&body, "/result").unwrap_or_default();
    let failed = body.get("is_error").and_then(Value::as_bool) == Some(true)
        || text(&body, "/subtype").is_some_and(|subtype| subtype != "success");
    let finish = match text(&body, "/stop_reason").unwrap_or("end_turn") {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        _ => FinishReason::Other,
    };
    Some(Said {
        finish,
        model: models.and_then(|models| busiest(models, "/outputTokens")),
        id: text(&body, "/session_id").map(str::to_owned),
        cost: cost::dollars(output, &["total_cost_usd"], 0),
        error: failed.then(|| claude_trouble(&body, said)),
        ..Said::new(said.to_owned(), usage)
    })
}

fn claude_model(usage: &Value) -> Usage {
    let written = count(usage, "/cacheCreationInputTokens");
    let five_minutes = count(usage, "/cacheCreationEphemeral5mInputTokens");
    let hour = count(usage, "/cacheCreationEphemeral1hInputTokens");
    let reasoning = count(usage, "/thinkingTokens");
    Usage {
        input: count(usage, "/inputTokens"),
        cached: count(usage, "/cacheReadInputTokens"),
        cache_write: written.saturating_sub(hour).max(five_minutes),
        cache_write_1h: hour,
        output: count(usage, "/outputTokens").saturating_sub(reasoning),
        reasoning,
    }
}

fn claude_trouble(body: &Value, said: &str) -> String {
    let errors = body.get("errors").and_then(Value::as_array);
    let errors = errors.into_iter().flatten().filter_map(Value::as_str);
    let subtype = text(body, "/subtype").filter(|subtype| *subtype != "success");
    let parts = subtype.into_iter().chain(errors);
    let parts = parts.chain((!said.is_empty()).then_some(said));
    parts.collect::<Vec<_>>().join(": ")
}

fn gemini(output: &[u8]) -> Option<Said> {
    let body: Value = serde_json::from_slice(output).ok()?;
    if !["response", "error", "stats"]
        .iter()
        .any(|name| body.get(name).is_some())
    {
        return None;
    }
    let models = body.pointer("/stats/models").and_then(Value::as_object);
    let usage = models.into_iter().flat_map(Map::values).map(gemini_model);
    let error = body
        .get("error")
        .filter(|error| !error.is_null())
        .map(|error| {
            let kind = text(error, "/type").unwrap_or("error");
            format!("{kind}: {}", text(error, "/message").unwrap_or_default())
        });
    Some(Said {
        model: models.and_then(|models| busiest(models, "/tokens/candidates")),
        id: text(&body, "/session_id").map(str::to_owned),
        error,
        ..Said::new(
            text(&body, "/response").unwrap_or_default().to_owned(),
            usage.fold(Usage::default(), |a, b| a + b),
        )
    })
}

fn gemini_model(model: &Value) -> Usage {
    let cached = count(model, "/tokens/cached");
    let prompt = count(model, "/tokens/prompt").saturating_sub(cached);
    Usage {
        input: prompt + count(model, "/tokens/tool"),
        cached,
        output: count(model, "/tokens/candidates"),
        reasoning: count(model, "/tokens/thoughts"),
        ..Usage::default()
    }
}

/// The model that wrote most.
fn busiest(models: &Map<String, Value>, tokens: &str) -> Option<String> {
    let (name, _) = models
        .iter()
        .max_by_key(|(_, model)| count(model, tokens))?;
    Some(name.clone())
}

fn codex(output: &[u8]) -> Option<Said> {
    let lines = output.split(|byte| *byte == b'\n');
    // What is no JSON is a remark.
    let events: Vec<Value> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let of = |kind: &'static str| {
        events
            .iter()
            .filter(move |event| text(event, "/type") == Some(kind))
    };
    let id = of("thread.started").find_map(|event| text(event, "/thread_id"));
    let usage = of("turn.completed")
        .map(codex_turn)
        .fold(Usage::default(), |a, b| a + b);
    // The last message is the answer; those before it tell what it is about to do.
    let answer = of("item.completed")
        .filter(|event| text(event, "/item/type") == Some("agent_message"))
        .filter_map(|event| text(event, "/item/text"))
        .next_back();
    let failed = of("turn.failed").find_map(|event| text(event, "/error/message"));
    let complaint = of("error")
        .filter_map(|event| text(event, "/message"))
        .next_back();
    // It complains while it tries again, too: then there is an answer in the end.
    let error = failed.or(complaint.filter(|_| answer.is_none()));
    if id.is_none() && answer.is_none() && error.is_none() {
        return None;
    }
    Some(Said {
        id: id.map(str::to_owned),
        error: error.map(str::to_owned),
        ..Said::new(answer.unwrap_or_default().to_owned(), usage)
    })
}

fn codex_turn(event: &Value) -> Usage {
    let cached = count(event, "/usage/cached_input_tokens");
    Usage {
        input: count(event, "/usage/input_tokens").saturating_sub(cached),
        cached,
        output: count(event, "/usage/output_tokens"),
        ..Usage::default()
    }
}
