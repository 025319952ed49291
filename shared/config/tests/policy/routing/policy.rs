//! Local platforms, the fallback, what a job may cost and what it needs.

use serde_json::json;

use super::*;

const LOCAL: &str = "
providers:
  ollama: {enabled: true, default_model: llama3, billing: paid}
models:
  - {provider: ollama, model: llama3, context_window: 8000, max_output_tokens: 1000, input_per_million: 9, output_per_million: 9}
";

fn with_local(yaml: &str) -> Router {
    ruled(&THREE, &format!("{LOCAL}{yaml}"))
}

#[test]
fn local_platforms_come_first_with_prefer_local() {
    let job = r#"{"prompt":"x"}"#;
    assert_eq!(platforms(&with_local(""), job)[3], "ollama");
    let router = with_local("routing: {prefer_local: true}");
    let decision = decided(&router, job);
    assert_eq!(
        named(&decision)[..2],
        ["ollama/llama3", "gemini/gemini-2.5-flash-lite"]
    );
    assert_eq!(
        decision.candidates[0].reason,
        "local platform, which the configuration prefers"
    );
    assert_eq!(
        record(&decision),
        "cost: cheapest first\nprefer_local: local platforms before the others"
    );
    // A rule has been asked before.
    let ruled = r#"{"prompt":"x","risk":"low","area":"docs"}"#;
    assert_eq!(platforms(&router, ruled)[..2], ["gemini", "ollama"]);
}

#[test]
fn the_fallback_provider_follows_the_preferred_platforms() {
    let router = ruled(&FOUR, "routing: {fallback_provider: Claude}");
    let plain = decided(&router, r#"{"prompt":"x"}"#);
    assert_eq!(
        named(&plain)[..2],
        ["gemini/gemini-2.5-flash-lite", "anthropic/claude-haiku-4-5"]
    );
    assert!(record(&plain).ends_with("fallback_provider: `anthropic` is the first fallback"));
    let keywords = r#"{"prompt":"a bash script"}"#;
    assert_eq!(
        platforms(&router, keywords)[..3],
        ["openai", "gemini", "anthropic"]
    );
    let cheapest = ruled(&FOUR, "routing: {fallback_provider: gemini}");
    assert_eq!(platforms(&cheapest, r#"{"prompt":"x"}"#)[0], "gemini");
    // One that is off has no say.
    let off = ruled(&["OPENAI_API_KEY"], "routing: {fallback_provider: gemini}");
    assert_eq!(platforms(&off, r#"{"prompt":"x"}"#), ["openai"]);
}

#[test]
fn removes_platforms_above_the_maximum_cost() {
    // 100,000 tokens: gemini 0.01, openai 0.015, anthropic 0.1.
    let tokens = 100_000;
    let job = |most: &str| json!({"prompt": "x", "max_cost_usd": most}).to_string();
    let plain = router(&THREE);
    let decision = long(&plain, &job("0.015"), tokens).unwrap();
    assert_eq!(named(&decision).len(), 2);
    assert!(record(&decision).ends_with(
        "max_cost: without anthropic/claude-haiku-4-5: its prompt alone may cost $0.1, and $0.015 is allowed"
    ));
    let none = long(&plain, &job("0.001"), tokens).unwrap_err().error;
    assert!(
        none.starts_with("no candidate model can run the job: gemini/"),
        "{none}"
    );
    let limited = ruled(&THREE, "routing: {max_cost_per_task: 0.01}");
    for most in ["0.015", "5"] {
        let decision = long(&limited, &job(most), tokens).unwrap();
        assert_eq!(named(&decision), ["gemini/gemini-2.5-flash-lite"], "{most}");
    }
    assert_eq!(
        long(&limited, r#"{"prompt":"x"}"#, tokens)
            .unwrap()
            .candidates
            .len(),
        1
    );
}

#[test]
fn a_long_prompt_needs_a_large_context_window() {
    let router = router(&THREE);
    let plain = r#"{"prompt":"x"}"#;
    let decision = long(&router, plain, 150_000).unwrap();
    assert_eq!(
        named(&decision),
        [
            "gemini/gemini-2.5-flash-lite",
            "openai/gpt-5-nano",
            "anthropic/claude-haiku-4-5"
        ]
    );
    assert!(record(&decision).ends_with(
        "needs: openai/gpt-5-nano instead of openai/gpt-4o-mini: \
         its window has 128000 tokens, and up to 150000 are needed"
    ));
    let exact = r#"{"prompt":"x","platform":"openai","max_tokens":8000}"#;
    assert_eq!(
        named(&long(&router, exact, 120_000).unwrap())[0],
        "openai/gpt-4o-mini"
    );
    assert_eq!(
        named(&long(&router, exact, 120_001).unwrap())[0],
        "openai/gpt-5-nano"
    );
    let none = long(&router, plain, 2_000_000).unwrap_err().error;
    assert!(none.contains("its window has 1048576 tokens"), "{none}");
}

#[test]
fn a_pinned_model_that_cannot_run_the_job_is_refused() {
    let router = router(&THREE);
    let job = r#"{"prompt":"x","model":"gpt-4o-mini"}"#;
    assert_eq!(
        long(&router, job, 150_000).unwrap_err().error,
        "no candidate model can run the job: openai/gpt-4o-mini: its window has 128000 tokens, and up to 150000 are needed"
    );
}

#[test]
fn a_hint_without_fallback_is_refused_if_its_model_cannot_run_the_job() {
    let router = router(&THREE);
    let job = r#"{"prompt":"x","platform":"openai","fallback":false}"#;
    let refused = long(&router, job, 1_060_000).unwrap_err().error;
    assert!(
        refused.ends_with("and the job allows no other (fallback: false)"),
        "{refused}"
    );
    let other = r#"{"prompt":"x","platform":"openai"}"#;
    assert!(long(&router, other, 1_048_000).is_ok());
}

#[test]
fn tools_and_schemas_need_capable_models() {
    let router = changed(&["OPENAI_API_KEY", "GOOGLE_API_KEY"], "", |config| {
        let models = config.catalog.models.iter_mut();
        models.for_each(|model| model.capabilities = vec![Capability::Code]);
        can(config, "gpt-4.1", &[Capability::Code, Capability::Tools]);
        let schemas = [Capability::Code, Capability::JsonSchema];
        can(config, "gemini-2.5-flash-lite", &schemas);
    });
    let schema = r#"{"prompt":"x","response_format":{"type":"json_schema","json_schema":{}}}"#;
    let decision = decided(&router, schema);
    assert_eq!(named(&decision), ["gemini/gemini-2.5-flash-lite"]);
    assert!(
        record(&decision)
            .ends_with("needs: without openai/gpt-4o-mini: it keeps to no JSON schema")
    );
    let tools = r#"{"prompt":"x","tools":[{"type":"function","function":{"name":"f"}}]}"#;
    let decision = decided(&router, tools);
    assert_eq!(named(&decision), ["openai/gpt-4.1"]);
    let why = "without gemini/gemini-2.5-flash-lite: it does not take `tools`: model gemini-2.5-flash-lite calls no tools";
    assert!(record(&decision).contains(why), "{}", record(&decision));
    let object = r#"{"prompt":"x","response_format":{"type":"json_object"}}"#;
    assert_eq!(asked(&router, object).len(), 2);
}

#[test]
fn a_model_without_listed_capabilities_counts_as_capable() {
    let yaml = "
providers: {vllm: {base_url: 'http://vllm', default_model: qwen, price: {input: 1, output: 1}}}
";
    let schema = r#"{"prompt":"x","response_format":{"type":"json_schema","json_schema":{}}}"#;
    assert_eq!(asked(&ruled(&[], yaml), schema), ["vllm/qwen"]);
}

#[test]
fn counts_tokens_only_of_long_prompts() {
    let plain = router(&THREE);
    let short = envelope(r#"{"prompt":"hello"}"#);
    assert_eq!(plain.measure(&short).upper_bound, 5 + 4);
    let text = "hello world ".repeat(2_000);
    let job = envelope(&json!({"prompt": text}).to_string());
    // Some 4,000 tokens, and half as much again.
    let counted = plain.measure(&job).upper_bound;
    assert!((5_900..6_300).contains(&counted), "{counted}");
    let patient = ruled(&THREE, "routing: {estimate_threshold: 30000}");
    assert_eq!(patient.measure(&job).upper_bound, 24_000 + 4);
}
