use std::{path::Path, time::Duration};

use longshore_policy::limits::{
    AccountLimits, Alerts, AtLimit, Budget, BudgetScope, Calendar, Period, QueueLimits,
};
use longshore_protocol::{id::QueueName, money::Usd, platform::PlatformName};
use longshore_settings::{Environment, FILE_NAME};

use super::*;
use crate::Config;

fn load(pairs: &[(&str, &str)], yaml: &str) -> Config {
    let env = Environment::from_pairs(pairs.iter().copied());
    Config::from_yaml(&env, Path::new(FILE_NAME), yaml).unwrap()
}

fn problems(pairs: &[(&str, &str)], yaml: &str) -> String {
    let env = Environment::from_pairs(pairs.iter().copied());
    Config::from_yaml(&env, Path::new(FILE_NAME), yaml)
        .unwrap_err()
        .to_string()
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn limits_of(config: &Config, provider: &str) -> AccountLimits {
    config.catalog.platform(provider).unwrap().limits.clone()
}

#[test]
fn nothing_is_limited_by_default() {
    let config = load(&[], "");
    assert!(config.budgets.is_empty());
    assert_eq!(config.tenants.weight("anyone"), 1);
    assert!(config.queue_limits.is_empty());
    assert_eq!(config.alerts.at, [50, 80, 90]);
    assert_eq!(config.circuit, Circuit::default());
    for provider in &config.catalog.providers {
        assert_eq!(provider.limits, AccountLimits::default());
        assert_eq!(provider.account, provider.name);
    }
}

const EVERYTHING: &str = r#"
providers:
  openai:
    limits:
      requests_per_minute: 600
      tokens_per_minute: 1_000_000
      requests_per_day: ${A_DAY}
      usd_per_month: "100.5"
      max_concurrent: 50
      time_zone: Europe/Berlin
      reset_at: "06:30"
budgets:
  - { name: everything, scope: overall, limit_usd: "100", per: month, time_zone: America/New_York }
  - { name: claude, scope: provider, of: Claude, limit_usd: 5, per: day, at_limit: free, reset_at: 12:00 }
  - { name: each_tenant, scope: tenant, limit_usd: "0.000000001", per: hour, kind: soft }
  - { name: acme, scope: tenant, of: Köln & Co, limit_usd: "9000000", per: ever, kind: hard, at_limit: dead_letter }
  - { name: chains, scope: chain, limit_usd: "1", per: ever, at_limit: wait }
  - { name: a.Chain-1, scope: chain, of: nightly, limit_usd: "1", per: ever }
tenants:
  acme: { weight: 3 }
  Köln & Co:
queue_limits:
  bulk: { max_concurrent: 20, requests_per_minute: 600 }
  a.b-c: { requests_per_minute: 1 }
alerts: { at: [90, 25, 90] }
circuit: { error_percent: 20, min_calls: 5, window: 30s, cooldown: 1s, max_cooldown: 10m }
"#;

#[test]
fn reads_every_setting() {
    let config = load(&[("A_DAY", "1500")], EVERYTHING);
    let calendar = |zone: &str, reset: &str| Calendar {
        time_zone: zone.parse().unwrap(),
        reset_at: reset.parse().unwrap(),
    };
    let limits = AccountLimits {
        requests_per_minute: Some(600),
        tokens_per_minute: Some(1_000_000),
        requests_per_day: Some(1_500),
        usd_per_month: Some(usd("100.5")),
        max_concurrent: Some(50),
        calendar: calendar("Europe/Berlin", "06:30:00"),
    };
    assert_eq!(limits_of(&config, "openai"), limits);
    assert_eq!(limits_of(&config, "gemini"), AccountLimits::default());

    let budget = |name: &str, scope: BudgetScope, limit: &str, period: Period| Budget {
        name: name.to_owned(),
        scope,
        limit: usd(limit),
        period,
        calendar: Calendar::default(),
        hard: true,
        at_limit: AtLimit::Wait,
    };
    let named = |name: &str| Some(name.to_owned());
    let anthropic = PlatformName::parse("anthropic").unwrap();
    let expected = [
        Budget {
            calendar: calendar("America/New_York", "00:00:00"),
            ..budget("everything", BudgetScope::Overall, "100", Period::Month)
        },
        Budget {
            calendar: calendar("UTC", "12:00:00"),
            at_limit: AtLimit::Free,
            ..budget("claude", BudgetScope::Provider(anthropic), "5", Period::Day)
        },
        Budget {
            hard: false,
            ..budget(
                "each_tenant",
                BudgetScope::Tenant(None),
                "0.000000001",
                Period::Hour,
            )
        },
        Budget {
            at_limit: AtLimit::DeadLetter,
            ..budget(
                "acme",
                BudgetScope::Tenant(named("Köln & Co")),
                "9000000",
                Period::Ever,
            )
        },
        budget("chains", BudgetScope::Chain(None), "1", Period::Ever),
        budget(
            "a.Chain-1",
            BudgetScope::Chain(named("nightly")),
            "1",
            Period::Ever,
        ),
    ];
    assert_eq!(config.budgets, expected);

    assert_eq!(config.tenants.weight("acme"), 3);
    assert_eq!(config.tenants.weight("Köln & Co"), 1);
    let limits = |max_concurrent, requests_per_minute| QueueLimits {
        max_concurrent,
        requests_per_minute,
    };
    let queue = |name| QueueName::parse(name).unwrap();
    let queues = [
        (queue("a.b-c"), limits(None, Some(1))),
        (queue("bulk"), limits(Some(20), Some(600))),
    ];
    assert_eq!(config.queue_limits, queues.into());
    assert_eq!(config.alerts.at, [25, 90]);
    let circuit = Circuit {
        error_percent: 20,
        min_calls: 5,
        window: Duration::from_secs(30),
        cooldown: Duration::from_secs(1),
        max_cooldown: Duration::from_mins(10),
    };
    assert_eq!(config.circuit, circuit);
}

#[test]
fn refuses_limits_of_queues_that_limit_nothing() {
    let yaml = "
queue_limits:
  bulk: {}
  two words: { max_concurrent: 5 }
  other: { max_concurrent: 0, requests_per_minute: 600001 }
  more: { max_concurrently: 5, requests_per_minute: 5 }
";
    insta::assert_snapshot!(problems(&[], yaml), @"
    longshore.yaml:3: `queue_limits.bulk` has no limit; set `max_concurrent` or `requests_per_minute`
    longshore.yaml:4: `queue_limits`: queue name `two words` is not valid: expected 1 to 64 characters of [A-Za-z0-9._-]
    longshore.yaml:5: `queue_limits.other.max_concurrent` is `0`; expected a whole number from 1 to 100000
    longshore.yaml:5: `queue_limits.other.requests_per_minute` is `600001`; expected a whole number from 1 to 600000
    longshore.yaml:6: `queue_limits.more.max_concurrently` is not a setting; did you mean `max_concurrent`?
    ");
}

#[test]
fn the_environment_overrides_the_file() {
    let pairs = [
        ("A_DAY", "1"),
        ("LONGSHORE_ALERTS_AT", "75, 60"),
        ("LONGSHORE_CIRCUIT_ERROR_PERCENT", "99"),
        ("LONGSHORE_CIRCUIT_MIN_CALLS", "7"),
        ("LONGSHORE_CIRCUIT_COOLDOWN_SECONDS", "2"),
    ];
    let config = load(&pairs, EVERYTHING);
    assert_eq!(config.alerts.at, [60, 75]);
    assert_eq!(config.circuit.error_percent, 99);
    assert_eq!(config.circuit.min_calls, 7);
    assert_eq!(config.circuit.cooldown, Duration::from_secs(2));
    assert_eq!(config.circuit.window, Duration::from_secs(30));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn an_empty_list_disables_alerts() {
    assert!(load(&[], "alerts: { at: [] }\n").alerts.at.is_empty());
    assert_eq!(
        load(&[], "alerts:\ncircuit:\ntenants:\nbudgets:\n").alerts,
        Alerts::default()
    );
}

#[test]
fn providers_of_an_account_share_its_limits() {
    let yaml = "
providers:
  openai:
    limits: { requests_per_minute: 10 }
  openai-batch:
    base_url: https://api.openai.com/v1
    default_model: gpt-4o-mini
    account: ChatGPT
  mine:
    base_url: http://a
    default_model: m
    account: our-own
  mine-too:
    base_url: http://b
    default_model: m
    account: our-own
    limits: { max_concurrent: 4, usd_per_month: '1.50' }
  mine-again:
    base_url: http://c
    default_model: m
    account: our-own
    limits: { usd_per_month: '1.5', max_concurrent: 4 }
";
    let config = load(&[], yaml);
    let batch = config.catalog.platform("openai-batch").unwrap();
    assert_eq!(batch.account.as_str(), "openai");
    assert_eq!(batch.limits.requests_per_minute, Some(10));
    for name in ["mine", "mine-too", "mine-again"] {
        let limits = limits_of(&config, name);
        assert_eq!(limits.max_concurrent, Some(4), "{name}");
        assert_eq!(limits.usd_per_month, Some(usd("1.5")), "{name}");
    }
    assert_eq!(limits_of(&config, "gemini"), AccountLimits::default());
}

#[test]
fn refuses_different_limits_of_one_account() {
    let yaml = "
providers:
  openai:
    limits:
      max_concurrent: 4
      requests_per_minute: 10
  other:
    base_url: http://a
    default_model: m
    account: openai
    limits: { requests_per_minute: 11 }
";
    assert_eq!(
        problems(&[], yaml),
        "longshore.yaml:11: `providers.other.limits` differs from `providers.openai.limits` \
         (longshore.yaml:5), and both use the account `openai`; write the limits at one of them"
    );
}

#[test]
fn a_moved_setting_is_reported_with_its_new_place() {
    let text = problems(&[], "providers:\n  openai:\n    max_concurrent: 64\n");
    assert_eq!(
        text,
        "longshore.yaml:3: `providers.openai.max_concurrent` is not a setting; it belongs in the provider's \
         limits: `limits: {max_concurrent: 50}`"
    );
}

#[test]
fn reports_errors_in_account_limits() {
    let yaml = r#"
providers:
  openai:
    account: not/ok
    limits:
      requests_per_minute: 600001
      tokens_per_minute: 0
      requests_per_day: 1.5
      usd_per_month: "0"
      max_concurrent: many
      time_zone: Berlin
      reset_at: 0
"#;
    assert_eq!(
        problems(&[], yaml),
        "\
longshore.yaml:4: `providers.openai.account` is `not/ok`; expected the name of an account: 1 to 64 characters of [a-z0-9._-]
longshore.yaml:6: `providers.openai.limits.requests_per_minute` is `600001`; expected a whole number from 1 to 600000
longshore.yaml:7: `providers.openai.limits.tokens_per_minute` is `0`; expected a whole number from 1 to 1000000000
longshore.yaml:8: `providers.openai.limits.requests_per_day` is `1.5`; expected a whole number from 1 to 1000000000
longshore.yaml:9: `providers.openai.limits.usd_per_month` is `0`; expected US dollars in quotes, above 0 and at most 9000000, with at most 9 decimals, such as \"100\"
longshore.yaml:10: `providers.openai.limits.max_concurrent` is `many`; expected a whole number from 1 to 100000
longshore.yaml:11: `providers.openai.limits.time_zone` is `Berlin`; expected a time zone, such as UTC or Europe/Berlin
longshore.yaml:12: `providers.openai.limits.reset_at` is `0`; expected a time of day in quotes, from \"00:00\" to \"23:59\""
    );
    assert_eq!(
        problems(&[], "providers:\n  openai:\n    limits:\n      rpm: 5\n"),
        "longshore.yaml:4: `providers.openai.limits.rpm` is not a setting; expected one of requests_per_minute, tokens_per_minute, \
         requests_per_day, usd_per_month, max_concurrent, time_zone, reset_at"
    );
}

#[test]
fn reports_errors_in_budgets() {
    let yaml = r#"
budgets:
  - { name: a b, scope: everybody, limit_usd: "-1", per: week, kind: firm, at_limit: stop }
  - { name: a, scope: overall, limit_usd: "0", per: day }
  - { name: a, scope: overall, limit_usd: "1.0000000001", per: day }
  - { name: a, scope: overall, limit_usd: "9000001", per: day }
  - { name: b, scope: overall, limit_usd: "1", per: day, of: acme }
  - { name: b, scope: provider, limit_usd: "1", per: day }
  - name: c
    scope: provider
    of: acme
    limit_usd: one
    per: day
    time_zone: CET/Berlin
  - { name: d, scope: tenant, of: "", limit_usd: "1", per: day, reset_at: "24:00" }
  - { name: same, scope: tenant, limit_usd: "1", per: day }
  - { name: same, scope: chain, limit_usd: "1", per: day }
  - { name: e, scope: overall, limit_usd: "1", per: day, kind: soft, at_limit: wait }
  - { name: f, scope: overall, limit_usd: "1", per: hour, time_zone: UTC }
  - { name: g, scope: overall, limit_usd: "1", per: ever, reset_at: "01:00" }
  - { of: x }
  - {}
"#;
    let text = problems(&[], yaml);
    let known = "openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli";
    let dollars = "US dollars in quotes, above 0 and at most 9000000, with at most 9 decimals, such as \"100\"";
    assert_eq!(
        text,
        format!(
            "\
longshore.yaml:3: `budgets.name` is `a b`; expected 1 to 64 characters of [A-Za-z0-9._-]
longshore.yaml:3: `budgets.scope` is `everybody`; expected one of overall, provider, tenant, chain
longshore.yaml:3: `budgets.limit_usd` is `-1`; expected {dollars}
longshore.yaml:3: `budgets.per` is `week`; expected one of hour, day, month, ever
longshore.yaml:3: `budgets.kind` is `firm`; expected one of hard, soft
longshore.yaml:3: `budgets.at_limit` is `stop`; expected one of wait, free, dead_letter
longshore.yaml:4: `budgets.limit_usd` is `0`; expected {dollars}
longshore.yaml:5: `budgets.limit_usd` is `1.0000000001`; expected {dollars}
longshore.yaml:6: `budgets.limit_usd` is `9000001`; expected {dollars}
longshore.yaml:7: `budgets.of` is for the scopes provider, tenant and chain; leave it out, or change `scope`
longshore.yaml:8: `budgets.of` is missing; expected one of {known}
longshore.yaml:11: `budgets.of` is `acme`; expected one of {known}
longshore.yaml:12: `budgets.limit_usd` is `one`; expected {dollars}
longshore.yaml:14: `budgets.time_zone` is `CET/Berlin`; expected a time zone, such as UTC or Europe/Berlin
longshore.yaml:15: `budgets.of` is empty; expected 1 to 200 characters without control characters
longshore.yaml:15: `budgets.reset_at` is `24:00`; expected a time of day in quotes, from \"00:00\" to \"23:59\"
longshore.yaml:17: the budget `same` is defined twice; rename one
longshore.yaml:18: `budgets.at_limit` is for a hard budget, and this one is soft: it only warns; leave `at_limit` out, or write `kind: hard`
longshore.yaml:19: `budgets.time_zone` is for `per: day` and `per: month`, and this budget is `per: hour`; leave it out
longshore.yaml:20: `budgets.reset_at` is for `per: day` and `per: month`, and this budget is `per: ever`; leave it out
longshore.yaml:21: `budgets.name` is missing; expected 1 to 64 characters of [A-Za-z0-9._-]
longshore.yaml:21: `budgets.scope` is missing; expected one of overall, provider, tenant, chain
longshore.yaml:21: `budgets.limit_usd` is missing; expected {dollars}
longshore.yaml:21: `budgets.per` is missing; expected one of hour, day, month, ever
longshore.yaml:22: `budgets.name` is missing; expected 1 to 64 characters of [A-Za-z0-9._-]
longshore.yaml:22: `budgets.scope` is missing; expected one of overall, provider, tenant, chain
longshore.yaml:22: `budgets.limit_usd` is missing; expected {dollars}
longshore.yaml:22: `budgets.per` is missing; expected one of hour, day, month, ever"
        )
    );
}

#[test]
fn reports_errors_in_tenants_and_circuit() {
    let yaml = "
tenants:
  acme: { weight: 0 }
  \"a\\nb\": { weight: 1 }
  big:
    weight: 1001
circuit:
  error_percent: 0.5
  min_calls: 0
  window: 1 week
  cooldown: 2m
";
    assert_eq!(
        problems(&[("LONGSHORE_CIRCUIT_MAX_COOLDOWN", "90s")], yaml),
        "\
longshore.yaml:3: `tenants.acme.weight` is `0`; expected a whole number from 1 to 1000
longshore.yaml:4: the tenant's name is not valid; expected 1 to 200 characters without control characters
longshore.yaml:6: `tenants.big.weight` is `1001`; expected a whole number from 1 to 1000
longshore.yaml:8: `circuit.error_percent` is `0.5`; expected a whole number from 1 to 100
longshore.yaml:9: `circuit.min_calls` is `0`; expected a whole number from 1 to 1000000
longshore.yaml:10: `circuit.window` is `1 week`; expected a time from 100ms to 1h, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:11: `circuit.cooldown` (2m) is longer than `circuit.max_cooldown` (90s)"
    );
    let twice = problems(&[], "tenants:\n  a: { weight: 1 }\n  a: { weight: 2 }\n");
    assert_eq!(
        twice,
        "longshore.yaml:3: `tenants.a` is set twice, first on line 2; remove one"
    );
}
