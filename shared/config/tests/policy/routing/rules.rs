//! Rules and keywords of the user's own.

use super::*;

#[test]
fn own_rules_come_before_the_built_in_ones() {
    let router = ruled(
        &THREE,
        "
routing:
  rules:
    - {name: core stays here, area: [Core], platform: [chatgpt]}
    - {name: plans, type: [planning], capability: planning}
",
    );
    let core = decided(&router, r#"{"prompt":"x","risk":"high","area":"CORE"}"#);
    assert_eq!(
        named(&core),
        [
            "openai/gpt-4o-mini",
            "gemini/gemini-2.5-pro",
            "anthropic/claude-opus-5-5"
        ]
    );
    assert_eq!(core.candidates[0].reason, "rule `core stays here`");
    assert_eq!(
        record(&core),
        "rule: `core stays here`: openai/gpt-4o-mini\n\
         cost: then the others of tier advanced or above, cheapest first"
    );
    let math = asked(&router, r#"{"prompt":"x","risk":"high","area":"math"}"#);
    assert_eq!(math[0], "anthropic/claude-sonnet-5-5");
}

#[test]
fn built_in_rules_can_be_disabled() {
    let router = ruled(&THREE, "routing: {default_rules: false}");
    let decision = decided(&router, r#"{"prompt":"x","risk":"low","area":"docs"}"#);
    assert!(!record(&decision).contains("rule"), "{}", record(&decision));
    assert!(record(&decision).starts_with("tier: at least fast: "));
}

#[test]
fn a_rule_without_enabled_platforms_is_skipped_and_recorded() {
    let router = router(&["OPENAI_API_KEY", "GOOGLE_API_KEY"]);
    let decision = decided(&router, r#"{"prompt":"x","risk":"high","area":"core"}"#);
    let record = record(&decision);
    assert!(
        record.starts_with(
            "rule: `high-risk core` matches no available model: model `claude-sonnet-5-5` has no provider: \
             platform `anthropic` is off: ANTHROPIC_API_KEY is not set\ntier: at least advanced: "
        ),
        "{record}"
    );
    let models = decision.candidates.iter();
    assert!(models.clone().all(|one| one.model.tier == Tier::Advanced));
}

#[test]
fn skipped_rules_are_recorded_before_the_one_that_decides() {
    let yaml = "
routing:
  rules:
    - {name: first, area: [law], platform: [claude]}
    - {name: second, area: [law], platform: [grok]}
    - {name: third, area: [law], platform: [openai]}
    - {name: fourth, area: [law], platform: [gemini]}
";
    let router = ruled(&["OPENAI_API_KEY", "GOOGLE_API_KEY"], yaml);
    let decision = decided(&router, r#"{"prompt":"x","area":"law"}"#);
    assert_eq!(named(&decision)[0], "openai/gpt-4o-mini");
    assert_eq!(
        record(&decision),
        "rule: `first` matches no available model: platform `anthropic` is off: ANTHROPIC_API_KEY is not set
rule: `second` matches no available model: platform `xai` is off: XAI_API_KEY is not set
rule: `third`: openai/gpt-4o-mini
cost: then the others, cheapest first"
    );
}

#[test]
fn a_rule_can_select_a_tier_and_a_capability() {
    let yaml = "
routing:
  rules:
    - {name: schemas, type: [extract], platform: [gemini, openai, xai], tier: standard, capability: json_schema}
";
    let router = changed(&THREE, yaml, |config| {
        can(config, "gpt-4.1", &[Capability::JsonSchema]);
        can(config, "gpt-4o-mini", &[Capability::JsonSchema]);
        for model in &mut config.catalog.models {
            if model.provider.as_str() == "gemini" {
                model.capabilities = vec![Capability::Code];
            }
        }
    });
    let mut shipped = decided(&router, r#"{"prompt":"x","type":"extract"}"#);
    assert_eq!(shipped.candidates.len(), 2);
    let first = shipped.candidates.remove(0);
    assert_eq!(first.provider.name.as_str(), "openai");
    assert!(first.model.capabilities.contains(&Capability::JsonSchema));
    assert_ne!(first.model.tier, Tier::Fast);
    let record = record(&shipped);
    for told in [
        "platform `gemini` has no model of tier standard or above for json_schema",
        "platform `xai` is off: XAI_API_KEY is not set",
    ] {
        assert!(record.contains(told), "{record}");
    }
}

#[test]
fn a_hint_uses_the_model_that_a_rule_selects() {
    let router = router(&THREE);
    let job = r#"{"prompt":"x","risk":"medium","area":"games","platform":"claude"}"#;
    let decision = decided(&router, job);
    assert_eq!(decision.candidates[0].provider.name.as_str(), "anthropic");
    assert_eq!(decision.candidates[0].model.tier, Tier::Standard);
}

#[test]
fn keywords_replace_and_add_categories() {
    let router = ruled(
        &FOUR,
        "
routing:
  keywords:
    - {category: Frontend, words: [vue], platforms: [openai]}
    - {category: poems, words: [sonnet, haiku], platforms: [grok]}
    - {category: backend, words: []}
",
    );
    let first = |prompt: &str| {
        let job = serde_json::json!({"prompt": prompt}).to_string();
        platforms(&router, &job).remove(0)
    };
    assert_eq!(first("a Vue app"), "openai");
    assert_eq!(first("a haiku"), "xai");
    assert_eq!(first("a react app"), "gemini");
    assert_eq!(first("a database endpoint"), "gemini");
}

#[test]
fn tier_words_can_be_changed() {
    let router = ruled(&THREE, "routing: {tiers: {trivial: fast, low: advanced}}");
    let tier = |job: &str| decided(&router, job).candidates[0].model.tier;
    assert_eq!(tier(r#"{"prompt":"x","risk":"low"}"#), Tier::Advanced);
    assert_eq!(
        tier(r#"{"prompt":"x","complexity":"trivial","risk":"medium"}"#),
        Tier::Standard
    );
}
