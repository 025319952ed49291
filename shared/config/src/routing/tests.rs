//! Valid and invalid `routing:` sections.

use longshore_settings::Environment;

use super::*;
use crate::Config;

fn load(pairs: &[(&str, &str)], yaml: &str) -> Result<Routing, String> {
    let env = Environment::from_pairs(pairs.iter().copied());
    Config::from_yaml(&env, Path::new("longshore.yaml"), yaml)
        .map(|config| config.routing)
        .map_err(|error| error.to_string())
}

#[test]
fn the_built_in_routing_is_the_default() {
    let routing = load(&[], "").unwrap();
    assert_eq!(routing.rules.len(), 5);
    assert_eq!(routing.categories.len(), 6);
    assert_eq!(routing.max_cost_per_task, None);
    assert_eq!(routing.fallback_provider, None);
    assert_eq!(routing.estimate_threshold, 10_000);
    assert!(!routing.prefer_local);
}

#[test]
fn reads_a_section_with_variables() {
    let routing = load(
        &[("LONGSHORE_ROUTING_PREFER_LOCAL", "true"), ("MOST", "0.50")],
        "
routing:
  default_rules: false
  rules:
    - {name: Plans, type: [Planning], risk: [HIGH], platform: [claude], tier: advanced}
  max_cost_per_task: ${MOST}
  fallback_provider: claude
  estimate_threshold: 1_000
",
    );
    let routing = routing.unwrap();
    let anthropic = PlatformName::parse("anthropic").unwrap();
    let rule = Rule {
        name: "plans".to_owned(),
        when: Conditions {
            types: vec!["planning".to_owned()],
            risks: vec!["high".to_owned()],
            ..Conditions::default()
        },
        prefer: Preference::Able {
            platforms: vec![anthropic.clone()],
            tier: Some(Tier::Advanced),
            capability: None,
        },
    };
    assert_eq!(routing.rules, [rule]);
    assert!(routing.prefer_local);
    assert_eq!(routing.max_cost_per_task.unwrap().to_string(), "0.5");
    assert_eq!(routing.fallback_provider, Some(anthropic));
    assert_eq!(routing.estimate_threshold, 1_000);
}

#[test]
fn reports_errors_with_lines_and_remedies() {
    let wrong = load(
        &[],
        "routing:
  rules:
    - {name: a, platform: [skynet]}
    - {name: b, model: gpt-9000}
    - {name: c, tier: genius}
    - {name: d, capability: juggling}
    - {name: e, risk: [high]}
    - {risk: [high], tier: fast}
    - {name: g, model: gpt-4o, tier: fast}
  keywords:
    - {words: [vue], platforms: [openai]}
    - {category: i, platforms: [openai]}
    - {category: j, words: [vue]}
    - {category: k, words: [vue], platforms: [skynet]}
  tiers: {low: cheap}
  max_cost_per_task: 0
  fallback_provider: nobody
  prefer_local: maybe
  estimate_threshold: many
",
    );
    insta::assert_snapshot!(wrong.unwrap_err(), @r#"
        longshore.yaml:3: `routing.rules.platform` is `skynet`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli
        longshore.yaml:4: `routing.rules.model` is `gpt-9000`; expected a model of the catalog (`longshore.yaml` can add one under `models:`)
        longshore.yaml:5: `routing.rules.tier` is `genius`; expected one of fast, standard, advanced
        longshore.yaml:6: `routing.rules.capability` is `juggling`; expected one of code, analysis, planning, review, complex_reasoning, docs, simple_tasks, tools, json_schema, reasoning, vision, files, audio
        longshore.yaml:7: the rule `e` selects no model; expected `model`, or `platform`, `tier` or `capability`
        longshore.yaml:8: `routing.rules.name` is missing; expected a name, which decisions show
        longshore.yaml:9: the rule `g` has `model` beside `platform`, `tier` or `capability`; keep one of the two (a model of one platform is `platform/model`)
        longshore.yaml:11: `routing.keywords.category` is missing; expected the category's name
        longshore.yaml:12: `routing.keywords.words` is missing; expected a list of words (an empty one turns the category off)
        longshore.yaml:13: `routing.keywords.platforms` is missing; expected a list of platforms
        longshore.yaml:14: `routing.keywords.platforms` is `skynet`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli
        longshore.yaml:15: `routing.tiers.low` is `cheap`; expected one of fast, standard, advanced
        longshore.yaml:16: `routing.max_cost_per_task` is `0`; expected US dollars over 0, such as 1.0
        longshore.yaml:17: `routing.fallback_provider` is `nobody`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli
        longshore.yaml:18: `routing.prefer_local` is `maybe`; expected true or false
        longshore.yaml:19: `routing.estimate_threshold` is `many`; expected a whole number from 0 to 1000000000
        "#);
    let empty = load(&[], "routing: {rules: [{name: a, type: [], tier: fast}]}");
    insta::assert_snapshot!(empty.unwrap_err(), @r#"longshore.yaml:1: `routing.rules.type` is empty; name at least one, or leave it out"#);
    let unknown = load(&[], "routing:\n  rule: []");
    insta::assert_snapshot!(unknown.unwrap_err(), @r#"longshore.yaml:2: `routing.rule` is not a setting; did you mean `rules`?"#);
}

#[test]
fn errors_of_the_catalog_are_not_reported_twice() {
    let wrong = load(
        &[],
        "providers:
  openai: {base_url: nowhere}
routing:
  rules:
    - {name: a, platform: [openai], tier: cheap}
",
    );
    let wrong = wrong.unwrap_err();
    assert!(wrong.contains("`routing.rules.tier` is `cheap`"), "{wrong}");
    assert!(!wrong.contains("routing.rules.platform"), "{wrong}");
    assert!(!wrong.contains("routing.keywords"), "{wrong}");
}
