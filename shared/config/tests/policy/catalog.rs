use std::path::Path;
use std::time::Duration;

use chrono::NaiveDate;
use longshore_config::Config;
use longshore_policy::catalog::*;
use longshore_protocol::platform::{Capability, Tier};
use longshore_settings::Environment;
use secrecy::ExposeSecret;

fn load(pairs: &[(&str, &str)], yaml: &str) -> Catalog {
    let env = Environment::from_pairs(pairs.iter().copied());
    Config::from_yaml(&env, Path::new("longshore.yaml"), yaml)
        .unwrap()
        .catalog
}

fn problems(yaml: &str) -> String {
    Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), yaml)
        .unwrap_err()
        .to_string()
}

fn today() -> NaiveDate {
    "2026-11-21".parse().unwrap()
}

fn prices(entry: &ModelEntry) -> &Prices {
    entry.prices.at(today())
}

const LOCAL: &str = "
providers:
  vllm:
    base_url: http://gpu:8000/v1
    limits: { max_concurrent: 64 }
models:
  - provider: vllm
    model: qwen
    context_window: 32768
    max_output_tokens: 4096
    input_per_million: 0
    output_per_million: 0.000000001
";

#[test]
fn the_built_in_catalog_is_valid() {
    let catalog = load(&[], "");
    for name in ["openai", "anthropic", "gemini", "deepseek"] {
        let provider = catalog.require_platform(name).unwrap();
        assert!(!provider.is_on(), "{name}");
    }
    for provider in &catalog.providers {
        let models: Vec<_> = catalog.models_of(&provider.name).collect();
        let listed = models
            .iter()
            .any(|entry| entry.model == provider.default_model);
        assert!(models.is_empty() || listed, "{provider:?}");
    }
    for entry in &catalog.models {
        assert!(
            u64::from(entry.max_output_tokens) <= entry.context_window,
            "{entry:?}"
        );
    }
}

#[test]
fn a_key_enables_its_provider() {
    let catalog = load(
        &[("OPENAI_API_KEY", " sk-1\n"), ("ANTHROPIC_API_KEY", "")],
        "",
    );
    let on: Vec<&str> = catalog
        .enabled()
        .map(|provider| provider.name.as_str())
        .collect();
    assert_eq!(on, ["openai"]);
    let openai = catalog.platform("openai").unwrap();
    assert_eq!(openai.key.as_ref().unwrap().expose_secret(), "sk-1");
    assert_eq!(openai.key_variable.as_deref(), Some("OPENAI_API_KEY"));
    let reason = Enabled::Off("ANTHROPIC_API_KEY is not set".to_owned());
    assert_eq!(catalog.platform("anthropic").unwrap().enabled, reason);
}

#[test]
fn a_key_may_have_the_name_that_the_provider_gives_it() {
    let catalog = load(&[("GEMINI_API_KEY", "g"), ("GROK_API_KEY", "x")], "");
    for (name, variable) in [("gemini", "GEMINI_API_KEY"), ("xai", "GROK_API_KEY")] {
        let provider = catalog.platform(name).unwrap();
        assert!(provider.is_on(), "{name}");
        assert_eq!(provider.key_variable.as_deref(), Some(variable));
    }
    let both = [("GEMINI_API_KEY", "other"), ("GOOGLE_API_KEY", "ours")];
    let catalog = load(&both, "");
    let gemini = catalog.platform("gemini").unwrap();
    assert_eq!(gemini.key.as_ref().unwrap().expose_secret(), "ours");
}

#[test]
fn platforms_have_aliases() {
    let catalog = load(&[], "");
    for (alias, name) in [
        ("Claude", "anthropic"),
        ("claude_code", "anthropic"),
        ("chatgpt", "openai"),
        ("google", "gemini"),
        ("GEMINI", "gemini"),
    ] {
        assert_eq!(catalog.platform(alias).unwrap().name.as_str(), name);
    }
    let error = catalog.require_platform("acme").unwrap_err().to_string();
    assert!(
        error.starts_with(
            "platform `acme` is not known; expected one of openai, anthropic, gemini, deepseek"
        ),
        "{error}"
    );
}

#[test]
fn defines_a_provider_in_a_few_lines() {
    let catalog = load(&[], LOCAL);
    let provider = catalog.platform("vllm").unwrap();
    assert_eq!(provider.dialect, DialectName::OpenAi);
    assert_eq!(provider.base_url.as_str(), "http://gpu:8000/v1");
    assert_eq!(provider.default_model, "qwen");
    assert_eq!(provider.limits.max_concurrent, Some(64));
    assert!(provider.is_on());
    assert!(provider.key.is_none());
    let entry = catalog.entry(&provider.name, "qwen").unwrap();
    assert_eq!(entry.tier, Tier::Standard);
    assert_eq!(
        prices(entry)
            .upper_bound(PromptBound::of_text(5), 1_000)
            .to_string(),
        "0.000000000001"
    );
}

#[test]
fn entries_change_built_in_ones_of_the_same_name() {
    let yaml = "
providers:
  google:
    enabled: false
  openai:
    base_url: https://gateway.internal/v1
    api_key: ${GATEWAY_KEY}
models:
  - { provider: chatgpt, model: gpt-4o-mini, tier: standard }
  - { provider: openai, model: gpt-4o, input_per_million: 2, output_per_million: 8 }
";
    let before = load(&[], "");
    let catalog = load(&[("GATEWAY_KEY", "g"), ("GOOGLE_API_KEY", "x")], yaml);
    assert_eq!(catalog.providers.len(), before.providers.len());
    assert_eq!(catalog.models.len(), before.models.len());
    let off = Enabled::Off("turned off in longshore.yaml:4".to_owned());
    assert_eq!(catalog.platform("gemini").unwrap().enabled, off);
    let openai = catalog.platform("openai").unwrap();
    assert_eq!(openai.base_url.as_str(), "https://gateway.internal/v1");
    assert_eq!(openai.key_variable.as_deref(), Some("GATEWAY_KEY"));
    assert_eq!(
        openai.default_model,
        before.platform("openai").unwrap().default_model
    );

    let mini = catalog.entry(&openai.name, "gpt-4o-mini").unwrap();
    let mini_before = before.entry(&openai.name, "gpt-4o-mini").unwrap();
    assert_eq!(mini.tier, Tier::Standard);
    assert_eq!(mini.prices, mini_before.prices);
    // New prices leave none of the old.
    let rates = &prices(catalog.entry(&openai.name, "gpt-4o").unwrap()).rates;
    assert_eq!(rates.input.to_string(), "2");
    assert_eq!(rates.cached, None);
}

#[test]
fn several_providers_can_serve_a_model() {
    let yaml = format!(
        "{LOCAL}  - {{ provider: openrouter, model: qwen, context_window: 1, max_output_tokens: 1, \
         input_per_million: 1, output_per_million: 1 }}\n  - {{ provider: openrouter, model: vllm/qwen, \
         context_window: 1, max_output_tokens: 1, input_per_million: 2, output_per_million: 1 }}\n"
    );
    let catalog = load(&[], &yaml);
    let at = |name: &str| -> Vec<String> {
        let entries = catalog.model(name);
        entries
            .iter()
            .map(|entry| format!("{} {}", entry.provider, entry.model))
            .collect()
    };
    assert_eq!(at("qwen"), ["vllm qwen", "openrouter qwen"]);
    assert_eq!(at("vllm/qwen"), ["vllm qwen", "openrouter vllm/qwen"]);
    assert_eq!(at("openrouter/vllm/qwen"), ["openrouter vllm/qwen"]);
    assert_eq!(at("acme/qwen"), Vec::<String>::new());

    let mut models: Vec<&ModelEntry> = catalog.model("vllm/qwen");
    models.extend(catalog.model("openrouter/qwen"));
    models.reverse();
    cheapest(&mut models, today());
    let order: Vec<String> = models
        .iter()
        .map(|entry| prices(entry).rates.input.to_string())
        .collect();
    assert_eq!(order, ["0", "1", "2"]);
}

#[test]
fn a_simulator_replaces_every_provider_and_receives_no_key() {
    let yaml = "
simulator_url: http://127.0.0.1:9999/sim/
providers:
  anthropic: { enabled: false }
  claude-cli: { enabled: true }
  vllm: { base_url: 'http://gpu:8000', default_model: m }
";
    let catalog = load(&[("OPENAI_API_KEY", "real")], yaml);
    let off: Vec<&str> = catalog
        .providers
        .iter()
        .filter(|provider| !provider.is_on())
        .map(|provider| provider.name.as_str())
        .collect();
    // What is off by itself is nobody's to simulate.
    assert_eq!(off, ["ollama", "codex-cli", "gemini-cli"]);
    for provider in &catalog.providers {
        assert_ne!(provider.dialect, DialectName::Cli);
        assert!(provider.command.is_empty() && provider.env.is_empty());
        assert_eq!(provider.key.as_ref().unwrap().expose_secret(), "simulated");
    }
    for (name, url) in [
        ("openai", "http://127.0.0.1:9999/sim/openai/v1"),
        ("vllm", "http://127.0.0.1:9999/sim/openai/v1"),
        ("claude-cli", "http://127.0.0.1:9999/sim/openai/v1"),
        ("anthropic", "http://127.0.0.1:9999/sim/anthropic"),
        ("gemini", "http://127.0.0.1:9999/sim/gemini"),
    ] {
        assert_eq!(catalog.platform(name).unwrap().base_url.as_str(), url);
    }
}

#[test]
fn a_program_is_disabled_and_sees_few_variables() {
    let yaml = "
cli_tools: [claude, /opt/bin/ask]
providers:
  claude-cli: { enabled: true }
  ask:
    dialect: cli
    command: [/opt/bin/ask, '--prompt={prompt}', '-']
    env: [ASK_TOKEN]
    default_model: any
    enabled: yes
";
    let variables = [
        ("PATH", "/bin"),
        ("HOME", "/home/me"),
        ("SECRET", "s"),
        ("ASK_TOKEN", "t"),
    ];
    let catalog = load(&variables, yaml);
    let on: Vec<&str> = catalog.enabled().map(|on| on.name.as_str()).collect();
    assert_eq!(on, ["claude-cli", "ask"]);
    let ask = catalog.platform("ask").unwrap();
    assert_eq!(ask.command, ["/opt/bin/ask", "--prompt={prompt}", "-"]);
    let env: Vec<(&str, &str)> = ask
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    let seen = [
        ("PATH", "/bin"),
        ("HOME", "/home/me"),
        ("TERM", "dumb"),
        ("ASK_TOKEN", "t"),
    ];
    assert_eq!(env, seen);
    for yaml in ["", "providers: { codex-cli: { default_model: m } }"] {
        let reason = "on only if `providers.codex-cli.enabled` is true in longshore.yaml";
        let off = Enabled::Off(reason.to_owned());
        assert_eq!(load(&[], yaml).platform("codex-cli").unwrap().enabled, off);
    }
    let silent = yaml.replace("    enabled: yes\n", "");
    let reason = "on only if `providers.ask.enabled` is true in longshore.yaml";
    let off = Enabled::Off(reason.to_owned());
    assert_eq!(
        load(&variables, &silent).platform("ask").unwrap().enabled,
        off
    );
    let catalog = load(&variables[..3], yaml);
    let off = Enabled::Off("ASK_TOKEN is not set".to_owned());
    assert_eq!(catalog.platform("ask").unwrap().enabled, off);
}

#[test]
fn runs_only_allowed_programs() {
    let yaml = "\
cli_tools: [claude, ./mine]
providers:
  bash: { dialect: cli, command: [bash, -c, x], default_model: m }
  codex-cli: {}
  empty: { dialect: cli, default_model: m }
  openai: { command: [claude], env: [X] }
  claude-cli:
    api_key: x
    base_url: http://x
    env: ['A=b']
";
    assert_eq!(
        problems(yaml),
        "\
longshore.yaml:1: `cli_tools` is `./mine`; expected programs: names that are found on PATH, or absolute paths
longshore.yaml:3: `providers.bash.command`: `cli_tools` does not allow `bash`; expected one of claude
longshore.yaml:4: `providers.codex-cli.command`: `cli_tools` does not allow `codex`; expected one of claude
longshore.yaml:5: `providers.empty.command` is missing; expected a program and its arguments, such as [claude, -p]
longshore.yaml:6: `providers.openai.command` is only for `dialect: cli`
longshore.yaml:6: `providers.openai.env` is only for `dialect: cli`
longshore.yaml:8: `providers.claude-cli.api_key` has no use here: name the key's variable in `env`
longshore.yaml:9: `providers.claude-cli.base_url` has no use here: a command-line tool has no address
longshore.yaml:10: `providers.claude-cli.env` is `A=b`; expected names of variables, such as CODEX_API_KEY"
    );
}

#[test]
fn reports_errors_with_lines() {
    let yaml = "\
providers:
  mine:
    dialect: grpc
    base_url: gpu:8000
  bare:
  'not/ok': {}
  claude: {}
  anthropic: {}
  openai:
    enabled: perhaps
    limits: { max_concurrent: 0 }
models:
  - model: m
  - { provider: acme, model: m }
  - provider: openai
    model: new
    tier: cheap
    context_window: 5
    max_output_tokens: 5
    input_per_million: -1
  - { provider: openai, model: gpt-4o, tier: fast }
  - { provider: openai, model: gpt-4o, tier: fast }
";
    let names = "openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli, mine, bare";
    assert_eq!(
        problems(yaml),
        format!(
            "\
longshore.yaml:2: `providers.mine.default_model` is missing; expected the name of a model, or an entry in `models`
longshore.yaml:3: `providers.mine.dialect` is `grpc`; expected one of openai, anthropic, gemini, ollama, cli
longshore.yaml:4: `providers.mine.base_url` is not valid; expected an http:// or https:// address with a host, without a login or a query
longshore.yaml:5: `providers.bare.base_url` is missing; expected an address, such as http://localhost:11434/v1
longshore.yaml:5: `providers.bare.default_model` is missing; expected the name of a model, or an entry in `models`
longshore.yaml:6: the provider's name `not/ok` is not valid; expected 1 to 64 characters of [a-z0-9._-]
longshore.yaml:8: the provider `anthropic` is named twice
longshore.yaml:10: `providers.openai.enabled` is `perhaps`; expected true or false
longshore.yaml:11: `providers.openai.limits.max_concurrent` is `0`; expected a whole number from 1 to 100000
longshore.yaml:13: a model needs both `provider` and `model`
longshore.yaml:14: `models.provider` is `acme`; expected one of {names}
longshore.yaml:15: `models.output_per_million` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals
longshore.yaml:17: `models.tier` is `cheap`; expected one of fast, standard, advanced
longshore.yaml:20: `models.input_per_million` is `-1`; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals
longshore.yaml:22: the model `gpt-4o` of `openai` is named twice"
        )
    );
}

mod pricing;
mod providers;
