use std::collections::BTreeMap;
use std::path::Path;

use longshore_config::Config;
use longshore_policy::catalog::*;
use longshore_settings::Environment;

const PRICE_FILE: &str = include_str!("litellm/price_file.json");

fn config(yaml: &str) -> Config {
    let path = Path::new("longshore.yaml");
    Config::from_yaml(&Environment::default(), path, yaml).unwrap()
}

/// The catalog with some more providers of the file.
fn catalog() -> Catalog {
    let yaml = "
providers:
  novita: { base_url: 'http://novita/v1', default_model: m }
  dashscope: { base_url: 'http://dashscope/v1', default_model: m }
";
    config(yaml).catalog
}

#[test]
fn converts_published_prices_exactly() {
    let catalog = catalog();
    let import = PriceImport::read(PRICE_FILE, &catalog, &[]).unwrap();
    let yaml = import.to_yaml(&catalog).unwrap();
    assert_eq!(yaml, include_str!("litellm/price_file.yaml"));
    assert_eq!(import.other_kinds, 2, "the sample and an embedding");
    assert_eq!(import.other_providers, 0);
    assert_eq!(import.repeated, 1, "deepseek-v4-flash has two names");
    assert_eq!(import.rounded, 1, "novita's 8.000000000000001e-07");
    let why = "it has no price per token";
    assert_eq!(
        import.unread,
        [UnreadModel {
            name: "openai/container".to_owned(),
            why
        }]
    );
}

#[test]
fn written_prices_read_back_unchanged() {
    let before = catalog();
    let import = PriceImport::read(PRICE_FILE, &before, &[]).unwrap();
    let written = import.to_yaml(&before).unwrap();
    let providers = "
providers:
  novita: { base_url: 'http://novita/v1', default_model: m }
  dashscope: { base_url: 'http://dashscope/v1', default_model: m }
";
    let after = config(&format!("{written}{providers}")).catalog;
    let day = "2026-11-21".parse().unwrap();
    for part in import.parts {
        let entry = after.entry(&part.provider, &part.model).unwrap();
        assert_eq!(Some(entry.prices.at(day)), part.prices.first.as_ref());
        assert_eq!(Some(entry.context_window), part.context_window);
    }
}

#[test]
fn imports_only_requested_providers() {
    let catalog = catalog();
    let xai = catalog.platform("grok").unwrap().name.clone();
    let import = PriceImport::read(PRICE_FILE, &catalog, std::slice::from_ref(&xai)).unwrap();
    assert_eq!(import.by_platform(), BTreeMap::from([(&xai, 1)]));
    assert!(import.other_providers > 10);
    assert!(import.unread.is_empty());
}

#[test]
fn warns_about_odd_entries() {
    let entry = |fields: &str| {
        format!(
            r#"{{"mode":"chat","litellm_provider":"openai","output_cost_per_token":1e-6,{fields}}}"#
        )
    };
    let file = format!(
        r#"{{"a":7,"b":{},"c":{},"d":{},"e":{},"f":{}}}"#,
        entry(r#""input_cost_per_token":-1e-6"#),
        entry(r#""input_cost_per_token":"dear""#),
        entry(r#""input_cost_per_token":1"#),
        entry(
            r#""tiered_pricing":[{"range":[5,9],"input_cost_per_token":1e-6,"output_cost_per_token":1e-6}]"#
        ),
        entry(
            r#""input_cost_per_token":"2E-6","max_input_tokens":"8192","max_output_tokens":null"#
        ),
    );
    let import = PriceImport::read(&file, &Catalog::default(), &[]).unwrap();
    assert_eq!((import.parts.len(), import.other_providers), (0, 5));

    let import = PriceImport::read(&file, &catalog(), &[]).unwrap();
    let unread: Vec<String> = import
        .unread
        .iter()
        .map(|unread| format!("{}: {}", unread.name, unread.why))
        .collect();
    assert_eq!(
        unread,
        [
            "a: it is no JSON object",
            "b: a price is no number, or out of bounds",
            "c: a price is no number, or out of bounds",
            "d: a price is no number, or out of bounds",
            "e: its tiered prices are of another form",
        ]
    );
    let part = &import.parts[0];
    assert_eq!(
        (part.model.as_str(), part.context_window),
        ("f", Some(8_192))
    );
    assert_eq!(part.max_output_tokens, None);
    assert_eq!(
        part.prices.first.as_ref().unwrap().rates.input.to_string(),
        "2"
    );
}

#[test]
fn refuses_another_format() {
    let error = PriceImport::read("models: []", &catalog(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("expected a JSON object of models by name"),
        "{error}"
    );
}
