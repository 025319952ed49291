//! Prices by day and by length of prompt, and models without one.

use longshore_protocol::call::Usage;

use super::*;

fn config(yaml: &str) -> Config {
    Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), yaml).unwrap()
}

fn cost(catalog: &Catalog, model: &str, day: &str, prompt: u64) -> String {
    let usage = Usage {
        input: prompt,
        ..Usage::default()
    };
    let entry = catalog.require_model(model).unwrap()[0];
    entry
        .prices
        .at(day.parse().unwrap())
        .cost(&usage)
        .to_string()
}

#[test]
fn prices_change_on_a_day() {
    let yaml = "
models:
  - provider: openai
    model: gpt-4o
    price_changes:
      - { valid_from: 2027-01-01, input_per_million: 1, output_per_million: 4, batch_discount: 0.25 }
  - provider: openai
    model: new
    input_per_million: 8
    output_per_million: 8
    price_changes:
      - { valid_from: 2027-03-01, input_per_million: 2, output_per_million: 2 }
      - { valid_from: 2027-02-01, input_per_million: 4, output_per_million: 4 }
";
    let catalog = load(&[], yaml);
    for (model, day, dollars) in [
        ("gpt-4o", "2026-12-31", "2.5"),
        ("gpt-4o", "2027-01-01", "1"),
        ("new", "2027-01-31", "8"),
        ("new", "2027-02-28", "4"),
        ("new", "2027-03-01", "2"),
    ] {
        assert_eq!(
            cost(&catalog, model, day, 1_000_000),
            dollars,
            "{model} {day}"
        );
    }
    let book = &catalog.model("gpt-4o")[0].prices;
    let discount = |day: &str| book.at(day.parse().unwrap()).batch_discount.unwrap();
    assert_eq!(discount("2026-12-31").to_string(), "0.5");
    assert_eq!(discount("2027-01-01").to_string(), "0.25");
}

#[test]
fn the_built_in_steps_match_the_published_prices() {
    let catalog = load(&[], "");
    let day = "2026-11-21";
    for (model, prompt, dollars) in [
        ("gpt-5.4", 272_000, "0.68"),
        ("gpt-5.4", 272_001, "1.360005"),
        ("gemini-2.5-pro", 200_000, "0.25"),
        ("gemini-2.5-pro", 200_001, "0.5000025"),
        ("claude-haiku-5-5", 100_001, "0.0500005"),
        // xAI's step begins with the prompt of just so many.
        ("grok-4.3", 199_999, "0.24999875"),
        ("grok-4.3", 200_000, "0.5"),
        ("MiniMax-M3", 512_001, "0.3072006"),
    ] {
        assert_eq!(
            cost(&catalog, model, day, prompt),
            dollars,
            "{model} {prompt}"
        );
    }
}

const NO_PRICE: &str = "
models:
  - { provider: openai, model: secret-1, context_window: 1000 }
  - { provider: zhipu, model: openai/secret-1 }
";

#[test]
fn a_model_without_a_price_is_not_offered() {
    let config = config(NO_PRICE);
    let catalog = &config.catalog;
    assert_eq!(catalog.model("secret-1"), Vec::<&ModelEntry>::new());
    for name in ["secret-1", "openai/secret-1", "chatgpt/secret-1"] {
        assert_eq!(
            catalog.require_model(name).unwrap_err().to_string(),
            format!(
                "model `{name}` has no price; add `input_per_million` and `output_per_million` to it \
                 under `models:` in longshore.yaml, or set `unknown_price: zero`"
            )
        );
    }
    assert_eq!(
        catalog.require_model("secret-2").unwrap_err().to_string(),
        "model `secret-2` is not in the catalog; add it under `models:` in longshore.yaml, with its prices"
    );
    assert_eq!(catalog.unpriced.len(), 2);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_model_without_a_price_can_count_as_free() {
    let config = config(&format!("{NO_PRICE}unknown_price: zero\n"));
    assert_eq!(cost(&config.catalog, "secret-1", "2026-11-21", 1_000), "0");
    assert!(config.catalog.unpriced.is_empty());
    assert_eq!(
        config.warnings,
        [
            "the model `secret-1` of `openai` has no price and counts as free (`unknown_price: zero`)",
            "the model `openai/secret-1` of `zhipu` has no price and counts as free (`unknown_price: zero`)",
        ]
    );
    // It takes no price from a model that has one.
    assert_eq!(
        cost(&config.catalog, "gpt-4o", "2026-11-21", 1_000_000),
        "2.5"
    );
}

#[test]
fn a_default_model_without_a_price_is_reported_as_unpriced() {
    let yaml = "providers: { vllm: { base_url: 'http://gpu:8000', default_model: m } }";
    let catalog = load(&[], yaml);
    let unpriced = &catalog.unpriced[0];
    assert_eq!(
        (unpriced.provider.as_str(), unpriced.model.as_str()),
        ("vllm", "m")
    );
}

#[test]
fn capabilities_default_to_those_of_the_tier() {
    let yaml = "
models:
  - { provider: openai, model: gpt-4o, capabilities: [review, tools] }
  - { provider: openai, model: a, tier: fast, input_per_million: 1, output_per_million: 1 }
  - { provider: openai, model: b, capabilities: [], input_per_million: 1, output_per_million: 1 }
";
    let catalog = load(&[], yaml);
    let of = |model: &str| catalog.model(model)[0].capabilities.clone();
    assert_eq!(of("gpt-4o"), [Capability::Review, Capability::Tools]);
    assert_eq!(of("a"), Tier::Fast.capabilities());
    assert_eq!(of("b"), []);
    // Seed tables: these two call no tools, those two do.
    for (model, tools) in [
        ("kimi-k2.6", false),
        ("glm-5", false),
        ("deepseek-v4-flash", true),
        ("MiniMax-M2.5", true),
    ] {
        assert_eq!(of(model).contains(&Capability::Tools), tools, "{model}");
    }
}

#[test]
fn reports_errors_in_prices_with_lines() {
    let yaml = "\
unknown_price: free
models:
  - provider: openai
    model: a
    capabilities: [code, juggling]
    input_per_million: 1
    output_per_million: 1
    batch_discount: 2
    steps:
      - input_per_million: 2
      - { above_tokens: 1k }
      - { above_tokens: 5 }
      - { above_tokens: 5 }
    price_changes:
      - valid_from: tomorrow
        input_per_million: 1
        output_per_million: 1
      - valid_from: 2027-01-01
      - { valid_from: 2027-01-02, input_per_million: 1, output_per_million: 1 }
      - { valid_from: 2027-01-02, input_per_million: 1, output_per_million: 1 }
  - provider: openai
    model: b
    steps: [{ above_tokens: 5 }]
";
    assert_eq!(
        problems(yaml),
        "\
longshore.yaml:1: `unknown_price` is `free`; expected one of refuse, zero
longshore.yaml:5: `models.capabilities` is `juggling`; expected one of code, analysis, planning, review, complex_reasoning, docs, simple_tasks, tools, json_schema, reasoning, vision, files, audio
longshore.yaml:8: `models.batch_discount` is `2`; expected the part that is taken off, from 0 to 1 with at most 9 decimals
longshore.yaml:10: `models.steps.above_tokens` is missing; expected a whole number from 0 to 1000000000
longshore.yaml:11: `models.steps.above_tokens` is `1k`; expected a whole number from 0 to 1000000000
longshore.yaml:13: `models.steps` has 5 twice
longshore.yaml:15: `models.price_changes.valid_from` is `tomorrow`; expected a date (UTC), such as 2026-12-01
longshore.yaml:18: `models.price_changes.input_per_million` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals
longshore.yaml:20: `models.price_changes` has 2027-01-02 twice
longshore.yaml:21: `models.input_per_million` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals"
    );
}

#[test]
fn model_files_override_the_catalog_and_models_override_them() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("prices.json"),
        include_str!("../litellm/price_file.json"),
    )
    .unwrap();
    std::fs::write(directory.path().join("more.yaml"), "models:\n  - { provider: openai, model: gpt-4o-mini, input_per_million: 7, output_per_million: 7 }\n").unwrap();
    let yaml = "
model_files: [prices.json, more.yaml]
providers: { novita: { base_url: 'http://novita/v1', default_model: m } }
models:
  - { provider: xai, model: grok-4.3, input_per_million: 9, output_per_million: 9 }
";
    let path = directory.path().join("longshore.yaml");
    let config = Config::from_yaml(&Environment::default(), &path, yaml).unwrap();
    let catalog = &config.catalog;
    for (model, dollars) in [
        ("moonshotai/kimi-k2.6", "0.8"),
        ("gpt-4o-mini", "7"),
        ("grok-4.3", "9"),
        ("gpt-4o", "2.5"),
    ] {
        assert_eq!(
            cost(catalog, model, "2026-11-21", 1_000_000),
            dollars,
            "{model}"
        );
    }
    // What the catalog says of a model's abilities stays; a new one has what the file supports.
    assert_eq!(catalog.model("gpt-4o-mini")[0].tier, Tier::Fast);
    let kimi = |model: &str| {
        catalog.model(model)[0]
            .capabilities
            .contains(&Capability::Tools)
    };
    assert!(!kimi("kimi-k2.6"));
    assert!(kimi("moonshotai/kimi-k2.6"));
    assert_eq!(config.warnings, Vec::<String>::new());

    let odd = r#"{"odd": {"mode": "chat", "litellm_provider": "openai",
        "input_cost_per_token": "dear", "output_cost_per_token": 0}}"#;
    std::fs::write(directory.path().join("prices.json"), odd).unwrap();
    let config = Config::from_yaml(&Environment::default(), &path, yaml).unwrap();
    let file = directory.path().join("prices.json");
    let warning = format!("{}: the model odd cannot be read", file.display());
    assert_eq!(config.warnings, [warning]);
}

#[test]
fn reports_errors_in_model_files_with_lines() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.json"), "[]").unwrap();
    std::fs::write(directory.path().join("bad.yaml"), "models:\n  - { provider: acme, model: m }\n  - { provider: openai, model: m, tier: best }\n").unwrap();
    let yaml = "model_files:\n  - nowhere.yaml\n  - bad.json\n  - bad.yaml\n";
    let path = directory.path().join("longshore.yaml");
    let problems = Config::from_yaml(&Environment::default(), &path, yaml)
        .unwrap_err()
        .to_string()
        .replace(&format!("{}/", directory.path().display()), "");
    let wrong: Vec<&str> = problems
        .lines()
        .map(|line| line.split("; expected").next().unwrap())
        .collect();
    assert_eq!(
        wrong,
        [
            "longshore.yaml:2: `model_files`: nowhere.yaml cannot be read: No such file or directory (os error 2)",
            "longshore.yaml:3: `model_files`: bad.json: expected a JSON object of models by name, as LiteLLM publishes it: invalid type: sequence, expected a map at line 1 column 0",
            "bad.yaml:2: `models.provider` is `acme`",
            "bad.yaml:3: `models.tier` is `best`",
        ]
    );
}

#[test]
fn warns_before_a_model_is_withdrawn() {
    let yaml = "\
providers:
  openai: { default_model: gpt-5-mini }
models:
  - { provider: openai, model: gpt-4o, withdrawn: 2027-03-01 }
";
    let catalog = load(&[("OPENAI_API_KEY", "x"), ("XAI_API_KEY", "x")], yaml);
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let entry = catalog.model("gpt-4o")[0];
    assert!(!entry.is_withdrawn(day("2027-02-28")) && entry.is_withdrawn(day("2027-03-01")));
    assert!(!catalog.model("gpt-4o-mini")[0].is_withdrawn(day("2100-01-01")));

    assert_eq!(catalog.farewells(day("2026-11-26")), Vec::<String>::new());
    for day in [day("2026-11-27"), day("2026-12-11"), day("2027-11-27")] {
        assert_eq!(
            catalog.farewells(day),
            [
                "`providers.openai.default_model`: `gpt-5-mini` is withdrawn from 2026-12-11 on, and no \
                 job that does not name it goes to it then; name another"
            ]
        );
    }
    // Of a platform that is off, nobody needs to know.
    assert_eq!(
        load(&[], yaml).farewells(day("2027-11-27")),
        Vec::<String>::new()
    );
    assert_eq!(
        problems("models:\n  - { provider: openai, model: gpt-4o, withdrawn: soon }\n"),
        "longshore.yaml:2: `models.withdrawn` is `soon`; expected a date (UTC), such as 2026-12-01"
    );
}

#[test]
fn warns_about_a_withdrawn_default_model() {
    let yaml = "
providers: { openai: { default_model: gpt-4o } }
models: [{ provider: openai, model: gpt-4o, withdrawn: 2020-01-01 }]
";
    let env = Environment::from_pairs([("OPENAI_API_KEY", "x")]);
    let config = Config::from_yaml(&env, Path::new("longshore.yaml"), yaml).unwrap();
    assert_eq!(config.warnings, config.catalog.farewells(today()));
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn capabilities_that_nobody_lists_are_unknown() {
    let yaml = "
models:
  - { provider: openai, model: new, input_per_million: 1, output_per_million: 1 }
  - { provider: openai, model: listed, capabilities: [code], input_per_million: 1, output_per_million: 1 }
";
    let catalog = load(&[], yaml);
    let untold = |name: &str| catalog.model(name)[0].untold;
    assert!(untold("new") && !untold("listed"));
    let mut shipped = catalog.models.iter().filter(|entry| entry.model != "new");
    assert!(shipped.all(|entry| !entry.untold));
}
