//! The presets in `deploy/examples/presets/` are valid.

use std::{fs, path::Path};

use longshore_settings::Environment;

use super::Config;

/// The providers that the preset enables, each with its default model.
fn on(preset: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/examples/presets")
        .join(preset);
    let text = fs::read_to_string(&path).unwrap();
    let keys = [
        "ANTHROPIC",
        "DEEPSEEK",
        "GOOGLE",
        "MINIMAX",
        "MOONSHOT",
        "OPENAI",
        "OPENROUTER",
        "XAI",
        "ZHIPU",
    ];
    let env = Environment::from_pairs(keys.map(|key| (format!("{key}_API_KEY"), "k")));
    let config = Config::from_yaml(&env, &path, &text).unwrap();
    // Every preset can be pushed.
    config.to_push(&env, &path, &text).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let catalog = &config.catalog;
    for provider in catalog.enabled() {
        // OpenRouter's models are not listed.
        let unlisted = catalog.models_of(&provider.name).next().is_none();
        let listed = catalog.entry(&provider.name, &provider.default_model);
        assert!(unlisted || listed.is_some(), "{preset}: {provider:?}");
    }
    catalog
        .enabled()
        .map(|provider| format!("{}/{}", provider.name, provider.default_model))
        .collect()
}

#[test]
fn each_enables_its_providers() {
    assert_eq!(on("max-quality.yaml"), ["anthropic/claude-opus-5-5"]);
    assert_eq!(
        on("balanced.yaml"),
        [
            "anthropic/claude-sonnet-5-5",
            "gemini/gemini-2.5-flash",
            "moonshot/kimi-k2.6"
        ]
    );
    for (preset, first) in [
        ("save-money.yaml", "deepseek/deepseek-v4-flash"),
        ("testing.yaml", "anthropic/claude-sonnet-5-5"),
    ] {
        let on = on(preset);
        assert_eq!(on.len(), 9, "{preset}: all external models: {on:?}");
        assert!(on.iter().any(|name| name == first), "{preset}: {on:?}");
    }
}

#[test]
fn every_preset_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/presets");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 4);
}
