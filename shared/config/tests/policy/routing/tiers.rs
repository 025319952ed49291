//! The tier that a job requires holds for every candidate, and escalation goes up from it.

use std::fmt::Write as _;

use super::*;

const FIVE: [&str; 5] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_API_KEY",
    "MOONSHOT_API_KEY",
    "ZHIPU_API_KEY",
];

/// A platform with models of these tiers, named after them.
fn platform(name: &str, tiers: &[&str]) -> String {
    let default = tiers[0];
    let mut yaml = format!(
        "providers: {{{name}: {{base_url: 'http://{name}', default_model: {default}}}}}\nmodels:\n"
    );
    for (price, tier) in tiers.iter().enumerate() {
        writeln!(
            yaml,
            "  - {{provider: {name}, model: {tier}, tier: {tier}, context_window: 8000, \
             max_output_tokens: 1000, input_per_million: {price}, output_per_million: {price}}}"
        )
        .unwrap();
    }
    yaml
}

fn escalated(router: &Router, job: &str, failed: Tier) -> Option<(Tier, Vec<String>)> {
    let envelope = envelope(job);
    let decision = router.escalate(&envelope, router.measure(&envelope), failed)?;
    Some((decision.level.unwrap(), named(&decision)))
}

#[test]
fn candidates_behind_a_rule_keep_the_tier_of_the_job() {
    let router = router(&THREE);
    let decision = decided(&router, r#"{"prompt":"x","risk":"high","area":"core"}"#);
    assert_eq!(named(&decision)[0], "anthropic/claude-sonnet-5-5");
    assert_eq!(decision.candidates.len(), 3);
    for candidate in &decision.candidates[1..] {
        let model = &candidate.model;
        assert_eq!(model.tier, Tier::Advanced, "{}", model.model);
    }
    assert!(
        record(&decision)
            .ends_with("cost: then the others of tier advanced or above, cheapest first"),
        "{}",
        record(&decision)
    );
}

#[test]
fn a_platform_without_the_tier_is_left_out_and_recorded() {
    let router = ruled(&["OPENAI_API_KEY"], &platform("small", &["fast"]));
    let decision = decided(&router, r#"{"prompt":"x","risk":"high"}"#);
    assert_eq!(
        platforms(&router, r#"{"prompt":"x","risk":"high"}"#),
        ["openai"]
    );
    assert!(
        record(&decision)
            .ends_with("cost: no others; platform `small` has no model of tier advanced or above"),
        "{}",
        record(&decision)
    );
}

#[test]
fn candidates_behind_a_named_model_keep_its_tier() {
    let yaml = "
routing:
  rules:
    - {name: contracts, area: [legal], model: claude-sonnet-5-5}
    - {name: forms, area: [forms], platform: [openai], capability: json_schema}
";
    let router = ruled(&FIVE, yaml);
    let contracts = decided(
        &router,
        r#"{"prompt":"x","area":"legal","type":"research"}"#,
    );
    assert_eq!(contracts.candidates.len(), 5);
    for candidate in &contracts.candidates {
        let model = &candidate.model;
        assert_ne!(model.tier, Tier::Fast, "{}", model.model);
    }
    let forms = decided(
        &router,
        r#"{"prompt":"x","area":"forms","type":"research"}"#,
    );
    for candidate in &forms.candidates {
        let can = &candidate.model.capabilities;
        assert!(can.contains(&Capability::JsonSchema), "{candidate:?}");
    }
}

#[test]
fn a_risk_or_complexity_that_means_nothing_is_refused() {
    let yaml =
        "routing: {rules: [{name: own, risk: [legal], platform: [openai]}], tiers: {dull: fast}}";
    let router = ruled(&THREE, yaml);
    assert_eq!(
        refused(&router, r#"{"prompt":"x","risk":"hgih"}"#),
        "risk `hgih` is not known; did you mean `high`? expected one of architectural, complex, dull, high, legal, \
         low, medium, simple, or a word of your own under `routing.tiers` in longshore.yaml"
    );
    let odd = refused(&router, r#"{"prompt":"x","complexity":"legal"}"#);
    assert!(
        odd.starts_with("complexity `legal` is not known; expected"),
        "{odd}"
    );
    for job in [
        r#"{"prompt":"x","risk":"Legal"}"#,
        r#"{"prompt":"x","complexity":"DULL"}"#,
        r#"{"prompt":"x","risk":"hgih","model":"gpt-4o-mini"}"#,
    ] {
        decided(&router, job);
    }
}

#[test]
fn code_is_not_written_by_models_that_only_analyse() {
    let router = router(&FIVE);
    let code = r#"{"prompt":"x"}"#;
    assert_eq!(platforms(&router, code), ["gemini", "openai", "anthropic"]);
    assert_eq!(
        platforms(&router, r#"{"prompt":"x","type":"research"}"#).len(),
        5
    );
    // Whoever names the platform knows why, but nobody else falls back to one.
    let named = r#"{"prompt":"x","platform":"zhipu"}"#;
    assert_eq!(platforms(&router, named)[0], "zhipu");
    assert_eq!(platforms(&router, named).len(), 4);
    let pinned = r#"{"prompt":"x","model":"glm-4.6"}"#;
    assert_eq!(platforms(&router, pinned), ["zhipu"]);
    // Jobs that name no type count as code, so an account with such models alone still gets answers.
    let alone = ruled(&["ZHIPU_API_KEY"], "");
    assert_eq!(platforms(&alone, code), ["zhipu"]);
    assert!(record(&decided(&alone, code)).ends_with("needs: no candidate is for code"));
}

#[test]
fn escalation_goes_up_tier_by_tier_to_the_top() {
    let yaml = platform("all", &["fast", "standard", "advanced"]);
    let router = ruled(&[], &yaml);
    let job = r#"{"prompt":"x"}"#;
    assert_eq!(asked(&router, job), ["all/fast"]);
    let (level, models) = escalated(&router, job, Tier::Fast).unwrap();
    assert_eq!(
        (level, models),
        (Tier::Standard, vec!["all/standard".to_owned()])
    );
    let (level, models) = escalated(&router, job, Tier::Standard).unwrap();
    assert_eq!(
        (level, models),
        (Tier::Advanced, vec!["all/advanced".to_owned()])
    );
    assert_eq!(escalated(&router, job, Tier::Advanced), None);
}

#[test]
fn escalation_skips_tiers_without_models_and_models_that_were_called() {
    let yaml = platform("gap", &["fast", "advanced"]);
    let router = ruled(&["OPENAI_API_KEY"], &yaml);
    let job = r#"{"prompt":"x"}"#;
    let (level, models) = escalated(&router, job, Tier::Fast).unwrap();
    assert_eq!(level, Tier::Standard);
    assert!(models.contains(&"gap/advanced".to_owned()), "{models:?}");
    let (level, models) = escalated(&router, job, Tier::Standard).unwrap();
    assert_eq!(level, Tier::Advanced);
    assert!(!models.contains(&"gap/advanced".to_owned()), "{models:?}");
}

#[test]
fn escalation_without_fallback_stays_on_its_platform() {
    let yaml = platform("mine", &["fast", "advanced"]);
    let router = ruled(&THREE, &yaml);
    let job = r#"{"prompt":"x","platform":"mine","fallback":false}"#;
    let (_, models) = escalated(&router, job, Tier::Fast).unwrap();
    assert_eq!(models, ["mine/advanced"]);
    assert_eq!(escalated(&router, job, Tier::Standard), None);
}
