use std::path::Path;

use insta::assert_snapshot;
use longshore_shared::{
    broker::{Fill, MeterReport},
    config::{Config, Environment},
    limits::{Meters, Take},
};

use super::{
    super::{limit::limits, report},
    *,
};

const FILE: &str = r#"
providers:
  gemini:
    limits: { requests_per_day: 1500 }
  openai:
    limits:
      requests_per_minute: 600
      tokens_per_minute: 1000000
      usd_per_month: "100"
      max_concurrent: 50
budgets:
  - { name: everything, scope: overall, limit_usd: "200", per: month }
  - { name: claude, scope: provider, of: anthropic, limit_usd: "50", per: month, kind: soft }
  - { name: team, scope: tenant, limit_usd: "1", per: ever }
"#;

pub(crate) fn config(text: &str) -> Config {
    let env = Environment::from_pairs([("GOOGLE_API_KEY", "x"), ("OPENAI_API_KEY", "x")]);
    Config::from_yaml(&env, Path::new("longshore.yaml"), text).unwrap()
}

/// How a meter stands of which so much is used, held and waited for.
fn stands(take: &Take, (used, held, waiting): (u64, u64, u64)) -> MeterReport {
    let fill = match take {
        Take::Rate {
            per_minute, pacing, ..
        } => Fill::Rate {
            per_minute: *per_minute,
            free: pacing.burst - used,
        },
        Take::Window {
            end,
            limit,
            unit,
            hard,
            at_limit,
            ..
        } => Fill::Window(longshore_shared::broker::WindowFill {
            unit: *unit,
            limit: *limit,
            used,
            held,
            resets_at: end.and_then(chrono::DateTime::from_timestamp_millis),
            hard: *hard,
            at_limit: *at_limit,
        }),
        Take::Slots { limit, .. } => Fill::Places {
            limit: *limit,
            cap: *limit / 2,
            in_use: used,
        },
    };
    MeterReport {
        meter: take.meter().to_owned(),
        waiting,
        fill,
    }
}

/// The report of a configuration, with what is told of its meters.
fn told(file: &str, platform: Option<&str>, told: &[(&str, (u64, u64, u64))]) -> Report {
    let config = config(file);
    let meters = Meters::new(&config);
    let now = "2026-02-01T12:00:00Z".parse().unwrap();
    let mut takes = meters.all(now);
    takes.extend(
        told.iter()
            .filter_map(|(meter, _)| meters.of_each(meter, now)),
    );
    let reports = takes.iter().map(|take| {
        let figures = told.iter().find(|(meter, _)| *meter == take.meter());
        stands(take, figures.map_or((0, 0, 0), |(_, figures)| *figures))
    });
    report(platform, limits(reports.collect(), &config), &config).unwrap()
}

const CENT: u64 = 10_000_000;

#[test]
fn one_limit_each_is_the_table_of_seed_000() {
    let file = r#"
providers:
  gemini: { limits: { requests_per_day: 1500 } }
  openai: { limits: { usd_per_month: "100" } }
  anthropic: { limits: { usd_per_month: "50" } }
alerts: [30]
"#;
    let figures = [
        ("rpd:gemini", (448, 2, 0)),
        ("usd:openai", (250 * CENT, 0, 0)),
        ("usd:anthropic", (100 * CENT, 20 * CENT, 0)),
    ];
    assert_snapshot!(told(file, None, &figures), @"");
}

#[test]
fn several_limits_are_named_with_warnings_and_who_waits() {
    let figures = [
        ("rpd:gemini", (1_390, 5, 0)),
        ("usd:openai", (50_00 * CENT, 0, 0)),
        ("rpm:openai", (7, 0, 312)),
        ("slots:openai", (3, 0, 1)),
        ("budget:everything", (170_50 * CENT, 0, 0)),
        ("budget:claude", (60_00 * CENT, 0, 0)),
        ("budget:team:acme", (42 * CENT / 100, 0, 0)),
        ("budget:team:globex", (1_00 * CENT, 0, 12_345)),
    ];
    let report = told(FILE, None, &figures);
    assert_snapshot!(report, @"");
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @"");
}

#[test]
fn a_platform_can_be_asked_for_alone() {
    assert_snapshot!(told(FILE, Some("google"), &[]), @"");
    assert_snapshot!(told(FILE, Some("claude"), &[]), @"");
    let config = config(FILE);
    let error = report(Some("skynet"), Vec::new(), &config).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--platform: platform `skynet` is not known; expected one of"),
        "{error}"
    );
}

#[test]
fn where_nothing_is_limited_it_is_said_how_to() {
    assert_snapshot!(told("", None, &[]), @"");
    assert_snapshot!(told(FILE, Some("xai"), &[]).to_string().lines().nth(1).unwrap(), @"");
    let json = serde_json::to_string(&told("", None, &[])).unwrap();
    assert_snapshot!(json, @"");
}

#[test]
fn many_tenants_budgets_are_not_all_shown() {
    let names: Vec<String> = (0..25).map(|at| format!("budget:team:t{at}")).collect();
    let figures: Vec<(&str, (u64, u64, u64))> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), (at as u64 * CENT, 0, 0)))
        .collect();
    let report = told(FILE, None, &figures);
    let text = report.to_string();
    assert!(
        text.contains("tenant t24") && text.contains("tenant t5 "),
        "{text}"
    );
    assert!(
        !text.contains("tenant t4 "),
        "the emptiest are left out: {text}"
    );
    assert!(
        text.contains("\n… and 5 more of tenants and chains"),
        "{text}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["budgets"].as_array().unwrap().len(), 27);
}
