use insta::assert_snapshot;

use super::*;
use crate::{
    commands::quota::filtered_report,
    render::limit::fixtures::{MeterFigures, config, limits_with},
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

fn report(file: &str, platform: Option<&str>, figures: &[(&str, MeterFigures)]) -> Report {
    let config = config(file);
    filtered_report(platform, limits_with(&config, figures), Vec::new(), &config).unwrap()
}

const CENT: u64 = 10_000_000;

#[test]
fn one_limit_per_platform_shows_a_short_table() {
    let file = r#"
providers:
  gemini: { limits: { requests_per_day: 1500 } }
  openai: { limits: { usd_per_month: "100" } }
  anthropic: { limits: { usd_per_month: "50" } }
alerts: { at: [30] }
"#;
    let figures = [
        ("rpd:gemini", (448, 2, 0)),
        ("usd:openai", (250 * CENT, 0, 0)),
        ("usd:anthropic", (100 * CENT, 20 * CENT, 0)),
    ];
    assert_snapshot!(report(file, None, &figures), @r#"
    === Quota Status ===
    Platform      Used    Limit    Remaining    Reset
    -----------   -----   ------   ----------   ---------------
    anthropic     $1.20   $50      $48.80       2026-03-01 00:00 UTC
    gemini        450     1500     1050         2026-02-02 00:00 UTC
    openai        $2.50   $100     $97.50       2026-03-01 00:00 UTC

    Warnings:
      - gemini at 30% (450/1500): Daily checkpoint warning
    "#);
}

#[test]
fn several_limits_are_named_with_warnings_and_waiting_jobs() {
    let figures = [
        ("rpd:gemini", (1_390, 5, 0)),
        ("usd:openai", (5_000 * CENT, 0, 0)),
        ("rpm:openai", (7, 0, 312)),
        ("slots:openai", (3, 0, 1)),
        ("budget:everything", (17_050 * CENT, 0, 0)),
        ("budget:claude", (6_000 * CENT, 0, 0)),
        ("budget:team:acme", (42 * CENT / 100, 0, 0)),
        ("budget:team:globex", (100 * CENT, 0, 12_345)),
    ];
    let report = report(FILE, None, &figures);
    assert_snapshot!(report, @"
    === Quota Status ===
    Platform        Used      Limit     Remaining    Reset                  Limit of
    -------------   -------   -------   ----------   ---------------        --------
    gemini          1395      1500      105          2026-02-02 00:00 UTC   requests a day
    openai          $50       $100      $50          2026-03-01 00:00 UTC   dollars a month
    openai          -         1000000   100000 now   evenly paced           tokens a minute
    openai          -         600       0 now        evenly paced           requests a minute
    openai          3         25        22           -                      calls at once (50, reduced now)
    all             $170.50   $200      $29.50       2026-03-01 00:00 UTC   dollars a month (budget everything)
    anthropic       $60       $50       $0           2026-03-01 00:00 UTC   dollars a month (budget claude, warning only)
    tenant globex   $1        $1        $0           never                  dollars (budget team)
    tenant acme     $0.0042   $1        $0.9958      never                  dollars (budget team)

    Warnings:
      - gemini at 93% (1395/1500): Critical threshold warning
      - openai at 50% ($50/$100): Daily checkpoint warning
      - the budget everything at 85% ($170.50/$200): High usage warning
      - the budget claude at 120% ($60/$50): Critical threshold warning
      - the budget team of globex at 100% ($1/$1): Critical threshold warning

    Waiting:
      - 312 jobs wait for openai's requests a minute
      - 1 job waits for openai's calls at once
      - 12,345 jobs wait for the budget team of globex
    ");
}

#[test]
fn json_has_the_main_limit_and_all_limits() {
    let figures = [
        ("usd:openai", (5_000 * CENT, CENT, 0)),
        ("rpm:openai", (7, 0, 312)),
        ("slots:openai", (3, 0, 1)),
        ("budget:team:globex", (100 * CENT, 0, 12_345)),
    ];
    let json = serde_json::to_value(report(FILE, None, &figures)).unwrap();
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap();
    assert_snapshot!(pretty(&json["quota"]["gemini"]), @r#"
    {
      "limit": 1500,
      "limits": [
        {
          "hard": true,
          "held": 0,
          "limit": 1500,
          "limit_of": "requests a day",
          "remaining": 1500,
          "reset_at": "2026-02-02T00:00:00Z",
          "unit": "requests",
          "used": 0,
          "waiting": 0
        }
      ],
      "remaining": 1500,
      "reset_at": "2026-02-02T00:00:00Z",
      "used": 0
    }
    "#);
    let openai = &json["quota"]["openai"];
    assert_eq!(
        (&openai["used"], &openai["limit"]),
        (&50.01.into(), &100.into())
    );
    let (rate, slots) = (&openai["limits"][2], &openai["limits"][3]);
    assert_snapshot!(format!("{rate}\n{slots}"), @r#"
    {"limit":600,"limit_of":"requests a minute","remaining":0,"reset_at":null,"unit":"requests","used":null,"waiting":312}
    {"limit":50,"limit_now":25,"limit_of":"calls at once","remaining":22,"reset_at":null,"unit":"calls","used":3,"waiting":1}
    "#);
    assert_snapshot!(pretty(&json["budgets"][2]), @r#"
    {
      "budget": "team",
      "hard": true,
      "held": 0,
      "limit": 1,
      "limit_of": "dollars (budget team)",
      "of": "tenant globex",
      "remaining": 0,
      "reset_at": null,
      "unit": "dollars",
      "used": 1,
      "waiting": 12345
    }
    "#);
    assert_snapshot!(json["warnings"], @r#"[{"alert":50,"limit":"openai","of":100,"percent":50,"text":"Daily checkpoint warning","used":50.01},{"alert":90,"limit":"the budget team of globex","of":1,"percent":100,"text":"Critical threshold warning","used":1}]"#);
}

#[test]
fn one_platform_can_be_selected() {
    assert_snapshot!(report(FILE, Some("google"), &[]), @r#"
    === Quota Status ===
    Platform      Used    Limit    Remaining    Reset
    -----------   -----   ------   ----------   ---------------
    gemini        0       1500     1500         2026-02-02 00:00 UTC
    "#);
    assert_snapshot!(report(FILE, Some("claude"), &[]), @r#"
    === Quota Status ===
    Platform      Used    Limit    Remaining    Reset                  Limit of
    -----------   -----   ------   ----------   ---------------        --------
    anthropic     $0      $50      $50          2026-03-01 00:00 UTC   dollars a month (budget claude, warning only)
    "#);
    let config = config(FILE);
    let error = filtered_report(Some("skynet"), Vec::new(), Vec::new(), &config).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--platform: platform `skynet` is not known; expected one of"),
        "{error}"
    );
}

#[test]
fn without_limits_an_example_is_shown() {
    assert_snapshot!(report("", None, &[]), @r#"
    === Quota Status ===
    No limits: no provider has `limits`, and there are no `budgets` or `queue_limits`.

    Set limits in longshore.yaml (docs/CONFIGURATION.md, "Limits"), for example:

    providers:
      gemini:
        limits: { requests_per_day: 1500 }
    budgets:
      - { name: everything, scope: overall, limit_usd: "100", per: month }
    "#);
    assert_snapshot!(report(FILE, Some("xai"), &[]).to_string().lines().nth(1).unwrap(), @"No limits for xai.");
    let json = serde_json::to_string(&report("", None, &[])).unwrap();
    assert_snapshot!(json, @r#"{"quota":{},"queues":[],"budgets":[],"holds":[],"warnings":[]}"#);
}

#[test]
fn many_tenant_budgets_are_truncated() {
    let names: Vec<String> = (0..25).map(|at| format!("budget:team:t{at}")).collect();
    let figures: Vec<(&str, MeterFigures)> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), (at as u64 * CENT, 0, 0)))
        .collect();
    let report = report(FILE, None, &figures);
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
