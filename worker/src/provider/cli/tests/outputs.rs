//! Parsing what the tools print.

use std::{fs, time::Duration};

use longshore_protocol::call::{CallCost, ErrorClass, FinishReason, Usage};
use serde_json::json;

use super::{Fake, asking, fails, fake, tool};
use crate::provider::Provider;

/// Prints the files beside it, and exits with the code in one of them.
const PRINT_FILES: &str = "cat \"$(dirname \"$0\")/out\"; cat \"$(dirname \"$0\")/err\" >&2; exit $(cat \"$(dirname \"$0\")/code\")";

fn printing(name: &str, out: &str, err: &str, code: u8) -> Fake {
    let fake = fake(name, PRINT_FILES);
    for (file, text) in [("out", out), ("err", err), ("code", &code.to_string())] {
        fs::write(fake.directory.path().join(file), text).unwrap();
    }
    fake
}

#[tokio::test]
async fn claude_output_is_parsed() {
    let out = r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":2400,"num_turns":1,
        "result":"Oslo","session_id":"s-1","stop_reason":"end_turn","total_cost_usd":0.060000000000000005,
        "usage":{"input_tokens":1,"output_tokens":1},
        "modelUsage":{"claude-haiku-4-5":{"inputTokens":5,"outputTokens":2,"costUSD":0.00001},
            "claude-sonnet-5-5":{"inputTokens":10,"outputTokens":9,"thinkingTokens":4,"cacheReadInputTokens":7,
                "cacheCreationInputTokens":30,"cacheCreationEphemeral1hInputTokens":10}}}"#;
    let fake = printing("claude", out, "", 0);
    let args = ["-p", "--output-format", "json"];
    let answer = tool(&fake, &args).call(&asking("x")).await.unwrap();
    assert_eq!(answer.output, "Oslo");
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    let usage = Usage {
        input: 15,
        cached: 7,
        cache_write: 20,
        cache_write_1h: 10,
        output: 7,
        reasoning: 4,
        ..Usage::default()
    };
    assert_eq!(answer.usage, usage);
    assert_eq!(answer.model.as_deref(), Some("claude-sonnet-5-5"));
    assert_eq!(answer.response_id.as_deref(), Some("s-1"));
    assert_eq!(
        answer.reported_cost.unwrap().to_string(),
        "0.060000000000000005"
    );
}

#[tokio::test]
async fn codex_output_is_parsed() {
    let out = r#"Reading prompt from stdin...
{"type":"thread.started","thread_id":"t-1"}
{"type":"turn.started"}
{"type":"error","message":"stream disconnected - retrying 1/5"}
{"type":"item.completed","item":{"id":"item_0","type":"reasoning","text":"hm"}}
{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"I will think."}}
{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"Oslo"}}
{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":60,"output_tokens":5}}
"#;
    let fake = printing("codex", out, "", 0);
    let answer = tool(&fake, &["exec", "--json"])
        .call(&asking("x"))
        .await
        .unwrap();
    assert_eq!(answer.output, "Oslo");
    let usage = Usage {
        input: 40,
        cached: 60,
        output: 5,
        ..Usage::default()
    };
    assert_eq!((answer.usage, answer.reported_cost), (usage, None));
    assert_eq!(answer.response_id.as_deref(), Some("t-1"));
}

#[tokio::test]
async fn gemini_output_is_parsed() {
    let out = json!({"session_id": "g-1", "response": "Oslo", "warnings": [], "stats": {"tools": {}, "files": {}, "models": {
        "gemini-2.5-flash": {"api": {"totalRequests": 1}, "tokens":
            {"input": 12, "prompt": 20, "candidates": 3, "total": 32, "cached": 8, "thoughts": 7, "tool": 2}}}}});
    let fake = printing("gemini", &out.to_string(), "Loaded cached credentials.", 0);
    let args = ["--output-format", "json"];
    let answer = tool(&fake, &args).call(&asking("x")).await.unwrap();
    let usage = Usage {
        input: 14,
        cached: 8,
        output: 3,
        reasoning: 7,
        ..Usage::default()
    };
    assert_eq!((answer.output.as_str(), answer.usage), ("Oslo", usage));
    assert_eq!(answer.model.as_deref(), Some("gemini-2.5-flash"));
}

#[tokio::test]
async fn failures_are_classified_by_their_words() {
    use ErrorClass::*;
    let claude = |subtype: &str, result: &str| {
        json!({"type": "result", "subtype": subtype, "is_error": true, "result": result, "errors": []}).to_string()
    };
    let gemini = json!({"error": {"type": "FatalAuthenticationError", "message": "Please set an Auth method", "code": 41}}).to_string();
    let codex = "{\"type\":\"thread.started\",\"thread_id\":\"t\"}\n{\"type\":\"turn.failed\",\"error\":{\"message\":\"You've hit your usage limit. Try again in 20m.\"}}";
    let cases = [
        (
            "claude",
            claude("success", "Invalid API key · Please run /login"),
            "",
            1,
            Auth,
        ),
        (
            "claude",
            claude("success", "Claude AI usage limit reached|4102444800"),
            "",
            1,
            QuotaExhausted,
        ),
        (
            "claude",
            claude("success", "Prompt is too long"),
            "",
            1,
            ContextTooLong,
        ),
        (
            "claude",
            claude("success", "API Error: 529 Overloaded"),
            "",
            1,
            Overloaded,
        ),
        ("claude", claude("error_max_turns", ""), "", 1, BadOutput),
        ("claude", String::new(), "command crashed", 1, Overloaded),
        ("claude", "garbage".to_owned(), "", 0, BadOutput),
        (
            "claude",
            json!({"type": "result", "subtype": "success", "is_error": false, "result": ""})
                .to_string(),
            "",
            0,
            BadOutput,
        ),
        ("codex", codex.to_owned(), "", 1, QuotaExhausted),
        (
            "codex",
            String::new(),
            "ERROR: 429 Too Many Requests",
            1,
            RateLimited,
        ),
        ("codex", String::new(), "Not logged in", 1, Auth),
        ("gemini", String::new(), &gemini, 41, Auth),
        ("gemini", String::new(), "", 41, Auth),
        (
            "gemini",
            String::new(),
            "Reached max session turns",
            53,
            BadOutput,
        ),
        (
            "gemini",
            String::new(),
            "Quota exceeded for quota metric 'Requests' and limit 'Requests per day'",
            1,
            QuotaExhausted,
        ),
        (
            "gemini",
            String::new(),
            "{\"status\": \"RESOURCE_EXHAUSTED\"}",
            1,
            RateLimited,
        ),
    ];
    for (name, out, err, code, class) in cases {
        let fake = printing(name, &out, err, code);
        let error = fails(&fake, &["--json", "json"], &asking("x")).await;
        assert_eq!(error.class, class, "{name} {out} {err}: {error}");
    }
    let fake = printing(
        "claude",
        &claude("success", "Claude AI usage limit reached|4102444800"),
        "",
        1,
    );
    let error = fails(&fake, &["json"], &asking("x")).await;
    assert!(error.retry_after.unwrap() > Duration::from_hours(24));
    assert_eq!(error.spend, CallCost::Nothing);
}
