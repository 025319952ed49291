//! What changes from one day to another: models that are withdrawn, and prices.

use super::*;

const TWO: [&str; 2] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"];

fn on(config: &Config, day: &str) -> Router {
    router_of(config, day.parse().unwrap())
}

#[test]
fn a_withdrawn_model_is_used_only_by_name() {
    let yaml = "
routing:
  rules:
    - {name: named, type: [x], model: gpt-5-nano}
    - {name: able, type: [y], tier: advanced}
models:
  - {provider: openai, model: gpt-4o-mini, withdrawn: 2027-01-01}
  - {provider: anthropic, model: claude-opus-5-5, withdrawn: 2027-01-01}
";
    let config = config(&TWO, yaml);
    let plain = r#"{"prompt":"x"}"#;
    let instead = |router: &Router| {
        let decision = long(router, r#"{"prompt":"x","platform":"openai"}"#, 150_000);
        named(&decision.unwrap())[0].clone()
    };
    assert_eq!(instead(&on(&config, "2026-12-10")), "openai/gpt-5-nano");
    let after = on(&config, "2026-12-11");
    assert_ne!(instead(&after), "openai/gpt-5-nano");
    assert_eq!(asked(&after, plain)[0], "openai/gpt-4o-mini");
    for job in [
        r#"{"prompt":"x","model":"gpt-5-nano"}"#,
        r#"{"prompt":"x","type":"x"}"#,
    ] {
        assert_eq!(asked(&after, job)[0], "openai/gpt-5-nano");
    }

    // A default model, and one that is chosen by its tier.
    let later = on(&config, "2027-01-01");
    assert_eq!(platforms(&later, plain), ["anthropic"]);
    let able = r#"{"prompt":"x","type":"y","platform":"anthropic"}"#;
    assert_eq!(asked(&after, able)[0], "anthropic/claude-opus-5-5");
    assert_ne!(asked(&later, able)[0], "anthropic/claude-opus-5-5");
    let hinted = decided(&later, r#"{"prompt":"x","platform":"openai"}"#);
    let hinted = record(&hinted);
    assert!(
        hinted.starts_with(
            "hint: the default model `gpt-4o-mini` of platform `openai` is withdrawn; name another as \
             `providers.openai.default_model` in longshore.yaml"
        ),
        "{hinted}"
    );
}

#[test]
fn uses_the_price_of_the_day_and_of_the_prompt_length() {
    let yaml = "
models:
  - provider: openai
    model: gpt-4o-mini
    input_per_million: 1
    output_per_million: 1
    steps: [{above_tokens: 1000, input_per_million: 2}]
    price_changes: [{valid_from: 2027-01-01, input_per_million: 50, output_per_million: 50}]
";
    let config = config(&TWO, yaml);
    let plain = r#"{"prompt":"x"}"#;
    let before = on(&config, "2026-12-31");
    assert_eq!(platforms(&before, plain), ["openai", "anthropic"]);
    assert_eq!(
        platforms(&on(&config, "2027-01-01"), plain),
        ["anthropic", "openai"]
    );
    let job = r#"{"prompt":"x","platform":"openai","max_cost_usd":"0.0015","fallback":false}"#;
    assert!(long(&before, job, 1_000).is_ok());
    let refused = long(&before, job, 1_001).unwrap_err().error;
    assert!(refused.contains("may cost $0.002002"), "{refused}");
}
