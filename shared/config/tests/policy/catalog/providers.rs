//! What a provider may say of itself.

use super::*;

fn mine(fields: &str) -> ProviderEntry {
    let yaml = format!(
        "providers:\n  mine:\n    base_url: http://gpu:8000/v1\n    default_model: m\n{fields}"
    );
    load(&[], &yaml).platform("mine").unwrap().clone()
}

#[test]
fn reads_billing_location_and_delay_of_a_provider() {
    let provider = mine("");
    assert_eq!(provider.billing, Billing::Paid);
    assert!(!provider.local);
    assert_eq!((provider.timeout, provider.pace), (None, None));
    assert_eq!(provider.account, provider.name);

    let provider = mine(
        "    billing: subscription\n    local: true\n    timeout: 90s\n    account: chatgpt\n",
    );
    assert_eq!(provider.billing, Billing::Subscription);
    assert!(provider.local);
    assert_eq!(provider.timeout, Some(Duration::from_secs(90)));
    assert_eq!(provider.account.as_str(), "openai", "by any of its names");
    let shared = mine("    account: Team.A\n");
    assert_eq!(shared.account.as_str(), "team.a");
}

#[test]
fn reads_both_forms_of_a_random_delay() {
    let between = |min, max| {
        Some(CallDelay {
            min: Duration::from_millis(min),
            max: Duration::from_millis(max),
        })
    };
    for (fields, pace) in [
        (
            "    rate_limit_delay: {min: 500ms, max: 2}\n",
            between(500, 2_000),
        ),
        ("    rate_limit_delay: {max: 5s}\n", between(1_000, 5_000)),
        ("    rate_limit_delay: true\n", between(1_000, 10_000)),
        (
            "    rate_limit_delay: true\n    min_delay: 1.5\n    max_delay: 3.0\n",
            between(1_500, 3_000),
        ),
        ("    rate_limit_delay: false\n    max_delay: 3.0\n", None),
    ] {
        assert_eq!(mine(fields).pace, pace, "{fields}");
    }
}

#[test]
fn five_lines_define_a_provider_with_a_price() {
    let yaml = "
providers:
  groq:
    base_url: https://api.groq.com/openai/v1
    api_key: ${GROQ_API_KEY}
    default_model: llama-3.3-70b-versatile
    price: {input: \"0.59\", output: \"0.79\"}
";
    let catalog = load(&[("GROQ_API_KEY", "gsk")], yaml);
    let provider = catalog.platform("groq").unwrap();
    assert!(provider.is_on());
    assert_eq!(provider.dialect, DialectName::OpenAi);
    let entry = catalog
        .entry(&provider.name, &provider.default_model)
        .unwrap();
    assert_eq!(prices(entry).nominal().to_string(), "0.000985");
    assert_eq!(entry.tier, Tier::Standard);
    assert_eq!(entry.capabilities, Tier::Standard.capabilities());
    // Nothing is said of the window: no answer is longer than the one that is taken for it.
    assert_eq!(entry.context_window, 131_072);
    assert_eq!(entry.max_output_tokens, 131_072);

    let more = format!(
        "{yaml}models:\n  - {{ provider: groq, model: llama-3.3-70b-versatile, context_window: 4096 }}\n"
    );
    let catalog = load(&[], &more);
    let entry = catalog.model("llama-3.3-70b-versatile")[0];
    assert_eq!(entry.context_window, 4_096);
    assert_eq!(prices(entry).nominal().to_string(), "0.000985");
}

#[test]
fn the_models_of_a_free_provider_cost_nothing() {
    let yaml = |billing: &str| {
        format!(
            "providers:\n  mine: {{ dialect: openai, base_url: http://localhost:1, default_model: m, billing: {billing} }}\n\
             models:\n  - {{ provider: mine, model: m, input_per_million: \"1\", output_per_million: \"2\" }}\n"
        )
    };
    for (billing, expected) in [("paid", "0.003"), ("subscription", "0.003"), ("free", "0")] {
        let catalog = load(&[], &yaml(billing));
        let entry = catalog.model("m")[0];
        let cost = prices(entry).upper_bound(PromptBound::of_text(1_000), 1_000);
        assert_eq!(cost.to_string(), expected, "{billing}");
    }
}

#[test]
fn a_reported_cost_counts_where_it_is_configured() {
    let reported: longshore_protocol::money::Usd = "0.25".parse().unwrap();
    for (fields, expected) in [
        ("", None),
        ("cost_from: prices", None),
        ("cost_from: provider", Some(reported)),
        ("cost_from: provider, billing: free", None),
    ] {
        let yaml = format!("providers: {{ openrouter: {{ {fields} }} }}");
        let catalog = load(&[], &yaml);
        let provider = catalog.platform("openrouter").unwrap();
        assert_eq!(provider.reported_cost(Some(reported)), expected, "{fields}");
        assert_eq!(provider.reported_cost(None), None, "{fields}");
    }
}

#[test]
fn ollama_is_built_in_but_disabled() {
    let catalog = load(&[], "");
    let ollama = catalog.platform("ollama").unwrap();
    let off = "on only if `providers.ollama.enabled` is true in longshore.yaml";
    assert_eq!(ollama.enabled, Enabled::Off(off.to_owned()));
    assert_eq!(ollama.billing, Billing::Free);
    assert!(ollama.local);
    let entry = catalog.entry(&ollama.name, &ollama.default_model).unwrap();
    assert_eq!(
        prices(entry).upper_bound(PromptBound::of_text(1_000), 1_000),
        longshore_protocol::money::Usd::ZERO
    );

    let on = load(&[], "providers: { ollama: { enabled: true } }");
    assert!(on.platform("ollama").unwrap().is_on());
    let off = load(&[], "providers:\n  ollama:\n    enabled: false\n");
    let reason = Enabled::Off("turned off in longshore.yaml:3".to_owned());
    assert_eq!(off.platform("ollama").unwrap().enabled, reason);
}

#[test]
fn reports_errors_in_providers_with_lines() {
    let yaml = "\
providers:
  mine:
    base_url: http://gpu:8000/v1
    default_model: m
    billing: cheap
    local: maybe
    timeout: 2w
    rate_limit_delay: {min: 9s, max: 3s}
    account: not/ok
    price: {input: \"1\"}
  other:
    base_url: http://gpu:8000/v1
    price: {input: \"1\", output: \"1\"}
";
    assert_eq!(
        problems(yaml),
        "\
longshore.yaml:2: `providers.mine.rate_limit_delay` is from 9s to 3s; expected the shorter time first
longshore.yaml:5: `providers.mine.billing` is `cheap`; expected one of free, subscription, paid
longshore.yaml:6: `providers.mine.local` is `maybe`; expected true or false
longshore.yaml:7: `providers.mine.timeout` is `2w`; expected a time from 100ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:9: `providers.mine.account` is `not/ok`; expected the name of an account: 1 to 64 characters of [a-z0-9._-]
longshore.yaml:10: `providers.mine.price.output` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals
longshore.yaml:11: `providers.other.default_model` is missing; expected the model whose `price` this is"
    );
}

#[test]
fn the_example_is_valid() {
    let yaml = include_str!("../../../../../deploy/examples/longshore.yaml");
    let catalog = load(&[("GROQ_API_KEY", "gsk"), ("GOOGLE_API_KEY", "g")], yaml);
    let on: Vec<&str> = catalog
        .enabled()
        .map(|provider| provider.name.as_str())
        .collect();
    assert_eq!(on, ["gemini", "ollama", "groq", "vllm"]);
    assert_eq!(catalog.unpriced, []);
    for provider in catalog.enabled() {
        let entry = catalog.entry(&provider.name, &provider.default_model);
        let cost = prices(entry.unwrap()).nominal();
        let is_free = cost == longshore_protocol::money::Usd::ZERO;
        assert_eq!(
            is_free,
            provider.billing == Billing::Free,
            "{}",
            provider.name
        );
    }
    let batch = catalog.platform("gemini-batch").unwrap();
    assert_eq!(batch.account.as_str(), "gemini");
}

/// The `providers.yaml` of an orchestrator that keeps the options of providers in `settings`.
const WITH_SETTINGS: &str = include_str!("providers_with_settings.yaml");

#[test]
fn options_in_settings_are_refused_with_their_translation() {
    insta::assert_snapshot!(problems(WITH_SETTINGS), @r"
    longshore.yaml:7: `providers.claude.settings.api_key` is not a setting; write it without `settings`, as `providers.claude.api_key`
    longshore.yaml:14: `providers.gemini.settings.cli_path` is not a setting; a program is a provider of its own, here `gemini-cli`: write `gemini-cli: {enabled: true}`, with a `command` of other programs or paths, which `cli_tools` must allow
    longshore.yaml:18: `providers.gemini.settings.rate_limit_delay` is not a setting; write it without `settings`, as `providers.gemini-cli.rate_limit_delay`
    longshore.yaml:19: `providers.gemini.settings.min_delay` is not a setting; write it without `settings`, as `providers.gemini-cli.min_delay`
    longshore.yaml:20: `providers.gemini.settings.max_delay` is not a setting; write it without `settings`, as `providers.gemini-cli.max_delay`
    longshore.yaml:27: `providers.ollama.settings.endpoint` is not a setting; its name is `base_url`: `providers.ollama.base_url`
    ");
    let others = "providers:\n  mine:\n    base_url: http://gpu:8000/v1\n    default_model: m\n    settings:\n      temperature: 0.5\n      max_concurrent: 4\n      model: m\n      max_retries: 3\n      headers: {a: b}\n";
    insta::assert_snapshot!(problems(others), @r"
    longshore.yaml:6: `providers.mine.settings.temperature` is not a setting; a provider has no `temperature`, because jobs set it in their field `temperature`
    longshore.yaml:7: `providers.mine.settings.max_concurrent` is not a setting; it is a limit: `providers.mine.limits.max_concurrent`
    longshore.yaml:8: `providers.mine.settings.model` is not a setting; its name is `default_model`: `providers.mine.default_model`
    longshore.yaml:9: `providers.mine.settings.max_retries` is not a setting; it applies to all providers: `retry.max_retries`
    longshore.yaml:10: `providers.mine.settings.headers` is not a setting; a provider has nothing of this meaning; remove it
    ");
}

#[test]
fn the_translation_of_options_in_settings_is_accepted() {
    let key = ("ANTHROPIC_API_KEY", "k");
    let catalog = load(
        &[key],
        "
providers:
  claude:
    enabled: true
    default_model: claude-sonnet-4-5-20250929
    api_key: ${ANTHROPIC_API_KEY}
  gemini-cli:
    enabled: true
    default_model: gemini-2.5-flash
    rate_limit_delay: true
    min_delay: 1.0
    max_delay: 10.0
  ollama:
    enabled: false
    default_model: llama3:70b
    base_url: http://localhost:11434
routing:
  prefer_local: false
  max_cost_per_task: 1.0
  fallback_provider: claude
",
    );
    let program = catalog.platform("gemini-cli").unwrap();
    assert_eq!(program.enabled, Enabled::On);
    assert_eq!(program.pace.unwrap().max, Duration::from_secs(10));
    let ollama = catalog.platform("ollama").unwrap();
    assert_eq!(ollama.base_url.as_str(), "http://localhost:11434/");
    assert_eq!(catalog.platform("claude").unwrap().enabled, Enabled::On);
}
