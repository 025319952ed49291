use std::path::Path;

use chrono::{DateTime, Utc};
use longshore_config::Config;
use longshore_policy::{
    catalog::{Billing, ProviderEntry},
    limits::*,
};
use longshore_protocol::{id::QueueName, platform::PlatformName};
use longshore_settings::Environment;

fn config(yaml: &str) -> Config {
    Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), yaml).unwrap()
}

fn meters_of(config: &Config) -> Meters {
    Meters::new(&config.catalog, &config.budgets, &config.queue_limits)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn costs(tokens: u64, upper_bound: &str) -> CallBound {
    CallBound {
        tokens,
        upper_bound: upper_bound.parse().unwrap(),
    }
}

const EVERYTHING: &str = r#"
providers:
  openai:
    limits:
      requests_per_minute: 600
      tokens_per_minute: 1000000
      requests_per_day: 1500
      usd_per_month: "100"
      max_concurrent: 50
      time_zone: Europe/Berlin
  openai-batch:
    base_url: https://api.openai.com/v1
    default_model: gpt-4o-mini
    account: openai
budgets:
  - { name: everything, scope: overall, limit_usd: "10", per: day }
  - { name: openai, scope: provider, of: openai, limit_usd: "5", per: hour, kind: soft }
  - { name: tenants, scope: tenant, limit_usd: "1", per: ever, at_limit: dead_letter }
  - { name: acme, scope: tenant, of: acme, limit_usd: "2", per: ever, at_limit: free }
  - { name: chains, scope: chain, limit_usd: "3", per: ever }
  - { name: nightly, scope: chain, of: nightly, limit_usd: "4", per: ever }
"#;

const NOW: &str = "2026-11-21T10:30:00Z";

fn names(amounts: &[MeterAmount]) -> Vec<&str> {
    amounts.iter().map(MeterAmount::meter).collect()
}

/// The meters that a call takes from.
fn taken(
    provider: &str,
    tenant: Option<&str>,
    chain: Option<&str>,
    costs: &CallBound,
) -> Vec<String> {
    let config = config(EVERYTHING);
    let provider = config.catalog.platform(provider).unwrap();
    let amounts = meters_of(&config).amounts(provider, tenant, chain, costs, time(NOW));
    names(&amounts).into_iter().map(str::to_owned).collect()
}

#[test]
fn without_limits_nothing_is_reserved() {
    let config = config("");
    let meters = meters_of(&config);
    for provider in &config.catalog.providers {
        let amounts = meters.amounts(provider, Some("acme"), Some("c"), &costs(5, "1"), time(NOW));
        assert_eq!(amounts, []);
        assert_eq!(amounts.capacity(), 0);
    }
    assert_eq!(meters.of_queue(&QueueName::default()).capacity(), 0);
    assert_eq!(meters.all(time(NOW)), []);
}

#[test]
fn a_call_reserves_of_its_queue_whatever_platform_it_goes_to() {
    let yaml = "
queue_limits:
  bulk: { max_concurrent: 20, requests_per_minute: 600 }
  slow: { max_concurrent: 1 }
";
    let config = config(yaml);
    let meters = meters_of(&config);
    let bulk = QueueName::parse("bulk").unwrap();
    let expected = [
        MeterAmount::Rate {
            meter: "queue_rpm:bulk".to_owned(),
            per_minute: 600,
            pacing: Pacing::requests(600),
            amount: 1,
        },
        MeterAmount::Slots {
            meter: "queue_slots:bulk".to_owned(),
            limit: 20,
            half_of: None,
        },
    ];
    assert_eq!(meters.of_queue(&bulk), expected);
    assert_eq!(meters.of_queue(&bulk.ready()), expected, "a released job");
    assert_eq!(meters.of_queue(&QueueName::default()), []);
    let names_of_all = ["queue_rpm:bulk", "queue_slots:bulk", "queue_slots:slow"];
    assert_eq!(names(&meters.all(time(NOW))), names_of_all);
    assert_eq!(
        meters.queue_meters(),
        names_of_all.map(str::to_owned).into()
    );
    assert!(meters.window_limits().is_empty());
}

#[test]
fn a_call_reserves_of_its_account() {
    let config = config(EVERYTHING);
    let openai = config.catalog.platform("openai").unwrap();
    let costs = costs(1_234, "0.0000000011");
    let mut amounts = meters_of(&config).amounts(openai, None, None, &costs, time(NOW));
    for amount in &mut amounts {
        if let MeterAmount::Window { definition, .. } = amount {
            assert!(definition.take().is_some(), "it says what it counts");
        }
    }
    let window = |meter: &str, start: &str, end: &str| {
        let (start, end) = (time(start), time(end));
        (
            meter.to_owned(),
            start.timestamp_millis(),
            Some(end.timestamp_millis()),
        )
    };
    let (everything, day, day_end) = window(
        "budget:everything",
        "2026-11-21T00:00:00Z",
        "2026-11-22T00:00:00Z",
    );
    let (of_openai, hour, hour_end) = window(
        "budget:openai",
        "2026-11-21T10:00:00Z",
        "2026-11-21T11:00:00Z",
    );
    let (usd, month, month_end) =
        window("usd:openai", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    let (rpd, berlin_day, berlin_day_end) =
        window("rpd:openai", "2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z");
    let money = |meter, window, end, limit, hard| MeterAmount::Window {
        meter,
        window,
        end,
        limit,
        amount: 2,
        unit: Unit::NanoUsd,
        hard,
        at_limit: AtLimit::Wait,
        definition: None,
    };
    assert_eq!(
        amounts,
        [
            money(everything, day, day_end, 10_000_000_000, true),
            money(of_openai, hour, hour_end, 5_000_000_000, false),
            money(usd, month, month_end, 100_000_000_000, true),
            MeterAmount::Window {
                meter: rpd,
                window: berlin_day,
                end: berlin_day_end,
                limit: 1_500,
                amount: 1,
                unit: Unit::Requests,
                hard: true,
                at_limit: AtLimit::Wait,
                definition: None,
            },
            MeterAmount::Rate {
                meter: "tpm:openai".to_owned(),
                per_minute: 1_000_000,
                pacing: Pacing::tokens(1_000_000),
                amount: 1_234,
            },
            MeterAmount::Rate {
                meter: "rpm:openai".to_owned(),
                per_minute: 600,
                pacing: Pacing::requests(600),
                amount: 1,
            },
            MeterAmount::Slots {
                meter: "slots:openai".to_owned(),
                limit: 50,
                half_of: Some(("rpd:openai".into(), 1_500)),
            },
        ]
    );
}

#[test]
fn providers_of_an_account_share_its_meters() {
    let paid = costs(1, "1");
    let all = [
        "usd:openai",
        "rpd:openai",
        "tpm:openai",
        "rpm:openai",
        "slots:openai",
    ];
    let own = taken("openai-batch", None, None, &paid);
    assert_eq!(own[0], "budget:everything");
    // The budget of the provider `openai` is not the account's.
    assert_eq!(own[1..], all);
}

#[test]
fn a_call_reserves_of_matching_budgets() {
    let paid = costs(1, "1");
    for (tenant, chain, expected) in [
        (None, None, vec![]),
        (
            Some("acme"),
            None,
            vec!["budget:tenants:acme", "budget:acme"],
        ),
        (Some("a:b {c}"), None, vec!["budget:tenants:a:b {c}"]),
        (None, Some("weekly"), vec!["budget:chains:weekly"]),
        (
            Some("x"),
            Some("nightly"),
            vec![
                "budget:tenants:x",
                "budget:chains:nightly",
                "budget:nightly",
            ],
        ),
    ] {
        let taken = taken("gemini", tenant, chain, &paid);
        assert_eq!(taken[0], "budget:everything");
        assert_eq!(taken[1..], expected, "{tenant:?} {chain:?}");
    }
}

#[test]
fn reservations_carry_the_action_at_the_limit() {
    let config = config(EVERYTHING);
    let gemini = config.catalog.platform("gemini").unwrap();
    let meters = meters_of(&config);
    let amounts = meters.amounts(gemini, Some("acme"), None, &costs(1, "1"), time(NOW));
    let at_limits: Vec<_> = amounts
        .iter()
        .filter_map(|take| match take {
            MeterAmount::Window {
                at_limit,
                window,
                end,
                ..
            } => Some((*at_limit, *window, *end)),
            _ => None,
        })
        .collect();
    assert_eq!(at_limits[0].0, AtLimit::Wait);
    assert_eq!(
        at_limits[1..],
        [(AtLimit::DeadLetter, 0, None), (AtLimit::Free, 0, None)]
    );
}

#[test]
fn a_free_call_reserves_no_dollars() {
    let counted = ["rpd:openai", "tpm:openai", "rpm:openai", "slots:openai"];
    assert_eq!(
        taken("openai", Some("acme"), Some("c"), &costs(9, "0")),
        counted
    );

    let config = config(EVERYTHING);
    let free = ProviderEntry {
        billing: Billing::Free,
        ..config.catalog.platform("openai").unwrap().clone()
    };
    let amounts = meters_of(&config).amounts(&free, None, None, &costs(9, "1"), time(NOW));
    assert_eq!(names(&amounts), counted);
}

#[test]
fn lists_all_meters() {
    let all = meters_of(&config(EVERYTHING)).all(time(NOW));
    assert_eq!(
        names(&all),
        [
            "budget:everything",
            "budget:openai",
            "budget:acme",
            "budget:nightly",
            "usd:openai",
            "rpd:openai",
            "tpm:openai",
            "rpm:openai",
            "slots:openai",
        ]
    );
    for take in &all {
        let (MeterAmount::Rate { amount, .. } | MeterAmount::Window { amount, .. }) = take else {
            continue;
        };
        assert_eq!(*amount, 0, "{take:?}");
    }
}

#[test]
fn finds_the_budget_of_a_meter() {
    let meters = meters_of(&config(EVERYTHING));
    assert!(meters.has_budgets_of_each());
    assert!(!meters_of(&config("")).has_budgets_of_each());
    let found = |meter| meters.of_each(meter, time(NOW));
    let Some(MeterAmount::Window { meter, limit, .. }) = found("budget:tenants:acme:eu") else {
        panic!("a window");
    };
    assert_eq!(
        (meter.as_str(), limit),
        ("budget:tenants:acme:eu", 1_000_000_000)
    );
    assert!(found("budget:chains:nightly").is_some());
    // Not of each, no longer there, no budget.
    for other in [
        "budget:acme",
        "budget:acme:x",
        "budget:gone:acme",
        "rpd:openai",
    ] {
        assert_eq!(found(other), None, "{other}");
    }
}

#[test]
fn slots_follow_from_other_limits_if_no_number_is_set() {
    let of = |limits: AccountLimits| limits.slots().map(|slots| (slots.limit, slots.is_implied));
    let none = AccountLimits::default;
    let money = AccountLimits {
        usd_per_month: Some("1".parse().unwrap()),
        ..none()
    };
    let day = AccountLimits {
        requests_per_day: Some(1_500),
        ..none()
    };
    let minute = AccountLimits {
        requests_per_minute: Some(10),
        ..day.clone()
    };
    let set = AccountLimits {
        max_concurrent: Some(400),
        ..minute.clone()
    };
    let tokens = AccountLimits {
        tokens_per_minute: Some(1_000_000),
        ..none()
    };
    assert_eq!(of(none()), None);
    assert_eq!(of(money), None);
    assert_eq!(of(day), Some((1_500, true)));
    assert_eq!(of(minute), Some((50, true)));
    assert_eq!(of(set), Some((400, false)));
    assert_eq!(of(tokens), Some((100_000, true)));
}

#[test]
fn limits_of_windows_say_what_they_count() {
    let limits = meters_of(&config(EVERYTHING)).window_limits();
    let platforms = |names: &[&str]| {
        let names = names.iter().map(|name| PlatformName::from_stored(*name));
        CountedCalls::Platforms(names.collect())
    };
    let account = || platforms(&["openai", "openai-batch"]);
    let counted: Vec<_> = limits
        .iter()
        .map(|limit| (limit.name.as_str(), limit.definition.calls.clone()))
        .collect();
    assert_eq!(
        counted,
        [
            ("budget:everything", CountedCalls::All),
            ("budget:openai", platforms(&["openai"])),
            ("budget:tenants", CountedCalls::EachTenant),
            ("budget:acme", CountedCalls::Tenant("acme".to_owned())),
            ("budget:chains", CountedCalls::EachChain),
            ("budget:nightly", CountedCalls::Chain("nightly".to_owned())),
            ("usd:openai", account()),
            ("rpd:openai", account()),
        ]
    );
    // A call reserves of the same windows, by the same definitions.
    let config = config(EVERYTHING);
    let openai = config.catalog.platform("openai").unwrap();
    let amounts = meters_of(&config).amounts(openai, Some("t"), None, &costs(1, "1"), time(NOW));
    for amount in &amounts {
        let MeterAmount::Window {
            meter, definition, ..
        } = amount
        else {
            continue;
        };
        let owner = meter.strip_prefix("budget:tenants:").unwrap_or("");
        let limit = limits.iter().find(|limit| limit.meter_of(owner) == *meter);
        assert_eq!(*definition, Some(limit.unwrap().definition.id()), "{meter}");
    }
}
