//! Pins, hints and cost.

use super::*;

#[test]
fn orders_platforms_by_price() {
    assert_eq!(
        asked(&router(&THREE), r#"{"prompt":"x"}"#),
        [
            "gemini/gemini-2.5-flash-lite",
            "openai/gpt-4o-mini",
            "anthropic/claude-haiku-4-5"
        ]
    );
}

#[test]
fn plain_decisions_share_their_steps() {
    let router = router(&THREE);
    let decision = decided(&router, r#"{"prompt":"x"}"#);
    assert!(matches!(decision.steps, Cow::Borrowed(_)));
    assert_eq!(record(&decision), "cost: cheapest first");
    let reasons = decision.candidates.iter().map(|one| &one.reason);
    assert!(reasons.clone().all(|one| matches!(one, Cow::Borrowed(_))));
}

#[test]
fn a_hint_comes_first_and_the_others_follow() {
    let router = router(&THREE);
    let decision = decided(&router, r#"{"prompt":"x","platform":"claude_code"}"#);
    assert_eq!(
        named(&decision),
        [
            "anthropic/claude-haiku-4-5",
            "gemini/gemini-2.5-flash-lite",
            "openai/gpt-4o-mini"
        ]
    );
    assert_eq!(decision.candidates[0].reason, "platform hinted by the job");
    assert_eq!(
        record(&decision),
        "hint: anthropic/claude-haiku-4-5 first\ncost: cheapest first"
    );
}

#[test]
fn without_fallback_there_is_one_candidate() {
    let router = router(&THREE);
    let job = r#"{"prompt":"x","platform":"chatgpt","fallback":false}"#;
    assert_eq!(asked(&router, job), ["openai/gpt-4o-mini"]);
    let job = r#"{"prompt":"x","fallback":false}"#;
    assert_eq!(asked(&router, job), ["gemini/gemini-2.5-flash-lite"]);
    assert!(
        record(&decided(&router, job))
            .ends_with("fallback: only the first candidate (fallback: false)")
    );
}

#[test]
fn a_pinned_model_is_the_only_candidate() {
    let router = router(&THREE);
    let job = r#"{"prompt":"x","model":"gpt-5-nano","platform":"gemini"}"#;
    let decision = decided(&router, job);
    assert_eq!(named(&decision), ["openai/gpt-5-nano"]);
    assert_eq!(
        decision.candidates[0].reason,
        "model pinned by the job; platform `gemini` does not serve model `gpt-5-nano`"
    );
    let job = r#"{"prompt":"x","model":"OpenAI/gpt-5-nano","risk":"high","area":"core"}"#;
    assert_eq!(asked(&router, job), ["openai/gpt-5-nano"]);
}

#[test]
fn a_pinned_model_uses_every_platform_that_serves_it() {
    let mirror = "
providers:
  mirror: {base_url: 'http://mirror'}
models:
  - {provider: mirror, model: gpt-5-nano, context_window: 1000, max_output_tokens: 100, input_per_million: 1, output_per_million: 1}
";
    let router = ruled(&THREE, mirror);
    let plain = r#"{"prompt":"x","model":"gpt-5-nano"}"#;
    assert_eq!(platforms(&router, plain), ["openai", "mirror"]);
    let exact = r#"{"prompt":"x","model":"mirror/gpt-5-nano"}"#;
    assert_eq!(asked(&router, exact), ["mirror/gpt-5-nano"]);
    let hinted = r#"{"prompt":"x","model":"gpt-5-nano","platform":"mirror"}"#;
    assert_eq!(platforms(&router, hinted), ["mirror", "openai"]);
}

#[test]
fn a_hint_to_a_disabled_platform_is_skipped_and_recorded() {
    let router = router(&["OPENAI_API_KEY"]);
    let decision = decided(&router, r#"{"prompt":"x","platform":"gemini"}"#);
    assert_eq!(named(&decision), ["openai/gpt-4o-mini"]);
    let off = "platform `gemini` is off: GOOGLE_API_KEY is not set";
    assert!(decision.candidates[0].reason.ends_with(off));
    assert_eq!(
        record(&decision),
        format!("hint: {off}\ncost: cheapest first")
    );
    let unknown = decided(&router, r#"{"prompt":"x","platform":"skynet"}"#);
    assert!(record(&unknown).starts_with("hint: platform `skynet` is not known; expected one of"));
}

#[test]
fn an_unroutable_job_has_a_reason() {
    let none = router(&[]);
    assert!(refused(&none, r#"{"prompt":"x"}"#).contains("set OPENAI_API_KEY"));
    let one = router(&["OPENAI_API_KEY"]);
    assert!(
        refused(&one, r#"{"prompt":"x","model":"nobody-9"}"#)
            .contains("`nobody-9` is not in the catalog; add it under `models:`")
    );
    assert!(refused(&one, r#"{"prompt":"x","model":"gpt4o"}"#).contains(
        "`gpt4o` is not in the catalog; did you mean `gpt-4o`? `longshore models list` shows all"
    ));
    assert!(
        refused(&one, r#"{"prompt":"x","model":"claude-haiku-4-5"}"#).contains("ANTHROPIC_API_KEY")
    );
    let only = refused(
        &one,
        r#"{"prompt":"x","platform":"gemini","fallback":false}"#,
    );
    assert!(
        only.contains("GOOGLE_API_KEY") && only.contains("fallback: false"),
        "{only}"
    );
    let unpriced = "providers: {vllm: {base_url: 'http://vllm', default_model: qwen}}";
    let unpriced = refused(&ruled(&[], unpriced), r#"{"prompt":"x"}"#);
    assert!(
        unpriced.contains("no price for its default model `qwen`"),
        "{unpriced}"
    );
}

#[test]
fn keywords_apply_only_to_jobs_without_other_hints() {
    let router = router(&THREE);
    for job in [
        r#"{"prompt":"Kubernetes, docker","type":"research"}"#,
        r#"{"prompt":"Kubernetes, docker","area":"games"}"#,
        r#"{"prompt":"Kubernetes, docker","platform":"gemini"}"#,
    ] {
        assert_eq!(platforms(&router, job)[0], "gemini", "{job}");
    }
    assert_eq!(
        platforms(&router, r#"{"prompt":"Kubernetes, docker"}"#)[0],
        "openai"
    );
}

/// Run by hand: `cargo test -p longshore-config --profile dist -- --ignored --nocapture amounts`.
#[test]
#[ignore = "a measurement"]
fn a_plain_decision_takes_less_than_a_microsecond() {
    let router = router(&FOUR);
    let envelope = envelope(r#"{"prompt":"Name three primary colours."}"#);
    let begun = std::time::Instant::now();
    for _ in 0..1_000_000 {
        let decision = router.decide(&envelope, router.measure(&envelope));
        assert_eq!(std::hint::black_box(decision).unwrap().candidates.len(), 4);
    }
    let took = begun.elapsed();
    assert!(took.as_millis() < 1_000, "{took:?} for a million");
}
