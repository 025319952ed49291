//! The routing tables of the documents that Longshore was made after, row by row.

use serde_json::json;

use super::*;

#[test]
fn the_table_of_risk_and_area() {
    const SONNET: &str = "anthropic/claude-sonnet-5-5";
    const PRO: &str = "gemini/gemini-2.5-pro";
    const FLASH: &str = "gemini/gemini-2.5-flash";
    let router = router(&THREE);
    for (risk, areas, planner, implementer) in [
        ("high", ["core", "math"], SONNET, SONNET),
        ("high", ["api", "services"], PRO, SONNET),
        ("medium", ["tests", "api"], PRO, PRO),
        ("low", ["docs", "comments"], FLASH, FLASH),
    ] {
        for area in areas {
            for (kind, expected) in [
                ("planning", planner),
                ("code_generation", implementer),
                ("testing", implementer),
            ] {
                let job = json!({"prompt": "x", "type": kind, "risk": risk, "area": area});
                let asked = asked(&router, &job.to_string());
                assert_eq!(asked[0], expected, "{risk} {area} {kind}");
                assert_eq!(asked.len(), 3, "{risk} {area} {kind}");
            }
        }
    }
}

#[test]
fn the_table_of_keywords() {
    let router = router(&FOUR);
    for (category, words, primary, validator) in [
        (
            "frontend",
            ["react", "component", "ui", "form"].as_slice(),
            ["gemini", "anthropic"],
            "openai",
        ),
        (
            "backend",
            &["api", "endpoint", "service", "database"],
            ["anthropic", "openai"],
            "gemini",
        ),
        (
            "devops",
            &["docker", "kubernetes", "ci/cd"],
            ["openai", "xai"],
            "anthropic",
        ),
        (
            "scripts",
            &["script", "automation", "bash", "cli"],
            ["openai", "gemini"],
            "anthropic",
        ),
        (
            "data",
            &["data", "pipeline", "etl", "sql"],
            ["openai", "anthropic"],
            "gemini",
        ),
        (
            "architecture",
            &["architecture", "design", "scale"],
            ["xai", "anthropic"],
            "openai",
        ),
    ] {
        for word in words {
            let job = json!({"prompt": format!("Please do the {word} for me.")}).to_string();
            assert_eq!(platforms(&router, &job)[..2], primary, "{category}: {word}");
            assert_eq!(platforms(&router, &job).len(), 4, "{category}: {word}");
            let record = record(&decided(&router, &job));
            let told = format!("{category}, by: {word}");
            assert!(record.contains(&told), "{record}");
            let prompt = format!("Please do the {word} for me.");
            let review = json!({"prompt": prompt, "type": "review"}).to_string();
            assert_eq!(
                platforms(&router, &review)[0],
                validator,
                "{category}: {word}"
            );
        }
    }
}

#[test]
fn the_table_of_tiers() {
    let router = router(&THREE);
    for (input, word, tier) in [
        ("complexity", "simple", Tier::Fast),
        ("complexity", "low", Tier::Fast),
        ("risk", "low", Tier::Fast),
        ("complexity", "medium", Tier::Standard),
        ("risk", "medium", Tier::Standard),
        ("risk", "high", Tier::Advanced),
        ("complexity", "high", Tier::Advanced),
        ("complexity", "Complex", Tier::Advanced),
        ("complexity", "architectural", Tier::Advanced),
    ] {
        let job = json!({"prompt": "x", input: word}).to_string();
        let decision = decided(&router, &job);
        for one in &decision.candidates {
            assert!(
                one.model.tier.rank() >= tier.rank(),
                "{input} {word}: {one:?}"
            );
        }
        assert_eq!(decision.candidates.len(), 3, "{input} {word}");
        let prices = decision.candidates.iter();
        let prices: Vec<Usd> = prices
            .map(|one| one.model.prices.at(today()).nominal())
            .collect();
        assert!(prices.is_sorted(), "{input} {word}: {prices:?}");
    }
}

/// Free tier, then what is subscribed to, then paid APIs; a paid platform that is cheaper than a
/// subscription's list price does not come before it.
#[test]
fn the_table_of_cost_tiers() {
    let local = "
providers:
  gemini_cli: {base_url: 'http://gemini', default_model: gemini-2.5-flash}
models:
  - provider: gemini_cli
    model: gemini-2.5-flash
    context_window: 1000000
    max_output_tokens: 8192
    input_per_million: 3
    output_per_million: 15
";
    let router = changed(&THREE, local, |config| {
        bill(config, "gemini_cli", Billing::Free);
        bill(config, "anthropic", Billing::Subscription);
        bill(config, "openai", Billing::Subscription);
    });
    let all = ["gemini_cli", "openai", "anthropic", "gemini"];
    let job = r#"{"prompt":"x"}"#;
    assert_eq!(platforms(&router, job), all);
    for (hint, name) in [
        ("claude_code", "anthropic"),
        ("chatgpt", "openai"),
        ("gemini", "gemini"),
    ] {
        let job = json!({"prompt": "x", "platform": hint}).to_string();
        let mut expected = all.to_vec();
        expected.retain(|one| *one != name);
        expected.insert(0, name);
        assert_eq!(platforms(&router, &job), expected, "{hint}");
    }
}
