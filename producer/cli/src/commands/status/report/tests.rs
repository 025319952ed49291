use chrono::{DateTime, Utc};
use longshore_broker::AccountHold;
use longshore_protocol::{id::QueueName, platform::PlatformName};

use super::{
    super::{
        adapters::{Health, OpenCircuit},
        quotas::PlatformUsage,
    },
    *,
};
use crate::render::{
    limit::fixtures::{config, limits_with},
    pause::example_pause,
};

fn adapters() -> Vec<Adapter> {
    let adapter = |name: &str, health| Adapter {
        name: name.to_owned(),
        health,
    };
    vec![
        adapter("gemini", Health::Ready),
        adapter(
            "openai",
            Health::Disabled("OPENAI_API_KEY is not set".to_owned()),
        ),
    ]
}

fn used(platform: &str, requests: u64) -> PlatformUsage {
    PlatformUsage {
        platform: platform.to_owned(),
        account: platform.to_owned(),
        requests,
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn healthy() -> Report {
    Report {
        now: time("2026-02-01T12:00:30Z"),
        adapters: adapters(),
        quotas: Quotas {
            limits: Some(Vec::new()),
            used: Some(vec![used("gemini", 450)]),
            reset_at: Some(time("2026-02-02T00:00:00Z")),
            alerts: vec![50, 80, 90],
        },
        redis: Service::Reachable("127.0.0.1:6379".to_owned()),
        postgres: Service::Reachable("127.0.0.1:5432/longshore".to_owned()),
        workers: Some(WorkerSlots {
            alive: 2,
            in_flight: 3,
            concurrency: 2000,
        }),
        leader: Leader::Leads("vm-7".to_owned()),
        queues: Some(vec![QueueDepth {
            queue: QueueName::default(),
            available: 1200,
            running: 3,
            oldest_at: Some(time("2026-02-01T11:57:30Z")),
        }]),
        lanes: vec![("quota:rpm:gemini".to_owned(), 312), ("time".to_owned(), 4)],
        pauses: vec![example_pause()],
        dead_letters: Some(1),
        unrecorded_events: Some(0),
    }
}

const FILE: &str = r#"
providers:
  gemini: { limits: { requests_per_day: 1500, requests_per_minute: 60 } }
  openai: { limits: { usd_per_month: "100", requests_per_day: 1000 } }
budgets:
  - { name: everything, scope: overall, limit_usd: "200", per: month }
"#;

/// The same with limits and unhealthy platforms.
fn limited() -> Report {
    let config = config(FILE);
    let figures = [
        ("rpd:gemini", (1_390, 5, 0)),
        ("rpm:gemini", (1, 0, 312)),
        ("usd:openai", (2_500_000_000, 0, 0)),
        ("budget:everything", (100_000_000_000, 0, 0)),
    ];
    let open_circuit = OpenCircuit {
        model: "claude-haiku-4-5".to_owned(),
        since: time("2026-02-01T12:00:00Z"),
        until: time("2026-02-01T12:00:40Z"),
        probing_until: None,
        class: longshore_protocol::call::ErrorClass::Overloaded,
    };
    let mut report = healthy();
    let mut quotas = std::mem::take(&mut report.quotas);
    quotas.limits = Some(limits_with(&config, &figures));
    quotas.used = Some(vec![
        used("gemini", 1_400),
        used("anthropic", 12),
        used("openai", 3),
    ]);
    report.quotas = quotas;
    report.adapters = vec![
        Adapter {
            name: "anthropic".to_owned(),
            health: Health::CircuitsOpen(vec![open_circuit]),
        },
        Adapter {
            name: "openai".to_owned(),
            health: Health::OnHold(AccountHold {
                access: None,
                account: PlatformName::from_stored("openai"),
                until: time("2026-02-01T12:05:00Z"),
                reason: "OpenAI: Rate limited".to_owned(),
            }),
        },
    ];
    report
}

#[test]
fn limits_and_unhealthy_platforms_as_text() {
    let text = limited().to_string();
    let (adapters, rest) = text.split_once("\nServices:").unwrap();
    let (_, quotas) = rest.split_once("=== Quota Status ===").unwrap();
    insta::assert_snapshot!(format!("{adapters}{quotas}"), @r#"
    Providers:
      [DOWN] anthropic: circuit open since 12:00:00 (claude-haiku-4-5: overloaded); tried again at 12:00:40
             longshore failures --platform anthropic
      [WAIT] openai: account openai on hold until 2026-02-01T12:05:00Z (OpenAI: Rate limited)
             longshore resume provider openai --now

    Platform      Used    Limit    Remaining    Reset                  Limit of
    -----------   -----   ------   ----------   ---------------        --------
    gemini        1395    1500     105          2026-02-02 00:00 UTC   requests a day
    openai        $2.50   $100     $97.50       2026-03-01 00:00 UTC   dollars a month
    openai        0       1000     1000         2026-02-02 00:00 UTC   requests a day
    all           $100    $200     $100         2026-03-01 00:00 UTC   dollars a month (budget everything)
    anthropic     12      -        -            2026-02-02 00:00 UTC

    Warnings:
      - gemini at 93% (1395/1500): Critical threshold warning
      - the budget everything at 50% ($100/$200): Daily checkpoint warning
    "#);
}

#[test]
fn an_open_circuit_says_what_happens_next() {
    let mut report = limited();
    let mut line_at = |now: &str, probing_until: Option<&str>| {
        if let Health::CircuitsOpen(models) = &mut report.adapters[0].health {
            models[0].probing_until = probing_until.map(time);
        }
        let lines = report.adapters[0].lines(time(now));
        lines[0]
            .strip_prefix("[DOWN] anthropic: circuit open ")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        line_at("2026-02-01T12:00:40Z", None),
        "since 12:00:00 (claude-haiku-4-5: overloaded); the next job will probe it"
    );
    assert_eq!(
        line_at("2026-02-02T12:00:00Z", Some("2026-02-02T12:00:03Z")),
        "since 2026-02-01 12:00 UTC (claude-haiku-4-5: overloaded); a job is probing it"
    );
}

#[test]
fn limits_and_unhealthy_platforms_as_json() {
    let json = serde_json::to_value(limited()).unwrap();
    let quota = &json["quota"];
    let figures = ["used", "limit", "remaining", "reset_at"];
    let figures_for = |platform: &str| figures.map(|figure| quota[platform][figure].clone());
    assert_eq!(
        figures_for("gemini"),
        [
            json!(1395),
            json!(1500),
            json!(105),
            json!("2026-02-02T00:00:00Z")
        ]
    );
    assert_eq!(quota["gemini"]["limits"][1]["waiting"], 312);
    assert_eq!(figures_for("openai")[1], 1000);
    assert_eq!(quota["openai"]["limits"][0]["limit"], 100);
    assert_eq!(figures_for("anthropic")[0], 12);
    assert_eq!(figures_for("anthropic")[1], Value::Null);
    assert_eq!(json["budgets"][0]["budget"], "everything");
    assert_eq!(json["warnings"][0]["alert"], 90);
    insta::assert_snapshot!(json["adapters"], @r#"{"anthropic":{"is_implemented":true,"models":[{"class":"overloaded","model":"claude-haiku-4-5","since":"2026-02-01T12:00:00Z","until":"2026-02-01T12:00:40Z"}],"status":"down"},"openai":{"is_implemented":true,"reason":"OpenAI: Rate limited","status":"limited","until":"2026-02-01T12:05:00Z"}}"#);
}

#[test]
fn a_healthy_status_as_text() {
    insta::assert_snapshot!(healthy(), @"
    Providers:
      [OK] gemini: ready
      [--] openai: disabled, OPENAI_API_KEY is not set

    Services:
      [OK] Redis: 127.0.0.1:6379
      [OK] Postgres: 127.0.0.1:5432/longshore
      [OK] Workers: 2 alive, 3 of 2,000 slots in use
      [OK] Scheduler: vm-7 leads

    Queues:
      default: 1,200 available, 3 running, oldest 3m
      312 waiting for gemini's requests a minute
      4 waiting for their due time
      type research has been paused for 5m, resumes in 60m: prices under review
      1 dead letter (longshore dlq list)

    === Quota Status ===
    Platform      Used    Limit    Remaining    Reset
    -----------   -----   ------   ----------   ---------------
    gemini        450     -        -            2026-02-02 00:00 UTC
    ");
}

#[test]
fn a_healthy_status_as_json() {
    let json = serde_json::to_value(healthy()).unwrap();
    let adapters = &json["adapters"];
    assert_eq!(
        adapters["gemini"],
        json!({"is_implemented": true, "status": "ready"})
    );
    assert_eq!(adapters["openai"]["status"], "off");
    assert_eq!(
        json["quota"]["gemini"],
        json!({
            "used": 450,
            "limit": null,
            "remaining": null,
            "reset_at": "2026-02-02T00:00:00Z",
            "limits": []
        })
    );
    assert_eq!(json["services"]["scheduler"]["leading"], true);
    assert_eq!(json["services"]["redis"]["status"], "ok");
    assert_eq!(json["queues"][0]["available"], 1200);
}

#[test]
fn unreachable_services_are_named() {
    let report = Report {
        adapters: adapters(),
        redis: Service::Unreachable("Redis at 127.0.0.1:1 cannot be reached: refused".to_owned()),
        postgres: Service::Unreachable("Postgres at 127.0.0.1:2/x: refused".to_owned()),
        ..Report::default()
    };
    insta::assert_snapshot!(report, @r#"
    Providers:
      [OK] gemini: ready
      [--] openai: disabled, OPENAI_API_KEY is not set

    Services:
      [!!] Redis: 127.0.0.1:1 cannot be reached: refused
      [!!] Postgres: 127.0.0.1:2/x: refused
      [--] Workers: unknown
      [--] Scheduler: unknown

    === Quota Status ===
    unknown: see Redis and Postgres above
    "#);
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["quota"], Value::Null);
    assert_eq!(json["services"]["redis"]["status"], "down");
}
