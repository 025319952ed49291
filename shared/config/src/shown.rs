//! The configuration as people see it: every setting with its value and origin.

use longshore_settings::Origin;
use serde::Serialize;

pub(crate) use self::{
    catalog::{model_files, models, providers},
    policy::{
        budgets, cron, encryption_current, encryption_keys, gates, keywords, queue_limits,
        recipe_files, recipes, replay_rules, retries, rules, tenants, tiers, tools, workspaces,
    },
};
mod catalog;
mod policy;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its path in the file.
    pub name: String,
    /// Its value, without keys and passwords.
    pub value: String,
    /// Where it is set; `None` if it has its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use longshore_settings::Environment;

    use crate::Config;
    use crate::tests::{Directory, EVERYTHING, KEY};

    fn load(yaml: &str) -> Config {
        let env = Environment::from_pairs([
            ("REDIS_PASSWORD", "hunter2"),
            ("OPENAI_API_KEY", "hunter2"),
            ("LONGSHORE_GRACE", "9s"),
        ]);
        Config::from_yaml(&env, "longshore.yaml".as_ref(), yaml).unwrap()
    }

    #[test]
    fn shows_every_setting_that_is_set() {
        let directory = Directory::new("shown");
        directory.write("more.yaml", "models: [{ provider: xai, model: grok-0 }]\n");
        directory.write("mine.yaml", "recipes: {}\n");
        let yaml = EVERYTHING
            .replace(
                "providers:\n",
                "providers:
  openai: { account: team, limits: { usd_per_month: '9', time_zone: Asia/Tokyo } }
  gpu:
    base_url: http://gpu:8000/v1
    default_model: m
    price: { input: 1, output: 2 }
    billing: free
    local: true
    timeout: 90s
    rate_limit_delay: { min: 1s, max: 2s }
  ask: { dialect: cli, command: [/opt/bin/ask, -q], env: [ASK], default_model: m }
",
            )
            .replace(
                "models: []\n",
                "models:
  - provider: openai
    model: gpt-4o
    tier: fast
    withdrawn: 2030-01-01
    price_changes: [{ valid_from: 2027-01-01, input_per_million: 1, output_per_million: 2 }]
",
            )
            .replace("model_files: []", "model_files: [more.yaml]")
            .replace(
                "recipe_files: []",
                "recipe_files: [mine.yaml]\nrecipes: { ask: { description: Asks., steps: [{ name: a, prompt: x }] } }",
            )
            .replace("simulator_url: http://127.0.0.1:9999\n", "");
        let path = directory.path().join("longshore.yaml");
        let env = Environment::from_pairs([("REDIS_PASSWORD", "x"), ("ASK", "x"), ("KEY", KEY)]);
        let config = Config::from_yaml(&env, &path, &yaml).unwrap();
        let shown = config.shown();
        let names: BTreeSet<&str> = shown.iter().map(|line| line.name.as_str()).collect();
        let absent = config.origins.keys();
        let absent: Vec<&String> = absent
            .filter(|name| !names.contains(name.as_str()))
            .collect();
        assert_eq!(absent, Vec::<&String>::new());
        let top = |name: &str| name.split('.').next().unwrap().to_owned();
        let set: BTreeSet<String> = config.origins.keys().map(|name| top(name)).collect();
        let names = names.iter().map(|name| top(name));
        let unset: BTreeSet<String> = names.filter(|name| !set.contains(name)).collect();
        assert_eq!(unset, BTreeSet::from(["simulator_url".to_owned()]));

        // Entries, each a line.
        let lines: Vec<String> = shown
            .iter()
            .filter(|line| line.origin.is_some() && line.name.contains('.'))
            .filter(|line| !line.name.starts_with("ret") && !line.name.starts_with('l'))
            .map(|line| format!("{}: {}", line.name, line.value))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        redis.username: worker
        database.password_file: /run/secrets/postgres
        routing.default_rules: false
        routing.prefer_local: true
        routing.max_cost_per_task: 0.5
        routing.fallback_provider: openai
        routing.estimate_threshold: 500
        routing.rules.plans: type planning, risk high, platform anthropic, tier advanced
        routing.keywords.poems: words sonnet, platforms anthropic
        routing.tiers.trivial: fast
        providers.openai: off (OPENAI_API_KEY is not set), openai at https://api.openai.com/v1, default_model gpt-4o-mini, key from OPENAI_API_KEY, account team, usd_per_month 9, time_zone Asia/Tokyo
        providers.gpu: on, openai at http://gpu:8000/v1, default_model m, no key, free, local, timeout 90s, rate_limit_delay 1s to 2s
        providers.ask: off (on only if `providers.ask.enabled` is true in longshore.yaml), cli: /opt/bin/ask -q, default_model m, env ASK
        models.openai/gpt-4o: fast, context 128000, answer 16384, $2.5 in, $10 out, $1.25 cached; batch_discount 0.5 (per million), from 2027-01-01 on $1 in, $2 out (per million), for code analysis planning review docs simple_tasks tools json_schema vision files, withdrawn from 2030-01-01 on
        models.xai/grok-0: standard, context 131072, answer 131072, $0 in, $0 out (per million), for code analysis planning review docs simple_tasks
        models.gpu/m: standard, context 131072, answer 131072, $0 in, $0 out (per million), for code analysis planning review docs simple_tasks
        budgets.all: overall, $100 per month, hard, at_limit wait, time_zone Europe/Berlin, reset_at 06:30
        budgets.each: each tenant, $5 per hour, soft
        tenants.acme.weight: 3
        queue_limits.bulk: max_concurrent 20, requests_per_minute 600
        alerts.at: 60, 95
        alerts.webhook: hooks.example.com
        webhooks.hosts: hooks.example.com
        webhooks.secret: set
        webhooks.timeout: 5s
        circuit.error_percent: 40
        circuit.min_calls: 20
        circuit.window: 20s
        circuit.cooldown: 10s
        circuit.max_cooldown: 2m
        encryption.keys.k1: set
        encryption.current: k1
        cron.hourly: @hourly (Asia/Tokyo), missed once, queue default, job {"prompt":"Hello"}
        recipes.ask: Asks.
        gates.rust: cargo test, in /work, timeout 5m, max_output 2097152, max_memory 2147483648, warnings ^warning, env CI
        workspaces.app: /, max_file_bytes 65536, timeout 2m, max_output 1048576, run cargo test; cargo clippy, env CI
        tools.lookup: command /bin/sh --json, in /, timeout 5s, max_output 65536, env TOKEN
        tools.weather: GET https://weather.example/now, timeout 1m, max_output 1048576, headers authorization
        "#);
    }

    #[test]
    fn shows_values_with_origins_and_without_secrets() {
        let config = load(
            "retry: { jitter: 1s }\nproviders: { openai: { limits: { max_concurrent: 4 } } }\nredis_url: redis://:${REDIS_PASSWORD}@x\n",
        );
        let shown = config.shown();
        let line = |name: &str| {
            let line = shown.iter().find(|line| line.name == name).unwrap();
            let origin = line.origin.as_ref().map(ToString::to_string);
            (line.value.as_str(), origin.unwrap_or_default())
        };
        assert_eq!(line("redis_url"), ("x:6379", "longshore.yaml:3".to_owned()));
        assert_eq!(line("retry.jitter"), ("1s", "longshore.yaml:1".to_owned()));
        assert_eq!(line("grace"), ("9s", "LONGSHORE_GRACE".to_owned()));
        assert_eq!(line("concurrency"), ("1000", String::new()));
        assert_eq!(
            line("providers.openai"),
            (
                "on, openai at https://api.openai.com/v1, default_model gpt-4o-mini, key from OPENAI_API_KEY, max_concurrent 4",
                "longshore.yaml:2".to_owned()
            )
        );
        assert_eq!(
            line("providers.xai").0,
            "off (XAI_API_KEY is not set), openai at https://api.x.ai/v1, default_model grok-4.3, key from XAI_API_KEY"
        );
        assert!(!format!("{shown:?}").contains("hunter2"));
    }
}
