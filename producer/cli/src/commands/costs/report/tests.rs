//! Cost reports as text and JSON.

use super::*;

fn line(name: &str, tasks: u64, cost: &str) -> CostLine {
    CostLine {
        name: name.to_owned(),
        tasks,
        attempts: tasks,
        cost_usd: cost.parse().unwrap(),
        unknown_cost_attempts: 0,
    }
}

fn summary() -> CostSummary {
    CostSummary {
        total_cost: "4.350000006".parse().unwrap(),
        total_tasks: 44,
        total_attempts: 47,
        by_platform: vec![
            line("openai", 28, "3.45"),
            line("anthropic", 1, "0.9"),
            line("gemini", 15, "0.000000006"),
        ],
        by_type: vec![line("code_generation", 44, "4.350000006")],
        ..CostSummary::default()
    }
}

fn day() -> Period {
    Period::Day(NaiveDate::from_ymd_opt(2026, 2, 1).unwrap())
}

#[test]
fn a_day_as_text() {
    insta::assert_snapshot!(Report::new(day(), &CostFilter::default(), summary(), &[]), @r"
    === Cost Summary (2026-02-01) ===
    Total Cost: $4.35
    Total Tasks: 44

    By Platform:
      openai:    28 tasks, $3.45
      anthropic:  1 task,  $0.90
      gemini:    15 tasks, $0.000000006

    By Task Type:
      code_generation: 44 tasks, $4.35
    ");
}

#[test]
fn unknown_costs_are_shown() {
    let summary = CostSummary {
        unknown_cost_attempts: 3,
        reserved_unknown_usd: "0.12".parse().unwrap(),
        ..CostSummary::default()
    };
    insta::assert_snapshot!(Report::new(Period::All, &CostFilter::default(), summary, &[]), @r"
    === Cost Summary (all time) ===
    Total Cost: $0.00
    Total Tasks: 0
    3 attempts of unknown cost (at most $0.12)
    ");
}

fn reported(attempts: u64, cost: &str, difference: &str) -> CostSummary {
    CostSummary {
        reported: Some(ReportedCosts {
            attempts,
            cost_usd: cost.parse().unwrap(),
            difference_usd: difference.parse().unwrap(),
        }),
        by_platform: Vec::new(),
        by_type: Vec::new(),
        ..summary()
    }
}

#[test]
fn provider_reported_costs_are_shown() {
    insta::assert_snapshot!(Report::new(day(), &CostFilter::default(), reported(47, "4.47", "0.12"), &[]), @r"
    === Cost Summary (2026-02-01) ===
    Total Cost: $4.35
    Total Tasks: 44
    Provider-reported: $4.47 (differs by $0.12)
    ");
    insta::assert_snapshot!(Report::new(day(), &CostFilter::default(), reported(9, "1.1", "-0.000002"), &[]), @r"
    === Cost Summary (2026-02-01) ===
    Total Cost: $4.35
    Total Tasks: 44
    Provider-reported: $1.10 for 9 of 47 attempts (differs by -$0.000002)
    ");
    let report = Report::new(
        day(),
        &CostFilter::default(),
        reported(9, "1.1", "-0.000002"),
        &[],
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "date": "2026-02-01",
      "since": null,
      "until": null,
      "tenant": null,
      "cost_usd": "4.350000006",
      "total_cost": 4.350000006,
      "total_tasks": 44,
      "total_attempts": 47,
      "failed_attempts": 0,
      "cancelled_attempts": 0,
      "lost_attempts": 0,
      "unknown_cost_attempts": 0,
      "unknown_cost_at_most_usd": "0",
      "unknown_cost_at_most": 0,
      "reported": {
        "cost_usd": "1.1",
        "difference_usd": "-0.000002",
        "cost": 1.1,
        "difference": -0.000002,
        "attempts": 9
      },
      "by_platform": {},
      "by_type": {},
      "by_model": {}
    }
    "#);
}

#[test]
fn a_day_as_json_is_exact() {
    let summary = CostSummary {
        by_platform: vec![line("openai", 28, "3.45")],
        by_type: Vec::new(),
        ..summary()
    };
    let json =
        serde_json::to_string_pretty(&Report::new(day(), &CostFilter::default(), summary, &[]))
            .unwrap();
    insta::assert_snapshot!(json, @r#"
    {
      "date": "2026-02-01",
      "since": null,
      "until": null,
      "tenant": null,
      "cost_usd": "4.350000006",
      "total_cost": 4.350000006,
      "total_tasks": 44,
      "total_attempts": 47,
      "failed_attempts": 0,
      "cancelled_attempts": 0,
      "lost_attempts": 0,
      "unknown_cost_attempts": 0,
      "unknown_cost_at_most_usd": "0",
      "unknown_cost_at_most": 0,
      "reported": null,
      "by_platform": {
        "openai": {
          "tasks": 28,
          "attempts": 28,
          "cost_usd": "3.45",
          "cost": 3.45,
          "unknown_cost_attempts": 0
        }
      },
      "by_type": {},
      "by_model": {}
    }
    "#);
}

#[test]
fn tenants_and_days_are_listed_on_request() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let period = Period::Since(at("2026-02-01T00:00:00Z"), Some(at("2026-02-03T00:00:00Z")));
    let filter = CostFilter {
        tenant: Some("acme".to_owned()),
        by_tenant: true,
        by_day: true,
        ..CostFilter::default()
    };
    let summary = CostSummary {
        by_platform: Vec::new(),
        by_tenant: vec![line("acme", 41, "4.3"), line("", 3, "0.050000006")],
        by_day: vec![
            line("2026-02-01", 40, "4"),
            line("2026-02-02", 4, "0.350000006"),
        ],
        ..summary()
    };
    let asked = [Section::Tenant, Section::Day, Section::Chain];
    let mut report = Report::new(period, &filter, summary, &asked);
    report.add(Section::Chain, vec![line("report,\"7\"", 2, "0.0054")]);
    insta::assert_snapshot!(report, @r#"
    === Cost Summary (2026-02-01T00:00:00Z to 2026-02-03T00:00:00Z, tenant acme) ===
    Total Cost: $4.35
    Total Tasks: 44

    By Tenant:
      acme: 41 tasks, $4.30
      -:     3 tasks, $0.05

    By Day:
      2026-02-01: 40 tasks, $4.00
      2026-02-02:  4 tasks, $0.35

    By Chain:
      report,"7": 2 tasks, $0.0054
    "#);
    insta::assert_snapshot!(report.to_csv(), @r#"
    by,name,tasks,attempts,cost_usd,unknown_cost_attempts
    tenant,acme,41,41,4.3,0
    tenant,,3,3,0.050000006,0
    day,2026-02-01,40,40,4,0
    day,2026-02-02,4,4,0.350000006,0
    chain,"report,""7""",2,2,0.0054,0
    "#);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["by_day"]["2026-02-02"]["tasks"], 4);
    assert_eq!(json["until"], "2026-02-03T00:00:00Z");
}
