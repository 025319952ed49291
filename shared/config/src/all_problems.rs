//! One problem hides no other, and none is reported twice.

use std::path::Path;

use insta::assert_snapshot;
use longshore_settings::{Environment, FILE_NAME};

use super::Config;

fn problems(yaml: &str) -> String {
    let env = Environment::default();
    let error = Config::from_yaml(&env, Path::new(FILE_NAME), yaml).unwrap_err();
    error.to_string()
}

#[test]
fn all_kinds_of_problems_are_reported_at_once() {
    let yaml = "\
concurency: 0
queues: default
grace: 30s
listen: [a, b]
retry:
  max_retry: 1000
  base_delay: 5 parsecs
  jitter: { from: 1s }
grace: 60s
limits: 7
providers:
  openai:
    api_kye: x
    limits: { rpm: 5, max_concurrent: 0 }
  mine:
    base_url: gpu:8000
    default_model: [a]
  broken: yes
models:
  - provider: openai
    model: new
    input_per_million: \"1\"
    tier: cheap
  - gpt-4o
  - provder: openai
    model: other
    context_window: 128k
routing:
  rules:
    - name: both
      platform: opnai
      model: gpt-4o
    - { platform: [broken], tier: best }
  fallback_provider: broken
budgets:
  - { name: a, scope: provider, of: broken, limit_usd: free, per: day }
  - { nme: b, scope: overall, limit_usd: \"1\", per: week }
tenants: { acme: { wieght: many } }
dead_letters:
  replay:
    - { name: again, when: later, platform: broken }
cron:
  - name: nightly
    schedule: 0 3 * *
    timezone: Mars
    missed: never
    job: { prompt: one, prompt: two, timeout: soon, temperature: hot }
  - job: hello
circuit: { cooldown: 2x, max_cooldown: 10s }
colour: blue
";
    assert_snapshot!(problems(yaml), @r#"
    longshore.yaml:1: `concurency` is not a setting; did you mean `concurrency`?
    longshore.yaml:1: `concurrency` is `0`; expected a whole number from 1 to 100000
    longshore.yaml:2: `queues` is a single value; expected a list: [one, another], or lines `- one` under it, indented
    longshore.yaml:4: `listen` is a list; expected a single value
    longshore.yaml:6: `retry.max_retry` is not a setting; did you mean `max_retries`?
    longshore.yaml:6: `retry.max_retries` is `1000`; expected a whole number from 0 to 100
    longshore.yaml:7: `retry.base_delay` is `5 parsecs`; expected a time from 0ms to 30d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
    longshore.yaml:8: `retry.jitter` is a map; expected a single value
    longshore.yaml:9: `grace` is set twice, first on line 3; remove one
    longshore.yaml:10: `limits` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:13: `providers.openai.api_kye` is not a setting; did you mean `api_key`?
    longshore.yaml:14: `providers.openai.limits.rpm` is not a setting; expected one of requests_per_minute, tokens_per_minute, requests_per_day, usd_per_month, max_concurrent, time_zone, reset_at
    longshore.yaml:14: `providers.openai.limits.max_concurrent` is `0`; expected a whole number from 1 to 100000
    longshore.yaml:16: `providers.mine.base_url` is not valid; expected an http:// or https:// address with a host, without a login or a query
    longshore.yaml:17: `providers.mine.default_model` is a list; expected a single value
    longshore.yaml:18: `providers.broken` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:20: `models.output_per_million` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals
    longshore.yaml:23: `models.tier` is `cheap`; expected one of fast, standard, advanced
    longshore.yaml:24: entry 2 of `models` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:25: `models.provder` is not a setting; did you mean `provider`?
    longshore.yaml:27: `models.context_window` is `128k`; expected a whole number from 1 to 1000000000
    longshore.yaml:31: `routing.rules.platform` is a single value; expected a list: [one, another], or lines `- one` under it, indented
    longshore.yaml:32: the rule `both` has `model` beside `platform`, `tier` or `capability`; keep one of the two (a model of one platform is `platform/model`)
    longshore.yaml:33: `routing.rules.name` is missing; expected a name, which decisions show
    longshore.yaml:33: `routing.rules.tier` is `best`; expected one of fast, standard, advanced
    longshore.yaml:36: `budgets.limit_usd` is `free`; expected US dollars in quotes, above 0 and at most 9000000, with at most 9 decimals, such as "100"
    longshore.yaml:37: `budgets.nme` is not a setting; did you mean `name`?
    longshore.yaml:37: `budgets.per` is `week`; expected one of hour, day, month, ever
    longshore.yaml:38: `tenants.acme.wieght` is not a setting; did you mean `weight`?
    longshore.yaml:38: `tenants.acme.weight` is `many`; expected a whole number from 1 to 1000
    longshore.yaml:41: `dead_letters.replay.reasons` is missing; expected a list of reasons, such as [overloaded, timeout]
    longshore.yaml:41: `dead_letters.replay.when` is `later`; expected healthy, or after and a time from 1s to 30d, such as `after 10m`
    longshore.yaml:44: `cron.schedule` of `nightly`: expected minute, hour, day, month and weekday (and seconds before them, if you like), such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly, @yearly, but got `0 3 * *`: Invalid pattern: Pattern must have 5 or 6 fields when years are disallowed.
    longshore.yaml:45: `cron.timezone` of `nightly`: expected a time zone, such as UTC or Europe/Berlin, but got `Mars`
    longshore.yaml:46: `cron.missed` of `nightly`: expected one of skip, once, all, but got `never`
    longshore.yaml:47: `prompt` in `cron.job` is set twice; remove one
    longshore.yaml:47: `cron.job` of `nightly`: `temperature`: expected a number from 0 to 2, but got "hot"
    longshore.yaml:47: `cron.job` of `nightly`: `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
    longshore.yaml:48: `cron.name` is missing; expected 1 to 64 characters of [A-Za-z0-9._-]
    longshore.yaml:48: `cron.job` is not a map; expected a job, such as `job: { prompt: "…" }`
    longshore.yaml:48: `cron.schedule`: expected a `schedule`, such as "0 3 * * *", or `every`, such as 30s
    longshore.yaml:49: `circuit.cooldown` is `2x`; expected a time from 100ms to 1h, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
    longshore.yaml:50: `colour` is not a setting; expected one of redis_url, database_url, namespace, queues, queue_order, concurrency, grace, listen, migrate, simulator_url, capabilities, cli_tools, unknown_price, cto_model, redis, database, retry, retries, limits, liveness, retention, encryption, dead_letters, routing, providers, models, model_files, budgets, tenants, queue_limits, alerts, webhooks, circuit, cron, recipes, recipe_files, gates, workspaces, tools
    "#);
}

#[test]
fn a_section_that_cannot_be_read_is_neither_missing_nor_unknown() {
    for yaml in [
        "providers: [mine]\nrouting: { fallback_provider: mine }\nmodels: [{ provider: mine, model: m }]\n",
        "providers: { mine: 5 }\nrouting: { rules: [{ name: a, platform: [mine] }] }\nbudgets: [{ name: a, scope: provider, of: mine, limit_usd: 1, per: day }]\n",
        "models: all\nrouting: { rules: [{ name: a, model: mine }] }\nproviders: { mine: { base_url: 'http://a' } }\n",
        "models: [{ provider: mine, model: [a] }]\nrouting: { rules: [{ name: a, model: mine/a }] }\nproviders: { mine: { base_url: 'http://a' } }\n",
        "model_files: models.yaml\nrouting: { rules: [{ name: a, model: mine }] }\n",
        "provider: { mine: { base_url: 'http://a', default_model: m } }\nrouting: { fallback_provider: mine }\n",
        "providers: { mine: { dialect: clii, command: [ask], default_model: m } }\n",
        "routing: { keywords: [{ category: a, words: { b: c } }] }\n",
        "routing: { rules: [{ name: [a], tier: fast }] }\n",
        "routing: { rules: [{ name: b, platform: { c: d } }] }\n",
        "budgets: 5\n",
        "budgets: [{ name: a, scope: { of: b }, limit_usd: 1, per: day }]\n",
        "dead_letters: { replay: [{ name: a, reasons: timeout }] }\n",
        "webhooks: { hosts: [hooks.example.com], secret: [a] }\n",
        "webhooks: { hosts: { a: b }, secret: '${X}' }\nalerts: { webhook: 'https://a.example/x' }\n",
        "cron: [{ name: a, schedule: [1], job: { prompt: x } }]\n",
        "cron: [{ name: { a: b }, every: 1h, job: { prompt: x } }]\n",
        "circuit: { cooldown: [1], max_cooldown: 10s }\n",
        "retry: { max_delay: soon }\nretries: { patient: { base_delay: 1h } }\n",
        "redis_url: [a]\nredis: { ca_file: ca.pem, sentinel_username: me }\n",
        "liveness: { heartbeat_every: 6s, heartbeat_ttl: long }\n",
        "queues: { default: 1 }\n",
        "tenants: 7\n",
        "queue_limits: 7\n",
        "queue_limits: { bulk: 5 }\n",
        "queue_limits: { bulk: { max_concurrent: [5] } }\n",
        "providers: { openai: { rate_limit_delay: { min: 20s, max: soon } } }\n",
        "providers: { openai: { limits: { max_concurrent: [4] } }, anthropic: { account: openai, limits: { max_concurrent: 4 } } }\n",
        "model: gpt-4o\n",
        "retri: 5\n",
    ] {
        let problems = problems(yaml);
        let lines: Vec<&str> = problems.lines().collect();
        // One mistake each; what follows from it is not reported.
        assert_eq!(lines.len(), 1, "{yaml}{problems}");
    }
}

#[test]
fn a_wrong_form_is_told_in_a_sentence() {
    let all = [
        "- concurrency: 5\n",
        "just text\n",
        "retry: [a]\n",
        "retry: 5\n",
        "queues: { a: b }\n",
        "queues: [a, [b], ~]\n",
        "models: [~, 5]\n",
        "models:\n  provider: openai\n",
        "grace:\n  seconds: 5\n",
        "grace: ''\n",
        "retries: { patient: 20 }\n",
        "? [a, b]\n: c\n",
        "retry:\n  jitter: 1s\n  max_retries: 3\n  jitter: 2s\n",
        "tenants: { 7: { weight: 1 }, 7: { weight: 2 } }\n",
        "providers: { openai: { rate_limit_delay: perhaps } }\n",
        "providers: { openai: { rate_limit_delay: [1, 2] } }\n",
        "retry:\n\tmax_retries: 2\n",
    ];
    let all: Vec<String> = all.into_iter().map(problems).collect();
    assert_snapshot!(all.join("\n"), @"
    longshore.yaml:1: the file is a list; expected a map: lines `name: value`
    longshore.yaml:1: the file is a single value; expected a map: lines `name: value`
    longshore.yaml:1: `retry` is a list; expected a map: lines `name: value` under it, indented
    longshore.yaml:1: `retry` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:1: `queues` is a map; expected a list: [one, another], or lines `- one` under it, indented
    longshore.yaml:1: entry 2 of `queues` is a list; expected a single value
    longshore.yaml:1: entry 3 of `queues` is empty; expected a single value
    longshore.yaml:1: entry 2 of `models` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:1: a model needs both `provider` and `model`
    longshore.yaml:2: `models` is a map; expected a list: [one, another], or lines `- one` under it, indented
    longshore.yaml:2: `grace` is a map; expected a single value
    longshore.yaml:1: `grace` is empty; expected a time from 0ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
    longshore.yaml:1: `retries.patient` is a single value; expected a map: lines `name: value` under it, indented
    longshore.yaml:1: the file has a name that is a list; expected text before the colon
    longshore.yaml:4: `retry.jitter` is set twice, first on line 2; remove one
    longshore.yaml:1: `7` is set twice; remove one
    longshore.yaml:1: `providers.openai.rate_limit_delay` is `perhaps`; expected true, false, or {min: 1s, max: 10s}
    longshore.yaml:1: `providers.openai.rate_limit_delay` is a list; expected a map: lines `name: value` under it, indented
    longshore.yaml:2: `max_retries` is indented with a tab; use spaces
    ");
}

#[test]
fn only_the_first_problems_are_displayed() {
    let lines: Vec<String> = (0..70)
        .map(|number| format!("unknown_{number}: x"))
        .collect();
    let yaml = lines.join("\n");
    let problems = problems(&yaml);
    assert_eq!(problems.lines().count(), 51);
    assert!(problems.ends_with("\n… and 20 more"), "{problems}");
}

#[test]
fn what_is_right_beside_a_problem_is_read() {
    let env = Environment::default();
    let yaml = "retries: { patient: { max_retry: 5 } }\n";
    let error = Config::from_yaml(&env, Path::new(FILE_NAME), yaml).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
}
